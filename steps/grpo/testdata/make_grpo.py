"""Writes grpo.json: advantages, loss and gradients of GRPO, as TRL computes them.

    pip install torch==2.15.0 && pip download --no-deps trl==0.19.1   # and unpack
    python make_grpo.py <folder of trl's package>

The statements are taken out of TRL's own source (trainer/grpo_trainer.py), so that nothing else of it needs to be installed. The
loss is its "bnpo": the mean over all tokens of the batch.
"""

import ast
import json
import pathlib
import sys
import types

import torch

tree = ast.parse((pathlib.Path(sys.argv[1]) / "trainer/grpo_trainer.py").read_text())


def statements(function, *names):
    body = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function)
    found = [n for n in ast.walk(body) if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name) and n.targets[0].id in names]
    found.sort(key=lambda n: n.lineno)
    return [ast.unparse(n) for n in found]


torch.set_default_dtype(torch.float64)
g = torch.Generator().manual_seed(6)
rand = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)
self = types.SimpleNamespace(num_generations=4, epsilon_low=0.2, epsilon_high=0.28, beta=0.04)
LENGTHS, rewards = [3, 1, 5, 2, 4, 4, 2, 6], torch.tensor([1.0, 0, 0, 0.5, 2, 2, 2, 2], dtype=torch.float64)
scope = dict(torch=torch, self=self, rewards=rewards)
lines = statements("_generate_and_score_completions", "mean_grouped_rewards", "std_grouped_rewards", "advantages")
lines = [line for line in lines if "process_slice" not in line]
exec("\n".join(line for line in lines if "1e-4" not in line and "0.0001" not in line), scope)
plain = scope["advantages"]
exec("\n".join(line for line in lines if "0.0001" in line or "1e-4" in line), scope)
scaled = scope["advantages"]
assert not torch.equal(plain, scaled)
mask = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.float64)
for i, n in enumerate(LENGTHS):
    mask[i, :n] = 1
old, ref = -rand(*mask.shape).abs(), -rand(*mask.shape).abs()
new = (old + 0.3 * rand(*mask.shape)).requires_grad_()
scope = dict(torch=torch, self=self, per_token_logps=new, old_per_token_logps=old, ref_per_token_logps=ref, advantages=plain, completion_mask=mask)
lines = statements("_compute_loss", "per_token_kl", "coef_1", "coef_2", "per_token_loss1", "per_token_loss2", "per_token_loss")
exec("\n".join(line for line in lines if "self.args.delta" not in line), scope)
loss = next(line for line in statements("_compute_loss", "loss") if "completion_mask.sum().clamp" in line)
exec(loss, scope)
scope["loss"].backward()
row = lambda t, i: t[i, :LENGTHS[i]].tolist()
out = dict(group=self.num_generations, low=self.epsilon_low, high=self.epsilon_high, beta=self.beta, loss=scope["loss"].item(), answers=[
    dict(score=rewards[i].item(), advantage=plain[i].item(), scaled=scaled[i].item(), old=row(old, i), ref=row(ref, i),
         new=row(new, i), grad=row(new.grad, i)) for i in range(len(LENGTHS))])
pathlib.Path(__file__).with_name("grpo.json").write_text(json.dumps(out) + "\n")
