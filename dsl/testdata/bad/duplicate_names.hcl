pipeline "one" {}

pipeline "two" {} # ERROR: Duplicate pipeline block

variable "a" { default = 1 }

variable "a" { default = 2 } # ERROR: Duplicate variable

locals {
  x = 1
}

locals {
  x = 2 # ERROR: Duplicate local value
}

model "m" { n_layer = 1 }

model "m" { n_layer = 2 } # ERROR: Duplicate step

output "o" { value = 1 }

output "o" { value = 2 } # ERROR: Duplicate output

pretrain "p" {
  model = model.m
  data  = mixture.web
  optimizer {}
  optimizer {} # ERROR: Duplicate block
}

mixture "web" {
  tokenizer = tokenizer.bpe
  part "a" { data = dataset.code }
  part "a" { data = dataset.code } # ERROR: Duplicate block
}

tokenizer "bpe" {}

dataset "code" {
  for_each = ["x", "x"] # ERROR: Duplicate key
  files { include = ["*.go"] }
}
