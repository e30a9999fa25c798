# Quickstart: a language model from text that every machine with Go already has, by the whole recipe in small.
#
# Purpose   data, tokenizer, scaling law, pre-training, longer contexts, annealing, then SFT, a reward model, PPO and DPO,
#           with an evaluation of each half: small enough to watch
# Device    CPU
# Minutes   about 8 on two cores
# Expect    every needle found in texts of 512 tokens; held-out bits per byte below those of gzip -9; a table of BASE, SFT,
#           PPO and DPO

pipeline "quickstart" {
  description = "A small Llama on the hand-written sources and the prose of the Go toolchain."
  seed        = 1337
}

variable "flops" {
  type        = number
  default     = 1e13
  description = "FLOPs to pre-train with: the scaling law says how large the model is then best."
  validation {
    condition     = var.flops >= 2e12
    error_message = "flops is at least 2e12: more than the proxies have."
  }
}

variable "max_tokens" {
  type        = number
  default     = 1000000
  description = "Most tokens that a context stage may take to pass its gate. For a stage that has not passed yet 40960 are too few: exit code 3."
}

locals {
  fact = "The {key} obeys {value}." # what a needle says
}

# Go code: the standard library as people wrote it. The commands are left out, because the prose comes from there.
dataset "code" {
  files {
    include = ["${goroot()}/src/**/*.go"]
    exclude = ["*_test.go", "**/testdata/**", "**/vendor/**", "${goroot()}/src/cmd/**"]
  }
  filter {
    min_chars     = 200
    drop_matching = ["(?m)^// Code generated .* DO NOT EDIT\\.$"]
  }
  dedup {}
  holdout = 0.02
}

# Prose: doc comments of the commands, read by a small program, the toolchain's Markdown, and Newton's Opticks.
dataset "prose" {
  program {
    command = ["go", "run", "./godoc/main.go", "${goroot()}/src/cmd"]
    inputs  = ["${goroot()}/src/cmd/**/*.go"]
  }
  files {
    include = ["${goroot()}/**/*.md"]
    exclude = ["**/vendor/**"]
  }
  files {
    include   = ["${goroot()}/src/testdata/Isaac.Newton-Opticks.txt"]
    separator = "\n\n\n"
  }
  filter {
    min_chars = 200
  }
  dedup {}
  holdout = 0.02
}

# Practice in looking back: pieces of code in which a fact is said, and said again. One dataset for each context, with
# pieces of a suitable length. The needle test asks for other facts, in other documents.
dataset "practice" {
  for_each = {
    "128" = 180 # bytes
    "256" = 450
    "512" = 1300
  }
  files {
    include = ["${goroot()}/src/{net,os,crypto,encoding}/**/*.go"]
    exclude = ["*_test.go", "**/testdata/**", "**/vendor/**"]
  }
  needles {
    template = local.fact
    values   = "names"
    every    = each.value
    length   = each.value
    repeats  = 8
  }
  holdout = 0.02 # a document's text decides: the same ones as above
}

tokenizer "bpe" {
  train {
    corpus     = [dataset.code, dataset.prose, dataset.practice["128"]]
    vocab_size = 2048
  }
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "code" {
    data   = dataset.code
    weight = 0.42
  }
  part "prose" {
    data       = dataset.prose
    weight     = 0.18
    max_epochs = 4
  }
  part "practice" {
    data   = dataset.practice["128"]
    weight = 0.4
  }
}

# How large should the model be? Small ones of several sizes are trained at three budgets; where each curve of the loss has
# its minimum says how the best size grows with the budget.
scaling_law "size" {
  data    = mixture.web
  budgets = [3e11, 6e11, 1.2e12]
  target  = var.flops
  context = 128

  size {
    n_layer = 3
    dim     = 16
  }
  size {
    n_layer = 3
    dim     = 28
  }
  size {
    n_layer = 3
    dim     = 44
  }
  size {
    n_layer = 3
    dim     = 68
  }
  model {
    n_layer        = 3
    head_dim       = 32
    tie_embeddings = true
    rope_theta     = 10000
    init_std       = 0.06
  }
  optimizer {
    lr = 4e-3
  }
  schedule {
    warmup = 0.03
    shape  = "cosine"
    final  = 0.2
  }
  batch {
    tokens       = 512
    micro_tokens = 2048
  }
  eval {
    tokens = 16384
  }
}

# The size that the law says for var.flops, and as many tokens as these pay for.
model "base" {
  tokenizer      = tokenizer.bpe
  n_layer        = scaling_law.size.n_layer
  dim            = scaling_law.size.dim
  n_head         = scaling_law.size.n_head
  n_kv_head      = scaling_law.size.n_kv_head
  max_context    = 128
  rope_theta     = 10000
  init_std       = 0.06 # about half of 1/√dim: a narrow model wants more than the 0.02 of wide ones
  tie_embeddings = true
}

pretrain "base" {
  model   = model.base
  data    = mixture.web
  context = 128
  tokens  = scaling_law.size.tokens

  optimizer {
    lr = 3e-3
  }
  schedule {
    warmup = 0.03
    shape  = "cosine"
    final  = 0.2
  }
  batch {
    tokens       = 512
    micro_tokens = 2048
    ramp {
      at     = 0.5
      tokens = 1024
    }
  }
  eval {
    tokens = 8192
    needle { # how well it looks back already: watch value_loss fall
      template = local.fact
      values   = "names"
    }
  }
}

# Longer texts, in two stages, with more practice. Each goes on until short texts are predicted as well as before and every
# needle is found. At first the learning rate is high, for the new; then it falls, and the old comes back.
mixture "long" {
  for_each  = toset(["256", "512"])
  tokenizer = tokenizer.bpe
  part "code" {
    data   = dataset.code
    weight = 0.28
  }
  part "prose" {
    data       = dataset.prose
    weight     = 0.12
    max_epochs = 4
  }
  part "practice" {
    data   = dataset.practice[each.key]
    weight = 0.6
  }
}

extend_context "base" {
  model = pretrain.base
  data  = mixture.long["512"]
  stage {
    context    = 256
    data       = mixture.long["256"]
    rope_theta = 20000
    max_tokens = var.max_tokens
  }
  stage {
    context    = 512
    rope_theta = 40000
    max_tokens = var.max_tokens
  }
  gate {
    check_every = 40960
    eval_tokens = 8192
    grid {
      template = local.fact
      values   = "names"
    }
  }
  optimizer {
    lr = 1.5e-3
  }
  schedule {
    shape  = "linear"
    tokens = 600000
    final  = 0.05
  }
  batch {
    tokens       = 1024
    micro_tokens = 2048
  }
}

# The end: on the best data, with less practice, the learning rate falls to zero; the model is the mean of its weights on
# the way.
mixture "best" {
  tokenizer = tokenizer.bpe
  part "code" {
    data   = dataset.code
    weight = 0.52
  }
  part "prose" {
    data       = dataset.prose
    weight     = 0.18
    max_epochs = 4
  }
  part "practice" {
    data   = dataset.practice["512"]
    weight = 0.3
  }
}

anneal "base" {
  model  = extend_context.base
  data   = mixture.best
  tokens = 400000
  optimizer {
    lr = pretrain.base.final_lr
  }
  batch {
    tokens       = 1024
    micro_tokens = 2048
  }
  average {
    kind = "polyak"
  }
  eval {
    tokens = 8192
  }
}

# What came of it: bits per byte on the text that was held back, beside two compressors, needles, and what it writes.
evaluate "final" {
  model     = anneal.base
  baselines = ["gzip", "xz"]

  dataset "code" {
    data = dataset.code
  }
  dataset "prose" {
    data = dataset.prose
  }
  needle "hay" {
    data     = dataset.code
    template = local.fact
    values   = "names"
  }
  sample {
    prompts     = ["// TrimSpace returns", "func (b *Buffer) Write(", "if err != nil {\n\t\t", "The rays of light"]
    tokens      = 64
    temperature = 0.7
  }

  require {
    condition     = self.bits_per_byte["code"] < self.gzip["code"] && self.bits_per_byte["prose"] < self.gzip["prose"]
    error_message = "The model does not predict the held-out text better than gzip -9 packs it. Train on more: --var flops=2e13."
  }
}

output "model" {
  description = "A folder that transformers loads as it is."
  value       = anneal.base.model
}

output "bits_per_byte" {
  value = {
    model = evaluate.final.bits_per_byte
    gzip  = evaluate.final.gzip
    xz    = evaluate.final.xz
  }
}

output "needles" {
  value = evaluate.final.accuracy["hay"]
}

# From here on: a model that answers. What functions of the standard library do, in the words of their authors. One
# question in seven is held back, the same ones in both datasets.
dataset "dialogues" {
  program {
    command = ["go", "run", "./askgo/main.go", "dialogues", "${goroot()}/src"]
    inputs  = ["${goroot()}/src/**/*.go"]
  }
  holdout = 0.15
}

# The same answers beside worse ones: about something else, not whole, said twice, without end.
dataset "pairs" {
  program {
    command = ["go", "run", "./askgo/main.go", "pairs", "${goroot()}/src"]
    inputs  = ["${goroot()}/src/**/*.go"]
  }
  holdout = 0.15
}

sft "chat" {
  model  = anneal.base
  data   = dataset.dialogues
  epochs = 2
  optimizer {
    lr = 4e-3
  }
  batch {
    size = 16
  }
}

reward_model "judge" {
  model  = sft.chat
  data   = dataset.pairs
  epochs = 3
  optimizer {
    lr = 1e-3
  }
  batch {
    size = 16
  }
  eval {
    examples = 1000
  }
}

# Two ways to better answers. PPO samples, is judged by the reward model, and learns, over and over.
ppo "aligned" {
  policy     = sft.chat
  reward     = reward_model.judge
  data       = dataset.dialogues
  iterations = 60
  epochs     = 2
  rollout {
    prompts = 256
    tokens  = 40
  }
  update {
    size = 64
  }
  optimizer {
    lr = 2e-4
  }
  kl {
    coefficient = 0.1
    bound       = 10
  }
  require {
    condition     = self.kl <= 10
    error_message = "PPO went further from the SFT model than its bound."
  }
}

# DPO needs neither samples nor a judge: it learns from the pairs themselves, and is held to what it was by the likelihood
# of the better answers.
dpo "aligned" {
  model = sft.chat
  data  = dataset.pairs
  optimizer {
    lr = 1e-3
  }
  batch {
    size = 16
  }
}

# All four on the questions held back. The rule is one that nothing was trained by: an answer begins with the function's
# name, is one sentence, ends by itself, and says no four words twice.
evaluate "answers" {
  model = anneal.base
  name  = "base"
  compare "sft" {
    model = sft.chat
  }
  compare "ppo" {
    model   = ppo.aligned
    against = "sft"
  }
  compare "dpo" {
    model   = dpo.aligned
    against = "sft"
  }

  chat "godoc" {
    data = dataset.dialogues
    sampling {
      tokens = 40
    }
    rule "good" {
      program = ["go", "run", "./askgo/main.go", "judge"]
    }
    reward    = reward_model.judge
    reference = sft.chat
  }

  require {
    condition     = self.difference_low["sft/godoc/good"] > 0
    error_message = "Fine-tuning has not made answers better."
  }
  require {
    condition     = min(self.difference_low["ppo/godoc/good"], self.difference_low["dpo/godoc/good"]) > 0
    error_message = "Alignment has not made answers better."
  }
}

output "answers" {
  description = "Figures of answers to questions held back."
  value       = evaluate.answers.chat
}
