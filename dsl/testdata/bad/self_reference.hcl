model "a" {
  n_layer = model.a.parameters # ERROR: A step refers to itself
}

model "b" {
  n_layer = local.through # ERROR: A step refers to itself
}

locals {
  through = model.b.parameters
}
