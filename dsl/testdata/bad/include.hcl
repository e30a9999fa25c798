pipeline "p" {
  include = [
    "include/shared.hcl",
    "include/none.hcl",     # ERROR: There is no testdata/bad/include/none.hcl
    "include/shared.hcl",   # ERROR: belongs to the pipeline already
    "include/${var.x}.hcl", # ERROR: each a plain string
    "include/pipeline.hcl",
  ]
}
