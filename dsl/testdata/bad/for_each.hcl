variable "names" {
  type    = list(number)
  default = [1, 2]
}

locals {
  sizes = { a = scaling_law.size.dim }
  empty = null
}

model "unknown" {
  for_each = { a = scaling_law.size.dim } # ERROR: for_each must be known before any step runs, and scaling_law.size is the output of a step
  n_layer  = 2
}

model "through" {
  for_each = local.sizes # ERROR: local.sizes depends on the output of scaling_law.size
  n_layer  = each.value
}

model "numbers" {
  for_each = var.names # ERROR: One element is the number 1
  n_layer  = each.value
}

model "null" {
  for_each = local.empty # ERROR: for_each is null
  n_layer  = 2
}

model "string" {
  for_each = "abc" # ERROR: for_each must be a map or a list of strings; this is the string "abc".
  n_layer  = 2
  dimm     = 2 # ERROR: Did you mean "dim"?
}

model "each" {
  for_each = { a = each.key } # ERROR: each outside of for_each
  n_layer  = 2
}

model "none" {
  for_each = {}
  n_layer  = each.value
  dimm     = 2 # ERROR: Did you mean "dim"?
}

model "user" {
  n_layer = model.string["x"].parameters + model.unknown["a"].parameters
}

scaling_law "size" {
  data    = mixture.web
  budgets = [1]
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" { data = dataset.code }
}

tokenizer "bpe" {}

dataset "code" {
  files { include = ["*.go"] }
}
