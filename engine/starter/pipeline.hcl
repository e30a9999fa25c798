# A small recipe from text to a trained language model. `engine plan` says what it would do, `engine run` does it, and
# `engine run` again goes on after an interruption or does nothing if nothing has changed.
#
# `engine steps` lists what a recipe can say, `engine steps pretrain` documents one step.

pipeline "starter" {
  description = "A tiny language model, trained in seconds."
  seed        = 1
}

# A variable can be set on the command line: engine run --var tokens=500000
variable "tokens" {
  type        = number
  default     = 60000
  description = "Tokens to train on."
}

# The text. Put your own files in data/, or name other folders here.
dataset "text" {
  files {
    include   = ["data/*.txt"]
    separator = "\n\n" # each paragraph is a document
  }
  dedup {}
  holdout = 0.1 # a tenth is not trained on, and tells how good the model is
}

# The tokenizer learns its words from the text. Referring to dataset.text makes this step run after that one.
tokenizer "bpe" {
  train {
    corpus     = [dataset.text]
    vocab_size = 600
  }
}

# The text as token ids. Several parts would be mixed by their weights.
mixture "all" {
  tokenizer = tokenizer.bpe
  part "text" {
    data = dataset.text
  }
}

# The architecture, a Llama, with its first random weights.
model "base" {
  tokenizer      = tokenizer.bpe
  n_layer        = 2
  dim            = 64
  n_head         = 2
  max_context    = 128
  tie_embeddings = true
}

# The training.
pretrain "base" {
  model   = model.base
  data    = mixture.all
  context = 128
  tokens  = var.tokens

  optimizer {
    lr = 5e-3
  }
  schedule {
    warmup = 0.1
    shape  = "cosine"
  }
  batch {
    tokens = 1024
  }
  sample {
    prompts = ["The furnace"]
    tokens  = 40
  }

  # The run ends with exit code 3 if this does not hold.
  require {
    condition     = self.loss < 6.4
    error_message = "A model that has learned something beats guessing, which has a loss of ln 600 = 6.4."
  }
}

# How good it is on the text that was held back, beside gzip.
evaluate "final" {
  model     = pretrain.base
  data      = mixture.all
  baselines = ["gzip"]
}

# What the run prints at its end. `engine export pretrain.base FOLDER` copies the model out.
output "model" {
  value = pretrain.base.model
}

output "bits_per_byte" {
  value = evaluate.final.bits_per_byte
}
