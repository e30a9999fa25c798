model "a" {
  n_layer = {a = 1}.a
  dim     = 1 / 0 # ERROR: dim is infinite
  any     = 1 # ERROR: Unknown attribute
}

model "b" {
  n_layer = var.missing + local.missing # ERROR: Unknown variable # ERROR: Unknown local value
  dim     = upper(1, 2) # ERROR: Too many function arguments
}

model "c" {
  n_layer = jsondecode("{") # ERROR: Error in function call
  dim     = env("NO_SUCH") # ERROR: the environment variable NO_SUCH is not set
}
