"""Writes the folders beside this file: tiny Llamas as transformers saves them, with the logits, the loss and every
gradient that it computes for a few documents.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6
    python make_fixtures.py

Each document is run by itself, so nothing here depends on how transformers packs. The weights are as saved (float32, or
bfloat16 where the case says so); the arithmetic is float64 where transformers allows it.
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
SMALL = dict(vocab_size=37, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=4, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2)
LONG = dict(original_max_position_embeddings=8, factor=4.0)

CASES = {
    "untied": (dict(tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=500000.0)), {}),
    "tied": (dict(tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0)), {}),
    # Grouped queries, heads that are wider than hidden_size / num_attention_heads, several shards.
    "gqa": (dict(num_key_value_heads=2, head_dim=6, eos_token_id=[2, 3],
                 rope_parameters=dict(rope_type="default", rope_theta=10000.0)), dict(max_shard_size="8KB")),
    "bfloat16": (dict(num_key_value_heads=1, tie_word_embeddings=True, dtype="bfloat16",
                      rope_parameters=dict(rope_type="default", rope_theta=10000.0)), {}),
    "linear": (dict(num_hidden_layers=1, rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=3.0)), {}),
    "llama3": (dict(num_hidden_layers=1, head_dim=16, rope_parameters=dict(
        rope_type="llama3", rope_theta=100.0, low_freq_factor=1.0, high_freq_factor=4.0, **LONG)), {}),
    "yarn": (dict(num_hidden_layers=1, head_dim=16, max_position_embeddings=32, rope_parameters=dict(
        rope_type="yarn", rope_theta=100.0, beta_fast=2.0, beta_slow=0.25, **LONG)), {}),
}


def randomize(model, seed):
    """Weights large enough for attention to be far from uniform and norms far from 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3 + (1.0 if "norm" in name else 0.0))


def documents(vocab, seed):
    generator = torch.Generator().manual_seed(seed)
    docs = []
    for length in (7, 1, 20):
        ids = torch.randint(0, vocab, (length + 1,), generator=generator)
        targets = ids[1:].clone()
        targets[torch.rand(length, generator=generator) < 0.2] = -1  # not supervised
        docs.append((ids[:-1], targets))
    return docs


def write(name, seed):
    changes, save = CASES[name]
    config = LlamaConfig(**{**SMALL, **changes}, attn_implementation="eager")
    model = LlamaForCausalLM(config)
    randomize(model, seed)
    model = model.to(getattr(torch, changes.get("dtype", "float32")))
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **save)

    # Read back, since a model cast to bfloat16 has cast its rotary frequencies as well.
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").double().eval()
    docs = documents(config.vocab_size, seed)
    total = sum(int((t >= 0).sum()) for _, t in docs)
    logits, loss = [], 0.0
    for ids, targets in docs:
        out = model(ids[None]).logits[0].double()
        logits.append(out.detach())
        if (targets >= 0).any():
            loss = loss + torch.nn.functional.cross_entropy(out, targets, ignore_index=-1, reduction="sum") / total
    loss.backward()
    expected = {"logits": torch.cat(logits).float().contiguous()}
    for parameter, p in model.named_parameters():
        expected["grad." + parameter] = p.grad.float().contiguous()
    save_file(expected, folder / "expected.safetensors")
    loss = float(loss.detach())
    record = dict(ids=[d[0].tolist() for d in docs], targets=[d[1].tolist() for d in docs], loss=loss)
    (folder / "expected.json").write_text(json.dumps(record) + "\n")
    print(f"{name:10} loss {loss:.6f}  tokens {total}")


for number, case in enumerate(CASES):
    write(case, number)
