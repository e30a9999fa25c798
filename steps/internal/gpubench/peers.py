# /// script
# requires-python = ">=3.10"
# dependencies = ["torch>=2.11", "transformers>=4.57"]
# ///
"""What gpubench measures, with PyTorch and transformers: one line of JSON with the same names.

    python peers.py step --model 350m --context 2048 --compile
    python peers.py decode --model 350m --batch 32

A step is a Llama in plain PyTorch: scaled_dot_product_attention, bfloat16 autocast over float32 weights, clipping, fused
AdamW. Decoding is transformers.generate in bfloat16.
"""
import argparse
import gc
import json
import time

import torch
import torch.nn.functional as F
from torch import nn

MODELS = {  # layers, width, heads, feed-forward, vocabulary; gpubench has the same
    "tiny": (2, 64, 2, 128, 256),
    "124m": (12, 768, 12, 2048, 50304),
    "350m": (24, 1024, 16, 2816, 50304),
    "1.2b": (22, 2048, 16, 5504, 50304),
}
EPS, THETA = 1e-5, 5e5


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Layer(nn.Module):
    def __init__(self, width, heads, forward):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, forward, bias=False) for _ in range(2))
        self.down = nn.Linear(forward, width, bias=False)
        self.norm1, self.norm2 = nn.RMSNorm(width, EPS), nn.RMSNorm(width, EPS)

    def forward(self, x, cos, sin):
        b, t, d = x.shape
        n = self.norm1(x)
        q, k, v = (m(n).view(b, t, self.heads, self.size).transpose(1, 2) for m in (self.q, self.k, self.v))
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).reshape(b, t, d))
        n = self.norm2(x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Llama(nn.Module):
    def __init__(self, layers, width, heads, forward, vocabulary, context):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(Layer(width, heads, forward) for _ in range(layers))
        self.norm = nn.RMSNorm(width, EPS)
        size = width // heads
        angles = torch.outer(torch.arange(context).double(), THETA ** -(torch.arange(0, size, 2).double() / size))
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embed.weight)


def step(o, tokens):
    """Training steps, in tokens per second."""
    torch.manual_seed(1)
    shape = MODELS[o.model]
    model = Llama(*shape, o.context).to(o.device)
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed" in n]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    ids = torch.randint(0, shape[4], (tokens // o.context, o.context + 1), device=o.device)

    def loss_of(x, y):
        return F.cross_entropy(model(x).flatten(0, 1).float(), y.flatten())

    if o.compile:
        loss_of = torch.compile(loss_of)

    def run():
        with torch.autocast(o.device, dtype=torch.bfloat16):
            loss = loss_of(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    seconds = clock(o, 5, o.count, run)
    return (tokens // o.context) * o.context * o.count / seconds


def decode(o):
    """transformers.generate, in tokens per second over all texts."""
    from transformers import LlamaConfig, LlamaForCausalLM

    layers, width, heads, forward, vocabulary = MODELS[o.model]
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=width, intermediate_size=forward, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=heads, rms_norm_eps=EPS, rope_theta=THETA, tie_word_embeddings=True, max_position_embeddings=8192,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )
    model = LlamaForCausalLM(config).to(o.device, torch.bfloat16).eval()
    ids = torch.arange(1, o.batch + 1, device=o.device).remainder(vocabulary).view(-1, 1)  # 0 would be padding

    def run():
        model.generate(ids, max_new_tokens=o.count, min_new_tokens=o.count, do_sample=True, temperature=1.0, top_k=0)

    with torch.inference_mode():
        return o.batch * o.count / clock(o, 1, 1, run)


def clock(o, warm, calls, run):
    def wait():
        if o.device == "cuda":
            torch.cuda.synchronize()

    for _ in range(warm):
        run()
    wait()
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    wait()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["step", "decode"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="124m", choices=MODELS)
    parser.add_argument("--context", type=int, default=1024)
    parser.add_argument("--tokens", default="131072,65536,32768,16384,8192")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    o = parser.parse_args()
    torch.set_float32_matmul_precision("high")
    layers, width, heads, forward, vocabulary = MODELS[o.model]
    result = {"job": o.job, "side": f"transformers {__import__('transformers').__version__}" if o.job == "decode" else "PyTorch",
              "model": o.model, "rate": 0.0}
    if o.job == "step" and o.compile:
        result["side"] += ", compiled"
    try:
        if o.job == "decode":
            result |= {"batch": o.batch, "tokens": o.count, "rate": decode(o)}
        else:
            # As Athanor counts: 6 for each weight that multiplies, the head included, and attention's two products.
            weights = layers * (4 * width * width + 3 * width * forward) + vocabulary * width
            result |= {"context": o.context, "flops": 6.0 * weights + 6.0 * layers * width * o.context}
            for size in map(int, o.tokens.split(",")):
                try:
                    result |= {"tokens": size, "rate": step(o, size)}
                    break
                except torch.cuda.OutOfMemoryError:
                    pass
                # Only here nothing refers to that step's tensors; the peak shall be that of the step that fits.
                torch._dynamo.reset()
                gc.collect()
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
            else:
                result["problem"] = "out of memory"
    except Exception as e:
        result["problem"] = f"{type(e).__name__}: {e}"[:300]
    if o.device == "cuda":
        result["bytes"] = torch.cuda.max_memory_reserved()
    print(json.dumps(result), flush=True)


main()
