model "a" {
  n_layer = 2
  timeout = "2 hours" # ERROR: Not a duration
  seed    = -1 # ERROR: Number out of range
  when    = "maybe" # ERROR: when must be a true or false value
  retry {
    attempts = 0 # ERROR: attempts must be between 1 and 100
    backoff  = "-3s" # ERROR: Not a duration
    delay    = 1 # ERROR: Unknown attribute
  }
  require {} # ERROR: require needs a condition.
  require {
    condition     = self.parameterz > 0 # ERROR: Did you mean "parameters"?
    error_message = "x"
    message       = "y" # ERROR: Unknown attribute
  }
  require { condition = self.parameters } # ERROR: condition must be true or false
  require { condition = model.b.parameters > nope.x } # ERROR: Unknown reference
  depends_on = model.b # ERROR: Not a list of steps
}

model "b" {
  n_layer = 2
  timeout = "${model.a.parameters}s" # ERROR: timeout must be known before any step runs
  seed    = model.a.parameters # ERROR: seed must be known before any step runs
}

model "c" {
  n_layer = 2
  timeout = "0s" # ERROR: timeout must be more than 0
  seed    = 1.5 # ERROR: Not a whole number
}
