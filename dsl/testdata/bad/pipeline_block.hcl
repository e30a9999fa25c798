pipeline "p" {
  seed        = model.a.parameters # ERROR: The pipeline block must be known
  descriptoin = "x" # ERROR: Did you mean "description"?
}

locals "x" { # ERROR: Unexpected label
  a = 1
  b {} # ERROR: locals holds attributes only
}

output "a" {} # ERROR: output "a" needs a value

output "b" {
  value = [for x in [1] : x.y] # ERROR: Unsupported attribute
}

model "a" { n_layer = 1 }
