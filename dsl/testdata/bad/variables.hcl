# VAR: count=abc
# VAR: sizes=[1, "x"]
# VAR: alignment=pro
# VAR: free=ppo
# VAR: alignmint=ppo
# ENV: ENGINE_VAR_budget=many
variable "count" { # ABOUT: count
  type = number
}

variable "sizes" {
  type = list(number)
}

variable "alignment" {
  type    = string
  default = "dpo"
  validation {
    condition     = contains(["ppo", "dpo"], var.alignment) # ERROR: alignment is ppo or dpo.
    error_message = "alignment is ppo or dpo."
  }
  validation {
    condition = local.x # ERROR: validation may refer to var.NAME only.
  }
  validation {} # ERROR: Missing attribute
}

variable "free" {
  type = any
}

variable "budget" {
  default = 1e12
}

variable "none" {} # ERROR: none has no default.

variable "typed" {
  type    = list(nothing) # ERROR: Invalid type specification
  default = 1
}

variable "wrong" {
  type    = object({ a = number, b = optional(string, "x") })
  default = { a = "one" } # ERROR: at a, a number is required
}

variable "refers" {
  default = var.budget # ERROR: A reference where a constant is expected
  defualt = 1 # ERROR: Did you mean "default"?
}

variable { # ERROR: Missing name
}

locals {
  x = true
}

model "a" { n_layer = var.count }
