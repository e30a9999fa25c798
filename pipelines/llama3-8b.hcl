# Llama 3 8B, on paper.
#
# Purpose   what the recipe is at this size, and what it would take: validate and plan it anywhere, without its data
# Device    1,024 H100; Athanor itself trains on one device, so this one is for reading, planning and making your own
# Expect    8,030,261,248 parameters; 7.2e23 FLOPs to pre-train (6·N·tokens); 1.30M GPU-hours for it and 1.43M in all. The
#           model cards of Llama 3 and 3.1 say 1.3M and 1.46M: the utilization is chosen for the first of these

pipeline "llama3-8b" {
  description = "The recipe of Llama 3 8B: 15T tokens, 128K context, DPO."
  seed        = 1
  include     = ["llama3/recipe.hcl"]

  hardware {
    gpu             = "h100-80gb"
    gpus            = coalesce(var.gpus, 1024) # ours
    tensor_parallel = 2
    sharding        = "weights"
    utilization     = 0.167 # 7.7e23 FLOPs, attention included, in 1.3M hours
    price_per_hour  = var.price_per_hour

    step "extend_context.long" {
      context_parallel = 16
    }
    step "anneal.base" {
      context_parallel = 16
    }
  }
}

locals {
  preset       = "llama3-8b"
  tokens       = 15e12 # "15T+"
  stage_tokens = 133e9
  peak_lr      = 3e-4
  dpo_lr       = 1e-6 # 5e-7 to 5e-6
}
