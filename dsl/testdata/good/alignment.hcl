# Choosing between steps of different types, skipping, and what follows from it.
variable "alignment" {
  type    = string
  default = "ppo"
}

variable "sizes" {
  type    = map(object({ n_layer = number, dim = optional(number, 64) }))
  default = { small = { n_layer = 2 }, large = { n_layer = 12, dim = 768 } }
}

locals {
  aligned = var.alignment == "ppo" ? ppo.aligned : dpo.aligned
  models  = [for name, m in model.size : m]
  names   = keys(model.size)
}

dataset "text" {
  files {
    include = ["*.txt"]
    per     = "line"
  }
  filter {
    min_chars = 10
    max_chars = length(local.names) * 1000
  }
}

tokenizer "bpe" {}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "text" {
    data       = dataset.text
    max_epochs = 4
  }
}

model "size" {
  for_each = var.sizes
  n_layer  = each.value.n_layer
  dim      = each.value.dim
}

pretrain "size" {
  for_each = var.sizes
  model    = model.size[each.key]
  data     = mixture.web
  tokens   = model.size[each.key].parameters * 20
  labels   = { size = each.key, "layers" = each.value.n_layer }
  any      = [1, "two", { three = 3.5, big = 1e21 }]
  when     = each.key == "large" || scaling_law.size.dim > 1
}

ppo "aligned" {
  when   = var.alignment == "ppo"
  model  = pretrain.size["large"].model
  reward = pretrain.size["small"]
  data   = mixture.web
}

dpo "aligned" {
  when  = var.alignment != "ppo"
  model = ppo.aligned.policy # not checked: this step is skipped too
  data  = mixture.web
}

evaluate "direct" { model = var.alignment == "ppo" ? ppo.aligned.model : dpo.aligned }

evaluate "nested" {
  model = (scaling_law.size.good ? pretrain.size["small"] : (scaling_law.size.dim > 2 ? pretrain.size["large"] : dpo.aligned))
}

evaluate "parameters" {
  model = var.alignment == "ppo" ? ppo.aligned.policy : dpo.aligned.model
  data  = scaling_law.size.good ? [dataset.text] : []
}

evaluate "maybe" {
  model = try(dpo.aligned.model, pretrain.size["large"].model)
  data  = null
}

scaling_law "size" {
  data    = mixture.web
  budgets = [for b in ["1e11", 2e11] : tonumber(b)]
}

output "models" {
  description = "By size."
  value       = { for name, step in pretrain.size : name => step.loss }
}

output "report" { value = evaluate.direct.report }
