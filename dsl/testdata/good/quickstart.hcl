pipeline "quickstart" {
  description = "Everything at once."
  seed        = 1337
}

variable "alignment" {
  type    = string
  default = "dpo"
  validation {
    condition     = contains(["ppo", "dpo"], var.alignment)
    error_message = "alignment is ppo or dpo."
  }
}

locals {
  final = var.alignment == "ppo" ? ppo.aligned.model : dpo.aligned.model
  step  = var.alignment == "ppo" ? pretrain.base : dpo.aligned
  lr    = 3e-3
}

dataset "code" {
  files {
    include = ["${goroot()}/src/**/*.go"]
  }
  holdout = 0.01
}

dataset "part" {
  for_each = { prose = "*.md", books = "*.txt" }
  files {
    include = [each.value]
  }
}

tokenizer "bpe" {
  train {
    corpus     = concat([dataset.code.dataset], [for d in dataset.part : d.dataset])
    vocab_size = 4096
  }
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "code" { data = dataset.code }
  part "prose" {
    data   = dataset.part["prose"]
    weight = 0.3
  }
}

scaling_law "size" {
  data    = mixture.web
  budgets = [2e11, 5e11]
}

model "base" {
  n_layer = scaling_law.size.n_layer
  dim     = scaling_law.size.dim
}

pretrain "base" {
  model   = model.base
  data    = mixture.web
  extra   = [dataset.code, dataset.part["books"]]
  by_name = { code = dataset.code.dataset }
  optimizer { lr = local.lr }
  seed    = 7
  timeout = "2h"
  retry {
    attempts = 3
    backoff  = "10s"
  }
  require {
    condition     = self.loss < 4 && pretrain.base.loss > 0
    error_message = "loss is ${self.loss}"
  }
}

ppo "aligned" {
  when  = var.alignment == "ppo"
  model = pretrain.base
  data  = mixture.web
}

dpo "aligned" {
  when       = var.alignment == "dpo"
  model      = pretrain.base
  data       = mixture.web
  depends_on = [scaling_law.size, dataset.part["books"]]
}

evaluate "final" { model = local.final }
evaluate "step" { model = local.step }
evaluate "late" { model = scaling_law.size.good ? pretrain.base : dpo.aligned }

output "loss" { value = evaluate.final.loss }
