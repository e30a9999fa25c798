pretrian "a" { # ERROR: Did you mean "pretrain"?
}

module "x" { # ERROR: Unknown step type
}

model "a" {
  n_layer = 2
}

evaluate "a" { model = pretrain.a }
