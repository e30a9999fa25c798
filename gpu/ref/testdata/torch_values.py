"""Values of PyTorch for the operators of gpu/ref, forward and backward, in float64.

Made with torch 2.15.0 and transformers 5.23.0:

    python torch_values.py > torch.json

Each case is {"op", "sizes": {letter: number}, "in": {name: values}, "out": {name: values}}, values row-major.
"""

import json
import math

import torch
import torch.nn.functional as F
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb, repeat_kv

torch.manual_seed(1)
torch.set_default_dtype(torch.float64)
cases = []


def operand(*shape):
    return torch.randn(*shape).requires_grad_()


def case(op, sizes, inputs, outputs):
    flat = lambda values: {k: torch.as_tensor(v).detach().flatten().tolist() for k, v in values.items()}
    cases.append({"op": op, "sizes": sizes, "in": flat(inputs), "out": flat(outputs)})


def rms_norm(N, D, eps):
    x, weight, d_out, add = operand(N, D), operand(D), torch.randn(N, D), torch.randn(N, D)
    out = F.rms_norm(x, (D,), weight, eps)
    out.backward(d_out)
    case("RMSNorm", {"N": N, "D": D}, {"x": x, "weight": weight, "dOut": d_out, "add": add, "eps": [eps]},
         {"out": out, "dx": x.grad + add, "dWeight": weight.grad})


def linear(N, I, O):
    x, w, dy, add = operand(N, I), operand(O, I), torch.randn(N, O), torch.randn(N, O)
    y = F.linear(x, w) + add
    y.backward(dy)
    case("Linear", {"N": N, "I": I, "O": O}, {"x": x, "w": w, "dy": dy, "add": add},
         {"y": y, "dx": x.grad, "dw": w.grad})


def rope(N, heads, E, theta, scale, first):
    x, d_out = operand(N, heads, E), torch.randn(N, heads, E)
    inv_freq = theta ** (-torch.arange(0, E, 2) / E)
    positions = torch.arange(first, first + N)
    angles = positions[:, None] * inv_freq[None, :]
    angles = torch.cat((angles, angles), dim=-1)[None]
    # transformers has [batch, heads, tokens, E].
    out, _ = apply_rotary_pos_emb(x.transpose(0, 1)[None], x.transpose(0, 1)[None],
                                  angles.cos() * scale, angles.sin() * scale)
    out = out[0].transpose(0, 1)
    out.backward(d_out)
    case("Rope", {"N": N, "H": heads, "E": E, "first": first},
         {"x": x, "dOut": d_out, "invFreq": inv_freq, "scale": [scale]}, {"out": out, "dx": x.grad})


def attention(lengths, H, G, E):
    N = sum(lengths)
    q, k, v, d_out = operand(N, H, E), operand(N, G, E), operand(N, G, E), torch.randn(N, H, E)
    heads_first = lambda t: t.transpose(0, 1)[None]
    outs, lses, start = [], [], 0
    for n in lengths:
        part = slice(start, start + n)
        qs, ks, vs = heads_first(q[part]), heads_first(k[part]), heads_first(v[part])
        ks, vs = repeat_kv(ks, H // G), repeat_kv(vs, H // G)
        outs.append(F.scaled_dot_product_attention(qs, ks, vs, is_causal=True)[0].transpose(0, 1))
        scores = (qs @ ks.transpose(-1, -2) / math.sqrt(E)).masked_fill(torch.ones(n, n).triu(1).bool(), -math.inf)
        lses.append(scores.logsumexp(-1)[0].transpose(0, 1))
        start += n
    out = torch.cat(outs)
    out.backward(d_out)
    case("Attention", {"H": H, "G": G, "E": E},
         {"q": q, "k": k, "v": v, "dOut": d_out, "lengths": torch.tensor(lengths, dtype=torch.float64)},
         {"out": out, "lse": torch.cat(lses), "dq": q.grad, "dk": k.grad, "dv": v.grad})


def swiglu(N, width):
    gate, up, d_out = operand(N, width), operand(N, width), torch.randn(N, width)
    out = F.silu(gate) * up
    out.backward(d_out)
    case("SwiGLU", {"N": N, "F": width}, {"gate": gate, "up": up, "dOut": d_out},
         {"out": out, "dGate": gate.grad, "dUp": up.grad})


def lm_head(N, D, V, temperature):
    x, w = operand(N, D), operand(V, D)
    d_logp, d_lse = torch.randn(N), torch.randn(N)
    targets = torch.randint(V, (N,))
    targets[1] = -1
    kept = (targets >= 0).double()
    z = F.linear(x, w) / temperature
    logp = -F.cross_entropy(z, targets, ignore_index=-1, reduction="none")
    lse = z.logsumexp(-1) * kept
    (logp * d_logp * kept + lse * d_lse).sum().backward()
    case("LMHead", {"N": N, "D": D, "V": V},
         {"x": x, "w": w, "dLogp": d_logp, "dLSE": d_lse, "targets": targets.double(), "temperature": [temperature]},
         {"logp": logp * kept, "lse": lse, "dx": x.grad, "dw": w.grad})


def embed(N, V, D):
    table, d_out, ids = operand(V, D), torch.randn(N, D), torch.randint(V, (N,))
    out = F.embedding(ids, table)
    out.backward(d_out)
    case("Embed", {"N": N, "V": V, "D": D}, {"table": table, "dOut": d_out, "ids": ids.double()},
         {"out": out, "dTable": table.grad})


def adamw(steps, lr, betas, eps, decay, scale):
    n = 6
    weight = torch.randn(n)
    grads = torch.randn(steps, n)
    parameter = weight.clone().requires_grad_()
    optimizer = torch.optim.AdamW([parameter], lr=lr, betas=betas, eps=eps, weight_decay=decay)
    for g in grads:
        parameter.grad = g * scale
        optimizer.step()
    state = optimizer.state[parameter]
    case("AdamW", {"steps": steps, "n": n},
         {"weight": weight, "grads": grads, "hyper": [lr, betas[0], betas[1], eps, decay, scale]},
         {"weight": parameter, "m": state["exp_avg"], "v": state["exp_avg_sq"]})


embed(5, 3, 4)
rms_norm(3, 5, 2**-17)  # a power of two, for eps is a float32
rms_norm(2, 8, 2**-7)
linear(3, 5, 4)
rope(5, 2, 6, 10000.0, 1.0, 0)
rope(3, 1, 8, 500000.0, 1.25, 100000)
attention([5], 2, 2, 4)
attention([3, 1, 4], 4, 1, 2)
attention([4, 5], 6, 2, 6)
swiglu(3, 5)
lm_head(4, 5, 7, 1.0)
lm_head(4, 5, 7, 0.6)
adamw(1, 0.1, (0.9, 0.95), 1e-8, 0.0, 1.0)
adamw(20, 0.03, (0.9, 0.95), 1e-8, 0.1, 0.25)
print("[" + ",\n".join(map(json.dumps, cases)) + "]")
