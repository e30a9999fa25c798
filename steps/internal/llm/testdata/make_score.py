"""Writes the folder score beside this file: a tiny reward model as transformers saves it, with the scores that it gives.

    pip install torch==2.15.0 transformers==5.23.0
    python make_score.py [folder ...]

With folders, which our own tests or recipes wrote, it prints the scores that transformers computes from them instead, and
fails if a weight is missing or left over.
"""

import json
import pathlib
import shutil
import sys

import torch
from transformers import AutoModelForSequenceClassification, LlamaConfig, LlamaForSequenceClassification

HERE = pathlib.Path(__file__).parent
IDS = [[1, 5, 9, 30, 4], [1, 2], [1, 17, 17, 4, 36, 33, 11, 8]]


def scores(folder, conversations):
    model, info = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = {k: v for k, v in info.items() if v}
    assert not problems and model.config.num_labels == 1, (folder, problems)
    with torch.no_grad():
        return [model.eval()(torch.tensor([ids])).logits.item() for ids in conversations]


if len(sys.argv) > 1:
    for folder in map(pathlib.Path, sys.argv[1:]):
        given = folder / "conversations.json"
        print(folder, scores(folder, json.loads(given.read_text()) if given.exists() else IDS))
    sys.exit()
folder = HERE / "score"
shutil.rmtree(folder, ignore_errors=True)
model = LlamaForSequenceClassification(LlamaConfig(
    vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=3, num_labels=1))
generator = torch.Generator().manual_seed(3)
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + (1.0 if "norm" in name else 0.0))
model.save_pretrained(folder)
(folder / "expected.json").write_text(json.dumps({"ids": IDS, "scores": scores(folder, IDS)}) + "\n")
