pretrain "a" {
  model = model.a
  optimizer { lr = 3e-3  betas = [0.9, 0.95] } # ERROR: More than one argument in a single-line block
}

model "a" { n_layer = 2, dim = 3 } # ERROR: More than one argument in a single-line block
