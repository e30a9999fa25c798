# Llama 3 70B, on paper.
#
# Purpose   what the recipe is at this size, and what it would take: validate and plan it anywhere, without its data
# Device    4,096 H100; Athanor itself trains on one device, so this one is for reading, planning and making your own
# Expect    70,553,706,496 parameters; 6.3e24 FLOPs to pre-train (6·N·tokens); 6.39M GPU-hours for it and 6.90M in all. The
#           model cards of Llama 3 and 3.1 say 6.4M and 7.0M: the utilization is chosen for the first of these

pipeline "llama3-70b" {
  description = "The recipe of Llama 3 70B: 15T tokens, 128K context, DPO."
  seed        = 1
  include     = ["llama3/recipe.hcl"]

  hardware {
    gpu             = "h100-80gb"
    gpus            = coalesce(var.gpus, 4096) # ours
    tensor_parallel = 8
    sharding        = "weights"
    utilization     = 0.296 # 6.7e24 FLOPs, attention included, in 6.4M hours
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
  preset       = "llama3-70b"
  tokens       = 15e12 # "15T+"
  stage_tokens = 133e9
  peak_lr      = 1.5e-4
  dpo_lr       = 5e-6 # ours
}
