"""Ten optimizer steps of a tiny Llama in PyTorch, for TestTenStepsOfPyTorch.

Versions: torch 2.15.0, transformers 5.23.0, safetensors any. Run in this folder: python ten_steps.py
Writes ten_steps/ (the initial weights as a Hugging Face folder) and ten_steps.json (the data and what came out).
All arithmetic is in float64, so that the fixture is the mathematics and not one machine's rounding.
"""

import json
import math

import torch
from transformers import LlamaConfig, LlamaForCausalLM

torch.manual_seed(7)
config = LlamaConfig(
    vocab_size=32, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, head_dim=8, max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False,
    initializer_range=0.2, attn_implementation="eager", bos_token_id=None, eos_token_id=None, pad_token_id=None,
)
model = LlamaForCausalLM(config)
model.float().save_pretrained("ten_steps")
model = model.double()

STEPS, TOKENS = 10, 40
PEAK, WARMUP, FINAL = 2e-2, 3 * TOKENS, 0.1
BETAS, EPS, DECAY, CLIP, Z = (0.9, 0.95), 1e-8, 0.1, 2.0, 1e-3
TOTAL = STEPS * TOKENS


def lr(step):
    begin, end = step * TOKENS, (step + 1) * TOKENS
    if begin < WARMUP:
        return PEAK * end / WARMUP
    p = (begin - WARMUP) / (TOTAL - WARMUP)
    return PEAK * (FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * p)))


matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed_tokens" not in n]
others = [p for n, p in model.named_parameters() if p.dim() != 2 or "embed_tokens" in n]
optimizer = torch.optim.AdamW(
    [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
    lr=PEAK, betas=BETAS, eps=EPS,
)

generator = torch.Generator().manual_seed(11)
steps = []
for step in range(STEPS):
    documents, left = [], TOKENS
    while left > 0:
        n = min(left, int(torch.randint(2, 17, (1,), generator=generator)))
        start = int(torch.randint(0, 32, (1,), generator=generator))
        stride = int(torch.randint(1, 4, (1,), generator=generator))
        documents.append([(start + stride * i) % 32 for i in range(n)])
        left -= n
    supervised = sum(len(d) - 1 for d in documents)
    optimizer.zero_grad()
    total = 0.0
    for d in documents:
        if len(d) < 2:
            continue
        ids = torch.tensor([d])
        logits = model(ids).logits[0, :-1]
        lse = torch.logsumexp(logits, -1)
        nll = lse - logits.gather(-1, ids[0, 1:, None])[:, 0]
        loss = (nll + Z * lse**2).sum() / supervised
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP).item()
    for group in optimizer.param_groups:
        group["lr"] = lr(step)
    optimizer.step()
    steps.append({"documents": documents, "loss": total, "grad_norm": norm, "lr": lr(step)})

sums = {n: [p.sum().item(), p.square().sum().item()] for n, p in model.named_parameters()}
settings = {
    "peak": PEAK, "warmup": WARMUP, "final": FINAL, "beta1": BETAS[0], "beta2": BETAS[1], "eps": EPS,
    "weight_decay": DECAY, "clip": CLIP, "z_loss": Z,
}
with open("ten_steps.json", "w") as f:
    json.dump({"settings": settings, "steps": steps, "weights": sums}, f, indent=1)
