model "a" {
  n_layer = 2
  n_layer = 3 # ERROR: Attribute redefined
}
