variable "alignment" {
  default = "dpo"
}

locals {
  loss = pretrain.ppo.loss
  good = var.alignment == "ppo" ? pretrain.ppo : pretrain.dpo
}

model "base" {
  n_layer = 2
}

model "ppo" {
  when    = var.alignment == "ppo"
  n_layer = 2
}

pretrain "ppo" {
  when  = var.alignment == "ppo"
  model = model.ppo
  data  = mixture.web
}

pretrain "dpo" {
  model = model.base
  data  = mixture.web
}

evaluate "a" { model = pretrain.ppo } # ERROR: pretrain.ppo is skipped because its when is false

evaluate "b" { model = pretrain.ppo.model } # ERROR: A skipped step is used

evaluate "c" { model = local.good }

evaluate "d" { model = var.alignment == "ppo" ? pretrain.ppo.model : pretrain.dpo.model }

model "d" { n_layer = pretrain.ppo.loss + 1 } # ERROR: A skipped step is used

model "e" { n_layer = try(pretrain.ppo.loss, 3) }

output "x" { value = pretrain.ppo } # ERROR: A skipped step is used

output "y" { value = pretrain.ppo == null }

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" { data = dataset.code }
}

tokenizer "bpe" {}

dataset "code" {
  files { include = ["*.go"] }
}
