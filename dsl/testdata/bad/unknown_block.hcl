pretrain "a" {
  model = model.a
  data  = mixture.web
  optimiser { # ERROR: Did you mean "optimizer"?
    lr = 1
  }
  schedule = { shape = "cosine" } # ERROR: A block is written as an attribute
  model { # ERROR: An attribute is written as a block
  }
  optimizer {
    lr  = 1
    eps = 2 # ERROR: Unknown attribute
  }
}

model "a" {
  n_layer = 2
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part { data = dataset.code } # ERROR: Missing label
  part "a" "b" { data = dataset.code } # ERROR: Unexpected label
}

tokenizer "bpe" {}

dataset "code" {
  files { include = ["*.go"] }
}
