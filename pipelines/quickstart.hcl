# Quickstart: a language model from text that every machine with Go already has.
#
# Purpose   the whole way from raw text to a trained model, small enough to watch
# Device    CPU
# Minutes   about 2 on two cores
# Expect    held-out bits per byte below those of gzip -9 on the same text

pipeline "quickstart" {
  description = "A small Llama on the hand-written sources and the prose of the Go toolchain."
  seed        = 1337
}

variable "tokens" {
  type        = number
  default     = 1500000
  description = "Tokens to train on."
  validation {
    condition     = var.tokens >= 8192
    error_message = "tokens is at least 8192, a few batches."
  }
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

tokenizer "bpe" {
  train {
    corpus     = [dataset.code, dataset.prose]
    vocab_size = 4096
  }
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "code" {
    data   = dataset.code
    weight = 0.7
  }
  part "prose" {
    data       = dataset.prose
    weight     = 0.3
    max_epochs = 4
  }
}

model "base" {
  tokenizer      = tokenizer.bpe
  n_layer        = 4
  dim            = 128
  n_head         = 4
  n_kv_head      = 2
  max_context    = 256
  rope_theta     = 10000
  init_std       = 0.06 # about half of 1/√dim: a narrow model wants more than the 0.02 of wide ones
  tie_embeddings = true
}

pretrain "base" {
  model   = model.base
  data    = mixture.web
  context = 256
  tokens  = var.tokens

  optimizer {
    lr = 4e-3
  }
  schedule {
    warmup = 0.05
    shape  = "cosine"
    final  = 0.02
  }
  batch {
    tokens       = 1024
    micro_tokens = 2048
    ramp {
      at     = 0.6
      tokens = 2048
    }
  }
  eval {
    tokens = 8192
  }
}

# What came of it: bits per byte on the text that was held back, beside two compressors, and what it writes.
evaluate "final" {
  model     = pretrain.base
  baselines = ["gzip", "xz"]

  dataset "code" {
    data = dataset.code
  }
  dataset "prose" {
    data = dataset.prose
  }
  sample {
    prompts     = ["// TrimSpace returns", "func (b *Buffer) Write(", "if err != nil {\n\t\t", "The rays of light"]
    tokens      = 64
    temperature = 0.7
  }

  require {
    condition     = self.bits_per_byte["code"] < self.gzip["code"] && self.bits_per_byte["prose"] < self.gzip["prose"]
    error_message = "The model does not predict the held-out text better than gzip -9 packs it. Train on more tokens: --var tokens=4000000."
  }
}

output "model" {
  description = "A folder that transformers loads as it is."
  value       = pretrain.base.model
}

output "bits_per_byte" {
  value = {
    model = evaluate.final.bits_per_byte
    gzip  = evaluate.final.gzip
    xz    = evaluate.final.xz
  }
}
