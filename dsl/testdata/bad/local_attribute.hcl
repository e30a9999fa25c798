locals {
  sizes = { small = 2, large = 12 }
  step  = scaling_law.size
}

model "a" {
  n_layer = local.sizes.smal # ERROR: Did you mean "small"?
  dim     = local.step.width # ERROR: There is no attribute "width" here. The attributes are: dim, good, n_layer.
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
