"""Writes losses.json: losses of preference pairs and their gradients, as TRL computes them.

    pip install torch==2.15.0 && pip download --no-deps trl==0.19.1   # and unpack
    python make_losses.py <folder of trl's package>

The functions dpo_loss, cpo_loss, odds_ratio_loss and kto_loss are taken out of TRL's own source, so that nothing else of it needs to be installed. What
they are given is built here as TRL does: sums of the log-probabilities of an answer's tokens, or means where the loss wants
them (ipo, simpo, orpo), and for nll TRL's rpo_alpha with the mean over the tokens of each chosen answer; orpo has such a
term with the coefficient 1. For kto each chosen answer is a good one and each rejected a bad one.
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
odds_ratio_loss, kto_loss = method("orpo_trainer.py", "odds_ratio_loss"), method("kto_trainer.py", "kto_loss")
VARIANTS = {
    "dpo": dict(variant="dpo", beta=0.1), "smoothed": dict(variant="dpo", beta=0.3, smoothing=0.1),
    "robust": dict(variant="robust", beta=0.5, smoothing=0.2), "ipo": dict(variant="ipo", beta=0.25),
    "simpo": dict(variant="simpo", beta=2.0, margin=0.8), "length normalized": dict(variant="dpo", beta=1.5, normalized=True),
    "nll": dict(variant="dpo", beta=0.1, nll=0.2), "orpo": dict(variant="orpo", beta=0.3, nll=1.0),
}
LENGTHS = [(3, 5), (1, 2), (7, 4), (2, 2)]
generator = torch.Generator().manual_seed(11)


def draw(n):
    return (-torch.rand(n, generator=generator, dtype=torch.float64) * 4).tolist()


pairs = [dict(chosen=draw(c), rejected=draw(r), ref_chosen=draw(c), ref_rejected=draw(r)) for c, r in LENGTHS]
out = {"pairs": pairs, "cases": {}}
for name, v in VARIANTS.items():
    mean = v.get("normalized") or v["variant"] in ("ipo", "simpo", "orpo")
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
    if v["variant"] == "orpo":
        losses, chosen_rewards, rejected_rewards = odds_ratio_loss(self, chosen, rejected)[:3]
        losses = -losses  # as get_batch_loss_metrics takes it
    elif v["variant"] == "simpo":
        losses, chosen_rewards, rejected_rewards = cpo_loss(self, chosen, rejected)
    else:
        losses, chosen_rewards, rejected_rewards = dpo_loss(self, chosen, rejected, *ref)
    losses = losses + v.get("nll", 0.0) * torch.stack([-c.mean() for c, _ in tokens])
    losses.sum().backward()
    out["cases"][name] = dict(
        **v, losses=losses.tolist(), chosen_rewards=chosen_rewards.tolist(), rejected_rewards=rejected_rewards.tolist(),
        grad_chosen=[c.grad.tolist() for c, _ in tokens], grad_rejected=[r.grad.tolist() for _, r in tokens])

# kto: the same answers one by one, and answers to other prompts, for a divergence above 0 and for one below.
out["kto"] = []
for shift in (0.5, -6.0):
    tokens = [(torch.tensor(p["chosen"], dtype=torch.float64, requires_grad=True),
               torch.tensor(p["rejected"], dtype=torch.float64, requires_grad=True)) for p in pairs]
    other = [dict(policy=draw(n), reference=draw(n)) for n in (2, 4, 3, 5, 1, 2, 6, 3)]
    for o in other:
        o["reference"][0] -= shift
    total = lambda lists: torch.stack([torch.tensor(x, dtype=torch.float64).sum() for x in lists])
    self = types.SimpleNamespace(
        accelerator=types.SimpleNamespace(device="cpu", gather_for_metrics=lambda x: x), calculate_KL=True, loss_type="kto", beta=0.4,
        desirable_weight=1.25, undesirable_weight=0.75)
    losses, chosen_rewards, rejected_rewards, kl = kto_loss(
        self, torch.stack([c.sum() for c, _ in tokens]), torch.stack([r.sum() for _, r in tokens]),
        total([o["policy"] for o in other]), total([p["ref_chosen"] for p in pairs]), total([p["ref_rejected"] for p in pairs]),
        total([o["reference"] for o in other]))
    losses.sum().backward()
    out["kto"].append(dict(
        beta=self.beta, desirable=self.desirable_weight, undesirable=self.undesirable_weight, other=other, kl=kl.item(), losses=losses.tolist(),
        chosen_rewards=chosen_rewards.tolist(), rejected_rewards=rejected_rewards.tolist(),
        grad_chosen=[c.grad.tolist() for c, _ in tokens], grad_rejected=[r.grad.tolist() for _, r in tokens]))
(pathlib.Path(__file__).parent / "losses.json").write_text(json.dumps(out) + "\n")
