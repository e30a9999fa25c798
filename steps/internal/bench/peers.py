# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3", "tiktoken==0.14.0"]
# ///
"""The peers of Athanor's benchmarks: one JSON request per line on standard input, one reply per line on standard output.

player.go says what requests and replies hold. Each job computes what the job of that name computes in serve.go and
returns the same check figures, which the parent compares before it measures anything.
"""
import json
import os
import sys
import time

THREADS = int(os.environ.get("ATHANOR_BENCH_THREADS", "1"))


def numbers(rows, cols, seed):
    import numpy as np

    i = np.arange(rows * cols, dtype=np.uint64) + np.uint64(seed * 1_000_003)
    return ((i * np.uint64(2654435761) % np.uint64(1999)).astype(np.float32) / np.float32(1000) - 1).reshape(rows, cols)


def operands(r):
    """The two operands of a product, in the order in which they are multiplied, and the shape of the result."""
    n, i, o = r["n"], r["i"], r["o"]
    if r["product"] == "forward":
        return numbers(n, i, 1), numbers(o, i, 2).T, (n, o)
    if r["product"] == "input":
        return numbers(n, o, 1), numbers(o, i, 2), (n, i)
    return numbers(n, o, 1).T, numbers(n, i, 2), (o, i)


class NumpyProduct:
    """numpy cannot add to what is there, so its product of the weights' gradient saves one pass over the result."""

    def __init__(self, r):
        import numpy as np

        a, b, shape = operands(r)
        out = np.zeros(shape, np.float32)
        self.run = lambda: np.dot(a, b, out=out)
        self.run()
        self.check = [float((out.astype(np.float64) ** 2).mean())]


class TorchProduct:
    def __init__(self, r):
        import torch

        a, b, shape = operands(r)
        kind = getattr(torch, r["precision"])
        a, b, out = torch.from_numpy(a).to(kind), torch.from_numpy(b).to(kind), torch.zeros(shape, dtype=kind)
        if r["product"] == "weight":
            self.run = lambda: out.addmm_(a, b)
        else:
            self.run = lambda: torch.mm(a, b, out=out)
        self.run()
        self.check = [float((out.double() ** 2).mean())]


class TorchStep:
    """A whole training step of a Llama model: forward, backward, clipping, fused AdamW."""

    def __init__(self, r):
        import torch
        import torch.nn.functional as F
        from safetensors.torch import load_file

        with open(os.path.join(r["model"], "config.json")) as f:
            config = json.load(f)
        model = llama(config)
        weights = load_file(os.path.join(r["model"], "model.safetensors"))
        weights = {name.removeprefix("model."): value for name, value in weights.items()}
        weights.pop("lm_head.weight", None)
        model.load_state_dict(weights)
        del weights
        ids = torch.tensor(r["ids"]).view(-1, r["context"])
        targets = torch.tensor(r["targets"])
        decayed = [p for name, p in model.named_parameters() if name.endswith("_proj.weight")]
        others = [p for name, p in model.named_parameters() if not name.endswith("_proj.weight")]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)

        def loss_of(ids, targets):
            return F.cross_entropy(model(ids).view(-1, config["vocab_size"]).float(), targets)

        if r.get("compile"):
            loss_of = torch.compile(loss_of)
        low = r["precision"] == "bfloat16"

        def run():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=low):
                loss = loss_of(ids, targets)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return [float(loss.detach()), float(norm)]

        self.run = run
        self.check = run() + run()


def llama(c):
    """The model of a Hugging Face config.json in plain PyTorch, its head tied to the embedding."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    heads, groups = c["num_attention_heads"], c["num_key_value_heads"]
    width, size, eps = c["hidden_size"], c["head_dim"], c["rms_norm_eps"]

    def rotate(x, cos, sin):
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q_proj = nn.Linear(width, heads * size, bias=False)
            self.k_proj = nn.Linear(width, groups * size, bias=False)
            self.v_proj = nn.Linear(width, groups * size, bias=False)
            self.o_proj = nn.Linear(heads * size, width, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            q = rotate(self.q_proj(x).view(b, t, heads, size).transpose(1, 2), cos, sin)
            k = rotate(self.k_proj(x).view(b, t, groups, size).transpose(1, 2), cos, sin)
            v = self.v_proj(x).view(b, t, groups, size).transpose(1, 2)
            q, k = q.to(v.dtype), k.to(v.dtype)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=groups != heads)
            return self.o_proj(y.transpose(1, 2).reshape(b, t, heads * size))

    class FeedForward(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate_proj = nn.Linear(width, c["intermediate_size"], bias=False)
            self.up_proj = nn.Linear(width, c["intermediate_size"], bias=False)
            self.down_proj = nn.Linear(c["intermediate_size"], width, bias=False)

        def forward(self, x):
            return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.self_attn, self.mlp = Attention(), FeedForward()
            self.input_layernorm, self.post_attention_layernorm = nn.RMSNorm(width, eps), nn.RMSNorm(width, eps)

        def forward(self, x, cos, sin):
            x = x + self.self_attn(self.input_layernorm(x), cos, sin)
            return x + self.mlp(self.post_attention_layernorm(x))

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed_tokens = nn.Embedding(c["vocab_size"], width)
            self.layers = nn.ModuleList(Layer() for _ in range(c["num_hidden_layers"]))
            self.norm = nn.RMSNorm(width, eps)
            frequencies = c["rope_theta"] ** -(torch.arange(0, size, 2).double() / size)
            angles = torch.outer(torch.arange(c["max_position_embeddings"]).double(), frequencies)
            self.register_buffer("cos", angles.cos().float(), persistent=False)
            self.register_buffer("sin", angles.sin().float(), persistent=False)

        def forward(self, ids):
            x = self.embed_tokens(ids)
            cos, sin = self.cos[: ids.shape[1]], self.sin[: ids.shape[1]]
            for layer in self.layers:
                x = layer(x, cos, sin)
            return F.linear(self.norm(x), self.embed_tokens.weight)

    return Llama()


def texts_of(r):
    with open(r["text"], encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def tokenizer_file(r):
    return os.path.join(r["tokenizer"], "tokenizer.json")


class HuggingFaceTraining:
    def __init__(self, r):
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        texts = texts_of(r)
        with open(tokenizer_file(r), encoding="utf-8") as f:
            rule = json.load(f)["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]

        def run():
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
                pre_tokenizers.Split(Regex(rule), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ])
            trainer = trainers.BpeTrainer(
                vocab_size=r["vocab"], min_frequency=2, show_progress=False,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            )
            tokenizer.train_from_iterator(texts, trainer)
            return tokenizer

        self.run = run
        self.check = [float(len(run().encode(texts[0]).ids))]


class HuggingFaceEncoding:
    """Only the encoding is timed: turning the ids into Python's numbers is left out, in the peer's favour."""

    def __init__(self, r):
        from tokenizers import Tokenizer

        texts, tokenizer = texts_of(r), Tokenizer.from_file(tokenizer_file(r))
        self.run = lambda: tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ids = [e.ids for e in self.run()]
        self.check = [float(sum(map(len, ids))), float(sum(map(sum, ids)))]


class TiktokenEncoding:
    def __init__(self, r):
        import tiktoken

        with open(tokenizer_file(r), encoding="utf-8") as f:
            file = json.load(f)
        rule = file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
        byte_of = byte_alphabet()
        ranks = {bytes(byte_of[c] for c in token): rank for token, rank in file["model"]["vocab"].items()}
        encoder = tiktoken.Encoding("athanor", pat_str=rule, mergeable_ranks=ranks, special_tokens={})
        texts = texts_of(r)
        self.run = lambda: encoder.encode_ordinary_batch(texts, num_threads=THREADS)
        ids = self.run()
        self.check = [float(sum(map(len, ids))), float(sum(map(sum, ids)))]


def byte_alphabet():
    """GPT-2's characters for the 256 bytes: printable ones stand for themselves, the others for those from U+0100 on."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [b for b in range(256) if b not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


JOBS = {
    "gemm-numpy": NumpyProduct,
    "gemm-torch": TorchProduct,
    "step": TorchStep,
    "train": HuggingFaceTraining,
    "encode": HuggingFaceEncoding,
    "encode-tiktoken": TiktokenEncoding,
}


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "numpy", "tokenizers", "tiktoken"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def main():
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no reply
    job = None
    for line in sys.stdin:
        r, back = json.loads(line), {}
        try:
            if r["do"] == "hello":
                back["versions"] = versions()
            elif r["do"] == "prepare":
                job = None
                job = JOBS[r["job"]](r)
                back["check"] = job.check
            else:
                for _ in range(r.get("warm", 0)):
                    job.run()
                start, running = time.perf_counter(), time.process_time()
                for _ in range(r["calls"]):
                    job.run()
                back["seconds"] = time.perf_counter() - start
                back["cpu_seconds"] = time.process_time() - running
        except Exception as e:  # a job that a library refuses is a result too
            back["error"] = f"{type(e).__name__}: {e}"[:500]
        print(json.dumps(back), file=out, flush=True)


main()
