# Llama 3 405B, on paper.
#
# Purpose   what the recipe is at this size, and what it would take: validate and plan it anywhere, without its data
# Device    16,384 H100; Athanor itself trains on one device, so this one is for reading, planning and making your own
# Expect    405,853,388,800 parameters; 3.8e25 FLOPs to pre-train (6·N·tokens, 15.6T of them); 31.1M GPU-hours in all, of
#           which 29.1M pre-train. The model card of Llama 3.1 says 30.84M

pipeline "llama3-405b" {
  description = "The recipe of Llama 3 405B: a scaling law, 15.6T tokens, 128K context, DPO."
  seed        = 1
  include     = ["llama3/recipe.hcl"]

  hardware {
    gpu               = "h100-80gb"
    gpus              = coalesce(var.gpus, 16384)
    tensor_parallel   = 8
    pipeline_parallel = 16
    sharding          = "gradients"
    utilization       = 0.38 # 0.38 to 0.43 while it runs
    price_per_hour    = var.price_per_hour

    step "extend_context.long" {
      context_parallel = 16
    }
    step "anneal.base" {
      context_parallel = 16
    }
    step "scaling_law.size" { # ours; their batches have 32 sequences
      gpus              = 256
      tensor_parallel   = 1
      pipeline_parallel = 1
      context_parallel  = 8
      sharding          = "weights"
    }
  }
}

locals {
  preset       = "llama3-405b"
  tokens       = 15.6e12
  stage_tokens = 133e9
  peak_lr      = 8e-5
  dpo_lr       = 1e-5
}

# The size comes from isoFLOP curves at 6e18 to 1e22 FLOPs; the law said 402B parameters on 16.55T tokens for 3.8e25, and
# the model was made of a round shape near it. One batch and one learning rate for all proxies are ours: the paper's grow
# with the budget, from 250K tokens to 4M and from 2e-4 to 4e-4.
scaling_law "size" {
  data    = mixture.web
  budgets = [6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21, 1e22]
  target  = 3.8e25
  context = 8192

  model {
    head_dim  = 128
    kv_groups = 16
  }
  optimizer {
    lr = 3e-4
  }
  schedule {
    warmup = 2000
    shape  = "cosine"
    final  = 0.1
  }
  batch {
    tokens = 262144
  }

  require {
    condition     = abs(self.parameters / model.base.parameters - 1) < 0.25
    error_message = "The law asks for another size than local.preset."
  }
}
