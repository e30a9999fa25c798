locals {
  words = ["a", "b"]
}

model "a" {
  n_layer    = "two" # ERROR: n_layer must be a number; this is the string "two".
  dim        = local.words # ERROR: dim must be a number; this is a list of 2.
  rope_theta = [1e4] # ERROR: Wrong type
}

model "b" {
  n_layer = 2.5 # ERROR: Not a whole number
  dim     = 1e30 # ERROR: Number out of range
}

pretrain "a" {
  model  = model.a
  data   = mixture.web
  tokens = scaling_law.size # ERROR: scaling_law.size is a step. Write one of its outputs
  optimizer {
    lr    = true # ERROR: Wrong type
    betas = [0.9, "x"] # ERROR: at [1], a number is required
  }
  labels = { a = [1] } # ERROR: Wrong type
}

pretrain "b" {
  model = model.a
  data  = mixture.web
  optimizer {
    betas = [0.9] # ERROR: Wrong number of elements
  }
  tokens = 1 + "x" # ERROR: Invalid operand
}

scaling_law "size" {
  data    = mixture.web
  budgets = [1e11, null] # ERROR: Null in a list
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" { data = dataset.code }
}

tokenizer "bpe" {}

dataset "code" {
  files { include = ["*.go"] }
}
