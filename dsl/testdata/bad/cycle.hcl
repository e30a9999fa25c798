locals {
  x = local.y # ERROR: These depend on each other: local.x
  y = [local.z]
  z = "${local.x}"
}

model "a" {
  n_layer = model.b.parameters # ERROR: model.a (testdata/bad/cycle.hcl line 7) → model.b (testdata/bad/cycle.hcl line 11) → model.c (testdata/bad/cycle.hcl line 15) → model.a
}

model "b" {
  n_layer = model.c.parameters
}

model "c" {
  n_layer    = 2
  depends_on = [model.a]
}

model "d" {
  n_layer = model.a.parameters
}

model "e" {
  for_each = { one = "two", two = "one" }
  n_layer  = model.e[each.value].parameters # ERROR: Cycle among steps
}
