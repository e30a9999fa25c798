model "base" {
  n_layer    = scaling_law.size.layers # ERROR: Did you mean "n_layer"?
  dim        = scaling_law.sise.dim    # ERROR: Did you mean "scaling_law.size"?
  rope_theta = var.theta               # ERROR: There is no variable "theta". Did you mean "thetas"?
}

variable "thetas" {
  default = 1
}

locals {
  one = 1
}

scaling_law "size" {
  data    = mixture.web
  budgets = [local.onne] # ERROR: Did you mean "one"?
}

mixture "web" {
  tokenizer = tokenizr.bpe # ERROR: Did you mean "tokenizer"?
  part "a" { data = code } # ERROR: code is not a value
  part "b" { data = dataset } # ERROR: dataset is a step type
  part "c" { data = pretrain.code } # ERROR: Did you mean "dataset.code"?
  part "d" { data = dataset.code["x"] } # ERROR: has no for_each
  part "e" { data = dataset.each } # ERROR: A key is missing
  part "f" { data = dataset.each["c"] } # ERROR: dataset.each has no instance "c"
  part "g" { data = dataset.each.dataset } # ERROR: A key is missing
  part "h" {
    data   = each.value # ERROR: each outside of for_each
    weight = self.count # ERROR: self outside of require
  }
  part "i" {
    data   = dataset.code
    weight = lenght("x") # ERROR: Did you mean "length"?
  }
}

dataset "code" {
  files { include = ["*.go"] }
}

dataset "each" {
  for_each = ["a", "b"]
  files { include = [each.kee] } # ERROR: each has two attributes
}

evaluate "a" {
  model      = local.nothing # ERROR: Unknown local value
  depends_on = [dataset.code, dataset.code.dataset, dataset.cod] # ERROR: Not a step # ERROR: Did you mean "dataset.code"?
}

output "x" { value = evaluate.a.lost } # ERROR: Did you mean "loss"?
