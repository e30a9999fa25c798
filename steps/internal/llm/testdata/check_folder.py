"""Loads model folders that our tests wrote with transformers, and records what it computes from them.

    pip install torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 numpy==2.4.6
    go test ./steps/internal/llm -run TestPitfall15WrittenFolders -folder /tmp/folders
    python check_folder.py /tmp/folders

The result is written.json: the digests of the files that were loaded, the logits of a few tokens and a greedy answer.
TestPitfall15WrittenFolders compares its folders with the digests and its numbers with the numbers, so that continuous integration
needs no Python.
"""

import hashlib
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

IDS = [1, 5, 9, 30, 2, 17, 17, 4, 36, 0, 11, 8]
record = {}
for folder in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
    model, info = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    problems = {k: v for k, v in info.items() if v}
    assert not problems, (folder, problems)
    assert type(model).__name__ == "LlamaForCausalLM" and model.dtype == torch.float32
    assert model.generation_config.eos_token_id == model.config.eos_token_id, folder
    parameters = sum(p.numel() for p in model.parameters())
    model.eval()
    with torch.no_grad():
        # Without a mask generate would take id 0 of the prompt for padding.
        answer = model.generate(torch.tensor([IDS]), attention_mask=torch.ones(1, len(IDS)), max_new_tokens=8,
                                do_sample=False)[0, len(IDS):].tolist()
        logits = model(torch.tensor([IDS])).logits[0].flatten().tolist()
    record[folder.name] = dict(
        files={f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())},
        parameters=parameters, ids=IDS, answer=answer,
        logits=[round(x, 7) for x in logits])
    print(f"{folder.name}: loaded, {parameters} parameters, answer {answer}")
(pathlib.Path(__file__).parent / "written.json").write_text(json.dumps(record) + "\n")
