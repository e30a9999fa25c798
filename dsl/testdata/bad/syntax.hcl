model "a" {
  n_layer = = 2 # ERROR: Invalid expression
}
