dataset "code" { # ERROR: Missing block
}

dataset "prose" {
  files {} # ERROR: Missing attribute
}

tokenizer "bpe" {
  train { # ERROR: needs corpus, a list of datasets
    vocab_size = 4096
  }
}

mixture "web" { # ERROR: needs at least 1 of the block part
  tokenizer = null # ERROR: Required attribute is null
}

model "a" {} # ERROR: n_layer

model { # ERROR: Missing name
}

model "not a name" { # ERROR: Not a name
}
