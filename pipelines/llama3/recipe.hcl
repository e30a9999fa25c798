# The recipe of Llama 3 (arXiv 2407.21783), from text to an aligned model: what its three sizes have in common.
#
# llama3-8b.hcl, llama3-70b.hcl and llama3-405b.hcl include this file and say in locals what differs. Numbers are the
# paper's unless a comment says "ours". What was never published, above all the data, is a variable.

variable "data" {
  description = "Patterns of JSON lines files (plain, gzip or zstd), by what is in them. Give it with --var-file."
  type = object({
    general      = list(string) # records with a text
    mathematics  = list(string)
    code         = list(string)
    multilingual = list(string)
    long         = list(string) # long documents: books, repositories
    best         = list(string) # a small selection of the best, for the end
    benchmarks   = list(string) # the evaluation sets that nothing may be trained on
    dialogues    = list(string) # records with messages
    preferences  = list(string) # records with prompt, chosen and rejected
  })
}

variable "alignment" {
  description = "dpo, as Llama 3 does it, or ppo, as InstructGPT does."
  type        = string
  default     = "dpo"
  validation {
    condition     = contains(["dpo", "ppo"], var.alignment)
    error_message = "alignment is dpo or ppo."
  }
}

variable "gpus" {
  description = "GPUs to plan for; left out, as many as the pipeline says."
  type        = number
  default     = null
}

variable "price_per_hour" {
  description = "Price of one GPU for an hour."
  type        = number
  default     = 2.5 # ours
}

locals {
  batch = 4194304 # "4M tokens": 512 sequences of 8,192
}

# Data: filters, deduplication by document, by line and by likeness, decontamination.

dataset "benchmarks" {
  jsonl {
    include = var.data.benchmarks
  }
}

dataset "prose" {
  for_each = {
    general     = ["gopher", "gopher_repetition", "fineweb"]
    mathematics = ["gopher_repetition"] # formulas are no prose (ours)
    long        = ["gopher_repetition"]
    best        = ["gopher", "gopher_repetition"]
  }
  jsonl {
    include = var.data[each.key]
  }
  filter {
    rules = each.value
  }
  dedup {
    near  = 0.8
    lines = 6
  }
  decontaminate {
    against = [dataset.benchmarks]
  }
  holdout = 0.0001
}

# The stop words of Gopher are English, and words are not parted by spaces everywhere.
dataset "multilingual" {
  jsonl {
    include = var.data.multilingual
  }
  filter {
    min_chars = 200 # ours
    max_run   = 100 # ours
    rules     = ["gopher_repetition"]
  }
  dedup {
    near  = 0.8
    lines = 6
  }
  decontaminate {
    against = [dataset.benchmarks]
  }
  holdout = 0.0001
}

# Limits of The Stack (arXiv 2211.15533): long lines and few letters are data, not code.
dataset "code" {
  jsonl {
    include = var.data.code
  }
  filter {
    max_line_chars = 1000
    min_alpha      = 0.25
  }
  dedup {
    near = 0.8
  }
  decontaminate {
    against = [dataset.benchmarks]
  }
  holdout = 0.0001
}

tokenizer "bpe" {
  train {
    corpus     = [dataset.prose["general"], dataset.prose["mathematics"], dataset.code, dataset.multilingual]
    vocab_size = 128256
  }
  special_tokens = "llama3"
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "general" {
    data       = dataset.prose["general"]
    weight     = 0.5
    max_epochs = 4
  }
  part "mathematics" {
    data       = dataset.prose["mathematics"]
    weight     = 0.25
    max_epochs = 4
  }
  part "code" {
    data       = dataset.code
    weight     = 0.17
    max_epochs = 4
  }
  part "multilingual" {
    data       = dataset.multilingual
    weight     = 0.08
    max_epochs = 4
  }
}

# Long documents up-weighted, short ones kept; the shares are ours.
mixture "long" {
  tokenizer = tokenizer.bpe
  part "long" {
    data   = dataset.prose["long"]
    weight = 0.5
  }
  part "general" {
    data   = dataset.prose["general"]
    weight = 0.3
  }
  part "code" {
    data   = dataset.code
    weight = 0.2
  }
}

# The paper gives a new set 30 % where it tries it while annealing.
mixture "best" {
  tokenizer = tokenizer.bpe
  part "best" {
    data   = dataset.prose["best"]
    weight = 0.3
  }
  part "general" {
    data   = dataset.prose["general"]
    weight = 0.35
  }
  part "mathematics" {
    data   = dataset.prose["mathematics"]
    weight = 0.175
  }
  part "code" {
    data   = dataset.code
    weight = 0.175
  }
}

# Pre-training.

model "base" {
  tokenizer   = tokenizer.bpe
  preset      = local.preset
  max_context = 8192
  rope_theta  = 500000
}

pretrain "base" {
  model   = model.base
  data    = mixture.web
  context = 8192 # 4,096 in the paper while the batch is 4M tokens, for 252M of them
  tokens  = local.tokens

  optimizer {
    lr           = local.peak_lr
    betas        = [0.9, 0.95]
    weight_decay = 0.1
    grad_clip    = 1
  }
  schedule {
    warmup = 8000
    shape  = "cosine"
    final  = 0.01
  }
  batch {
    tokens = local.batch
    ramp {
      at     = 252e6 / local.tokens
      tokens = 2 * local.batch
    }
    ramp {
      at     = 2.87e12 / local.tokens
      tokens = 4 * local.batch
    }
  }
  spike {
    sigma = 6
  }
}

# Context in six stages from 8K to 128K, about 800B tokens. The lengths in between and the shares of the tokens are ours;
# so is the scaling in the first stage: it is that of the published config.json, and holds from there on.
extend_context "long" {
  model = pretrain.base
  data  = mixture.long

  stage {
    context    = 16384
    max_tokens = local.stage_tokens
    rope_scaling {
      type             = "llama3"
      factor           = 8
      low_freq_factor  = 1
      high_freq_factor = 4
      original_context = 8192
    }
  }
  stage {
    context    = 32768
    max_tokens = local.stage_tokens
  }
  stage {
    context    = 49152
    max_tokens = local.stage_tokens
  }
  stage {
    context    = 65536
    max_tokens = local.stage_tokens
  }
  stage {
    context    = 98304
    max_tokens = local.stage_tokens
  }
  stage {
    context    = 131072
    max_tokens = local.stage_tokens
  }

  optimizer {
    lr = local.peak_lr * 0.01 # where pre-training ends
  }
  batch {
    tokens = 4 * local.batch
  }
  # "(1) model performance on short-context evaluations has recovered completely and (2) the model perfectly solves
  # needle in a haystack tasks up to that length" (section 3.4.2). How often it is looked for is ours.
  gate {
    needle           = 1
    short_loss_ratio = 1
    check_every      = 5e9
  }
}

# The learning rate to zero over the last 40M tokens, at the full context; the average of the weights is the model. The
# batch is ours: one of 16M would make this two steps.
anneal "base" {
  model  = extend_context.long
  data   = mixture.best
  tokens = 40e6
  optimizer {
    lr = local.peak_lr * 0.01
  }
  batch {
    tokens = local.batch
  }
  average {
    kind = "polyak"
  }
}

# Post-training: one of the paper's six rounds. A first chat model answers, a reward model keeps the best answers, and
# the model that was trained on them is aligned.

dataset "dialogues" {
  jsonl {
    include = var.data.dialogues
  }
  dedup {}
  holdout = 0.01
}

dataset "preferences" {
  jsonl {
    include = var.data.preferences
  }
  dedup {}
  holdout = 0.01
}

sft "first" {
  model   = anneal.base
  data    = dataset.dialogues
  context = 8192 # ours
  optimizer {
    lr = 1e-5
  }
}

reward_model "judge" {
  model    = sft.first
  data     = dataset.preferences
  context  = 8192
  margin   = 0 # Llama 3 removed it
  centring = 0.01
  optimizer {
    lr = 1e-5 # ours
  }
}

generate "best" {
  model   = sft.first
  data    = dataset.dialogues
  reward  = reward_model.judge
  answers = 20 # "10 to 30"
  keep    = 1
  context = 8192
  sampling {
    tokens = 2048 # ours
  }
}

sft "chat" {
  model   = sft.first
  data    = generate.best
  context = 8192
  optimizer {
    lr = 1e-5
  }
}

dpo "aligned" {
  when     = var.alignment == "dpo"
  model    = sft.chat
  data     = dataset.preferences
  context  = 8192
  beta     = 0.1
  nll      = 0.2
  mask_end = true
  optimizer {
    lr = local.dpo_lr
  }
}

ppo "aligned" {
  when    = var.alignment == "ppo"
  policy  = sft.chat
  reward  = reward_model.judge
  data    = dataset.preferences
  context = 8192
  epochs  = 4
  gamma   = 1
  lambda  = 0.95
  clip    = 0.2
  kl {
    coefficient = 0.05
  }
  rollout {
    tokens = 1024 # ours
  }
}

evaluate "final" {
  model = var.alignment == "dpo" ? dpo.aligned : ppo.aligned
  compare "base" {
    model = anneal.base
  }
  compare "chat" {
    model = sft.chat
  }
  dataset "general" {
    data = dataset.prose["general"]
  }
  dataset "code" {
    data = dataset.code
  }
  needle "needles" {
    data    = dataset.prose["long"]
    lengths = [8192, 32768, 65536, 131072]
  }
}

output "model" {
  value = var.alignment == "dpo" ? dpo.aligned.model : ppo.aligned.model
}
