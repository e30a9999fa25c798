model "a" {
  n_layer = 0 # ERROR: n_layer must be at least 1; it is 0.
}

dataset "code" {
  files {
    include = [] # ERROR: The length of include must be at least 1; it is 0.
    per     = "lines" # ERROR: Did you mean "line"?
  }
  holdout = 0.6 # ERROR: holdout must be between 0 and 0.5; it is 0.6.
}

tokenizer "bpe" {
  train {
    corpus     = [] # ERROR: The length of corpus must be at least 1; it is 0.
    vocab_size = 100 # ERROR: vocab_size must be at least 256; it is 100.
  }
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" {
    data   = dataset.code
    weight = -1 # ERROR: weight must be at least 0; it is -1.
  }
}

pretrain "a" {
  model = model.a
  data  = mixture.web
  schedule { shape = "square" } # ERROR: The choices are: constant, cosine, linear, wsd.
}
