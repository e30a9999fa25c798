model "a" {
  n_layers = 2 # ERROR: Did you mean "n_layer"?
  n_layer  = 2
  depth    = 3 # ERROR: Unknown attribute
  whem     = true # ERROR: Did you mean "when"?
}

x = 1 # ERROR: Attribute outside of a block
