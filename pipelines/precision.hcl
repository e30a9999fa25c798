# Precision: the same training twice, in float32 and in what the machine does best.
#
# Purpose   to see on the own machine what bfloat16 costs in loss, and what it wins in time
# Device    CPU with AVX512_BF16; elsewhere auto is float32, and there is one training
# Minutes   about 2 on two cores
# Expect    two curves that differ by less than those of two seeds do

pipeline "precision" {
  description = "The quickstart's model on Go sources, 300 steps in each precision."
  seed        = 1337
}

dataset "code" {
  files {
    include = ["${goroot()}/src/**/*.go"]
    exclude = ["*_test.go", "**/testdata/**", "**/vendor/**", "${goroot()}/src/cmd/**"]
  }
  filter {
    min_chars     = 200
    drop_matching = ["(?m)^// Code generated .* DO NOT EDIT\\.$"]
  }
  dedup {}
  holdout = 0.02
}

tokenizer "bpe" {
  train {
    corpus     = [dataset.code]
    vocab_size = 4096
  }
}

mixture "code" {
  tokenizer = tokenizer.bpe
  part "code" {
    data = dataset.code
  }
}

model "base" {
  tokenizer      = tokenizer.bpe
  n_layer        = 4
  dim            = 128
  n_head         = 4
  n_kv_head      = 2
  max_context    = 256
  rope_theta     = 10000
  init_std       = 0.06
  tie_embeddings = true
}

pretrain "in" {
  for_each  = toset(["auto", "float32"])
  model     = model.base
  data      = mixture.code
  precision = each.value
  context   = 256
  tokens    = 614400

  optimizer {
    lr = 4e-3
  }
  schedule {
    warmup = 0.05
    shape  = "cosine"
    final  = 0.02
  }
  batch {
    tokens = 2048
  }
  eval {
    every  = 61440
    tokens = 16384
  }
}

output "bits_per_byte" {
  value = { for precision, run in pretrain.in : precision => run.bits_per_byte }
}
