"""Writes ppo.json: rewards, advantages, returns, losses and gradients of PPO, as TRL computes them.

    pip install torch==2.15.0 && pip download --no-deps trl==0.19.1   # and unpack
    python make_ppo.py <folder of trl's package>

The statements are taken out of TRL's own source (trainer/ppo_trainer.py and core.py), so that nothing else of it needs to be
installed. Rewards, advantages and returns are computed answer by answer, without padding: with padding TRL puts the score on
the token after the last one. Whitening and losses are over all answers, padded and masked.
"""

import ast
import json
import pathlib
import sys
import types
from typing import Optional

import torch

trl = pathlib.Path(sys.argv[1])
core = {"torch": torch, "Optional": Optional}
for node in ast.parse((trl / "core.py").read_text()).body:
    if isinstance(node, ast.FunctionDef) and node.name in ("masked_mean", "masked_var", "masked_whiten"):
        exec(ast.unparse(node), core)
train = next(n for n in ast.walk(ast.parse((trl / "trainer/ppo_trainer.py").read_text()))
             if isinstance(n, ast.FunctionDef) and n.name == "train")


def statements(*names):
    """Assignments to these names, but for masks and whitening, in the order of the source; with "lastgaelam", its loop."""
    found, loops = [], []
    for node in ast.walk(train):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            found.append(node)
        if isinstance(node, ast.AugAssign) and ast.unparse(node.target).startswith("rewards[") and "rewards" in names:
            found.append(node)
        if isinstance(node, ast.For) and ast.unparse(node.iter) == "reversed(range(gen_length))" and "lastgaelam" in names:
            loops.append(node)
    found = [n for n in found if not any(loop.lineno < n.lineno <= loop.end_lineno for loop in loops)] + loops
    text = [ast.unparse(n) for n in sorted(found, key=lambda n: n.lineno)]
    return "\n".join(t for t in text if "masked_fill" not in t and "masked_whiten" not in t)


torch.set_default_dtype(torch.float64)
g = torch.Generator().manual_seed(5)
rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
args = types.SimpleNamespace(kl_coef=0.05, kl_estimator="k1", gamma=0.98, lam=0.9, cliprange=0.2, cliprange_value=0.2, vf_coef=0.1)
LENGTHS, SCORES = [4, 1, 6, 3], [1.0, -0.5, 2.0, 0.25]
longest = max(LENGTHS)
answers, padded = [], {k: torch.zeros(len(LENGTHS), longest, dtype=torch.float64) for k in ("logp", "values", "advantages", "returns")}
mask = torch.zeros(len(LENGTHS), longest, dtype=torch.bool)
for i, (n, score) in enumerate(zip(LENGTHS, SCORES)):
    logprobs, ref, values = -rand(1, n).abs(), -rand(1, n).abs(), rand(1, n)
    scope = dict(core, args=args, logprobs=logprobs, ref_logprobs=ref, values=values, scores=torch.tensor([score], dtype=torch.float64),
                 responses=logprobs, sequence_lengths=torch.tensor([n - 1]), sequence_lengths_p1=torch.tensor([n]))
    exec(statements("logr", "kl", "non_score_reward", "rewards", "actual_start", "actual_end"), scope)
    exec(statements("lastgaelam", "advantages_reversed", "gen_length", "advantages", "returns"), scope)
    answers.append(dict(logp=logprobs[0].tolist(), ref=ref[0].tolist(), values=values[0].tolist(), score=score,
                        rewards=scope["rewards"][0].tolist(), advantages=scope["advantages"][0].tolist(), returns=scope["returns"][0].tolist()))
    mask[i, :n] = True
    for k, v in (("logp", logprobs), ("values", values), ("advantages", scope["advantages"]), ("returns", scope["returns"])):
        padded[k][i, :n] = v[0]
white = core["masked_whiten"](padded["advantages"], mask)
new, vpred = (padded["logp"] + 0.3 * rand(*mask.shape)).requires_grad_(), (padded["values"] + 0.4 * rand(*mask.shape)).requires_grad_()
scope = dict(core, args=args, new_logprobs=new, mb_logprobs=padded["logp"], mb_advantage=white, vpred=vpred, mb_values=padded["values"],
             mb_return=padded["returns"], padding_mask=~mask, padding_mask_p1=~mask, micro_batch_inds=slice(None))
exec(statements("vpredclipped", "vf_losses1", "vf_losses2", "vf_loss_max", "vf_loss", "vf_clipfrac", "logprobs_diff", "ratio", "pg_losses",
                "pg_losses2", "pg_loss_max", "pg_loss", "pg_clipfrac", "loss"), scope)
scope["loss"].backward()
for i, (a, n) in enumerate(zip(answers, LENGTHS)):
    a.update(whitened=white[i, :n].tolist(), new_logp=new[i, :n].tolist(), new_values=vpred[i, :n].tolist(),
             grad_logp=new.grad[i, :n].tolist(), grad_values=vpred.grad[i, :n].tolist())
out = dict(beta=args.kl_coef, gamma=args.gamma, **{"lambda": args.lam}, clip=args.cliprange, value_clip=args.cliprange_value, vf=args.vf_coef,
           policy_loss=scope["pg_loss"].item(), value_loss=scope["vf_loss"].item(), clip_fraction=scope["pg_clipfrac"].item(),
           value_clip_fraction=scope["vf_clipfrac"].item(), answers=answers)
pathlib.Path(__file__).with_name("ppo.json").write_text(json.dumps(out) + "\n")
