"""Writes lora/: adapters as PEFT saves them over the model in gqa/ (make_fixtures.py), one with all matrices and one with two,
with the logits, the loss and the gradients of the adapters that PEFT computes for a few documents; and, of adapters of ours,
what PEFT makes of them.

    pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 safetensors==0.8.0 numpy==2.4.6
    python make_lora.py
    go test ./steps/internal/llm -run TestAdaptersForPEFT -adapters /tmp/adapters
    python make_lora.py /tmp/adapters      # loads what the test wrote; prints the largest difference of the logits
"""

import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
CASES = {"all": dict(r=3, lora_alpha=5, target_modules=ALL), "two": dict(r=2, lora_alpha=2, target_modules=["q_proj", "v_proj"])}


def write(name, seed):
    generator = torch.Generator().manual_seed(seed)
    base = LlamaForCausalLM.from_pretrained(HERE / "gqa", dtype=torch.float32, attn_implementation="eager").double().eval()
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, bias="none", **CASES[name])).eval()
    with torch.no_grad():
        for parameter, p in model.named_parameters():
            if p.requires_grad:
                p.copy_((torch.randn(p.shape, generator=generator) * 0.2).float())
    folder = HERE / "lora" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.float().save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    config["target_modules"].sort()
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    model = model.double()
    record = json.loads((HERE / "gqa" / "expected.json").read_text())
    total = sum(t >= 0 for d in record["targets"] for t in d)
    logits, loss = [], 0.0
    for ids, targets in zip(record["ids"], record["targets"]):
        out = model(torch.tensor([ids])).logits[0].double()
        logits.append(out.detach())
        if any(t >= 0 for t in targets):
            loss = loss + torch.nn.functional.cross_entropy(out, torch.tensor(targets), ignore_index=-1, reduction="sum") / total
    loss.backward()
    expected = {"logits": torch.cat(logits).float().contiguous()}
    for parameter, p in model.named_parameters():
        if p.requires_grad:
            expected["grad." + parameter.replace(".default", "")] = p.grad.float().contiguous()
    save_file(expected, folder / "expected.safetensors")
    record["loss"] = float(loss.detach())
    (folder / "expected.json").write_text(json.dumps(record) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
    print(f"{name}: loss {record['loss']:.6f}")


def check(folder):
    """folder has base/ and adapter/, and logits.json: what we compute with both."""
    record = json.loads((folder / "logits.json").read_text())
    score = json.loads((folder / "adapter" / "adapter_config.json").read_text())["task_type"] == "SEQ_CLS"
    kind = AutoModelForSequenceClassification if score else AutoModelForCausalLM
    options = dict(num_labels=1, pad_token_id=0) if score else {}
    model = PeftModel.from_pretrained(kind.from_pretrained(folder / "base", dtype=torch.float32, **options), folder / "adapter").eval()
    with torch.no_grad():
        got = model(torch.tensor([record["ids"]])).logits[0].double()
    want = torch.tensor(record["logits"], dtype=torch.float64).reshape(got.shape)
    difference = float((got - want).abs().max())
    print(f"{folder.name}: {len(load_file(folder / 'adapter' / 'adapter_model.safetensors'))} tensors, largest difference {difference:.2e} of {float(want.abs().max()):.2f}")
    assert difference < 1e-4


if len(sys.argv) > 1:
    for folder in sorted(p for p in pathlib.Path(sys.argv[1]).iterdir() if p.is_dir()):
        check(folder)
else:
    for number, case in enumerate(CASES):
        write(case, number)
