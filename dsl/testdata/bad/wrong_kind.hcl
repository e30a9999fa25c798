locals {
  chosen = scaling_law.size.good ? dataset.code : model.a
}

dataset "code" {
  files { include = ["*.go"] }
}

dataset "parts" {
  for_each = ["a", "b"]
  files { include = [each.key] }
}

tokenizer "bpe" {
  train {
    corpus     = [dataset.code, model.a, dataset.parts["a"].records] # ERROR: corpus[1] expects a dataset; model.a is a model. # ERROR: corpus[2] expects a dataset
    vocab_size = 4096
  }
}

tokenizer "one" {
  train {
    corpus     = dataset.code # ERROR: Write [dataset.code].
    vocab_size = 4096
  }
}

tokenizer "parts" {
  train {
    corpus     = dataset.parts # ERROR: Write values(dataset.parts).
    vocab_size = 4096
  }
}

tokenizer "joined" {
  train {
    corpus     = concat([dataset.code], [model.a]) # ERROR: expects a dataset; model.a is a model
    vocab_size = 4096
  }
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" { data = dataset.code }
}

model "a" {
  n_layer = 2
}

pretrain "a" {
  model = dataset.code # ERROR: model expects a model; dataset.code is a dataset.
  data  = dataset.code.dataset # ERROR: data expects tokens; dataset.code is a dataset.
}

pretrain "unknown" {
  model = scaling_law.size.good ? (dataset.code) : model.a # ERROR: dataset.code is a dataset
  data  = [mixture.web][scaling_law.size.dim]
}

pretrain "local" {
  model = local.chosen # ERROR: dataset.code is a dataset
  data  = scaling_law.size # ERROR: scaling_law.size is a step without artifacts
}

pretrain "several" {
  model   = ppo.a # ERROR: Write one of ppo.a.model, ppo.a.policy.
  data    = "tokens" # ERROR: data expects tokens; this is the string "tokens".
  by_name = { a = dataset.code, b = model.a } # ERROR: by_name["b"] expects a dataset; model.a is a model
}

ppo "a" {
  model = model.a
  data  = mixture.web
  extra = [null] # ERROR: Null in a list
}

scaling_law "size" {
  data    = mixture.web
  budgets = [1]
}
