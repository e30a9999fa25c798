"""Writes losses.json: losses of preference pairs and their gradients, as TRL computes them.

    pip install torch==2.15.0 && pip download --no-deps trl==0.19.1   # and unpack
    python make_losses.py <folder of trl's package>

The functions dpo_loss and cpo_loss are taken out of TRL's own source, so that nothing else of it needs to be installed. What
they are given is built here as TRL does: sums of the log-probabilities of an answer's tokens, or means where the loss wants
them (ipo, simpo), and for nll TRL's rpo_alpha with the mean over the tokens of each chosen answer.
"""

import ast
import json
import pathlib
import sys
import types

import torch
import torch.nn.functional as F

trl = pathlib.Path(sys.argv[1])


def method(file, name):
    tree = ast.parse((trl / "trainer" / file).read_text())
    found = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == name)
    scope = {"torch": torch, "F": F, "FDivergenceType": types.SimpleNamespace(
        ALPHA_DIVERGENCE=types.SimpleNamespace(value="alpha"), JS_DIVERGENCE=types.SimpleNamespace(value="js"))}
    exec("from __future__ import annotations\n" + ast.unparse(found), scope)
    return scope[name]


dpo_loss, cpo_loss = method("dpo_trainer.py", "dpo_loss"), method("cpo_trainer.py", "cpo_loss")
VARIANTS = {
    "dpo": dict(variant="dpo", beta=0.1), "smoothed": dict(variant="dpo", beta=0.3, smoothing=0.1),
    "robust": dict(variant="robust", beta=0.5, smoothing=0.2), "ipo": dict(variant="ipo", beta=0.25),
    "simpo": dict(variant="simpo", beta=2.0, margin=0.8), "length normalized": dict(variant="dpo", beta=1.5, normalized=True),
    "nll": dict(variant="dpo", beta=0.1, nll=0.2),
}
LENGTHS = [(3, 5), (1, 2), (7, 4), (2, 2)]
generator = torch.Generator().manual_seed(11)


def draw(n):
    return (-torch.rand(n, generator=generator, dtype=torch.float64) * 4).tolist()


pairs = [dict(chosen=draw(c), rejected=draw(r), ref_chosen=draw(c), ref_rejected=draw(r)) for c, r in LENGTHS]
out = {"pairs": pairs, "cases": {}}
for name, v in VARIANTS.items():
    mean = v.get("normalized") or v["variant"] in ("ipo", "simpo")
    tokens = [(torch.tensor(p["chosen"], dtype=torch.float64, requires_grad=True),
               torch.tensor(p["rejected"], dtype=torch.float64, requires_grad=True)) for p in pairs]
    reduce = (lambda t: t.mean()) if mean else (lambda t: t.sum())
    chosen = torch.stack([reduce(c) for c, _ in tokens])
    rejected = torch.stack([reduce(r) for _, r in tokens])
    ref = [torch.stack([reduce(torch.tensor(p[k], dtype=torch.float64)) for p in pairs]) for k in ("ref_chosen", "ref_rejected")]
    self = types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device="cpu"), reference_free=False, f_divergence_type="reverse_kl", beta=v["beta"],
        label_smoothing=v.get("smoothing", 0.0), simpo_gamma=v.get("margin", 0.0),
        loss_type={"dpo": "sigmoid"}.get(v["variant"], v["variant"]))
    losses, chosen_rewards, rejected_rewards = (
        cpo_loss(self, chosen, rejected) if v["variant"] == "simpo" else dpo_loss(self, chosen, rejected, *ref))
    losses = losses + v.get("nll", 0.0) * torch.stack([-c.mean() for c, _ in tokens])
    losses.sum().backward()
    out["cases"][name] = dict(
        **v, losses=losses.tolist(), chosen_rewards=chosen_rewards.tolist(), rejected_rewards=rejected_rewards.tolist(),
        grad_chosen=[c.grad.tolist() for c, _ in tokens], grad_rejected=[r.grad.tolist() for _, r in tokens])
(pathlib.Path(__file__).parent / "losses.json").write_text(json.dumps(out) + "\n")
