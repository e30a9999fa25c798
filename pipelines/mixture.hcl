# How much of what? Small models trained on sampled mixtures say which weights are best for a target; a model trained on these
# is then compared with one on equal weights and one on weights by size, at equal tokens.
#
# Purpose   mixture_search, and a trial of what it says
# Device    CPU
# Minutes   about 1 on two cores
# Expect    the least held-out loss with the tuned weights

pipeline "mixture" {
  description = "The best weights for a model of code and its documentation."
  seed        = 1337
}

variable "tokens" {
  type        = number
  default     = 500000
  description = "Tokens to train each of the three models on."
}

locals {
  code = {
    library  = { include = ["${goroot()}/src/**/*.go"], exclude = ["*_test.go", "${goroot()}/src/cmd/**"] }
    tests    = { include = ["${goroot()}/src/**/*_test.go"], exclude = [] }
    commands = { include = ["${goroot()}/src/cmd/**/*.go"], exclude = ["*_test.go"] }
  }
  weights = {
    tuned   = mixture_search.best.weights
    uniform = { library = 1, tests = 1, commands = 1, docs = 1 }
    size    = { library = dataset.code["library"].bytes, tests = dataset.code["tests"].bytes, commands = dataset.code["commands"].bytes, docs = dataset.docs.bytes }
  }
}

dataset "code" {
  for_each = local.code
  files {
    include = each.value.include
    exclude = concat(each.value.exclude, ["**/testdata/**", "**/vendor/**"])
  }
  filter {
    min_chars     = 200
    drop_matching = ["(?m)^// Code generated .* DO NOT EDIT\\.$"]
  }
  dedup {}
  holdout = 0.02
}

# Doc comments of the commands, read by a small program, and the toolchain's Markdown.
dataset "docs" {
  program {
    command = ["go", "run", "./godoc/main.go", "${goroot()}/src/cmd"]
    inputs  = ["${goroot()}/src/cmd/**/*.go"]
  }
  files {
    include = ["${goroot()}/**/*.md"]
    exclude = ["**/vendor/**"]
  }
  filter {
    min_chars = 200
  }
  dedup {}
  holdout = 0.05
}

tokenizer "bpe" {
  train {
    corpus     = [dataset.code["library"], dataset.docs]
    vocab_size = 1024
  }
}

mixture "parts" {
  tokenizer = tokenizer.bpe
  part "library" {
    data = dataset.code["library"]
  }
  part "tests" {
    data = dataset.code["tests"]
  }
  part "commands" {
    data = dataset.code["commands"]
  }
  part "docs" {
    data = dataset.docs
  }
}

model "base" {
  tokenizer      = tokenizer.bpe
  n_layer        = 2
  dim            = 64
  n_head         = 2
  max_context    = 128
  rope_theta     = 10000
  init_std       = 0.06
  tie_embeddings = true
}

# Good at the library and at documentation, both alike; no part more than four times over.
mixture_search "best" {
  model   = model.base
  data    = mixture.parts
  target  = { library = 1, docs = 1 }
  budget  = var.tokens
  proxies = 14
  tokens  = 100000
  context = 128
  optimizer {
    lr = 4e-3
  }
  batch {
    tokens = 512
  }
}

mixture "trial" {
  for_each  = toset(["tuned", "uniform", "size"])
  tokenizer = tokenizer.bpe
  part "library" {
    data   = dataset.code["library"]
    weight = local.weights[each.key]["library"]
  }
  part "tests" {
    data   = dataset.code["tests"]
    weight = local.weights[each.key]["tests"]
  }
  part "commands" {
    data   = dataset.code["commands"]
    weight = local.weights[each.key]["commands"]
  }
  part "docs" {
    data   = dataset.docs
    weight = local.weights[each.key]["docs"]
  }
}

pretrain "trial" {
  for_each = toset(["tuned", "uniform", "size"])
  model    = model.base
  data     = mixture.trial[each.key]
  context  = 128
  tokens   = var.tokens
  optimizer {
    lr = 4e-3
  }
  batch {
    tokens = 512
  }
}

evaluate "trial" {
  for_each = toset(["tuned", "uniform", "size"])
  model    = pretrain.trial[each.key]
  dataset "library" {
    data = dataset.code["library"]
  }
  dataset "docs" {
    data = dataset.docs
  }
}

output "weights" {
  value = mixture_search.best.weights
}

output "loss" {
  description = "Held-out loss on the target, in nats per token."
  value       = { for name in ["tuned", "uniform", "size"] : name => (evaluate.trial[name].loss["library"] + evaluate.trial[name].loss["docs"]) / 2 }
}
