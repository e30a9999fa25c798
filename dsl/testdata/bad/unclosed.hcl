model "a" { # ERROR: Unclosed configuration block
  n_layer = 2
