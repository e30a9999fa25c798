// Package pretrain is the step type pretrain: it trains a language model on packed documents with next-token
// cross-entropy.
//
// The training loop, its checkpoints and the held-out scores are steps/internal/train; this package turns a block of
// the recipe into one of its runs and writes the model and the report. Start at [Config] for what may be written and
// at run.go for the order of events.
package pretrain

import (
	"athanor/steps"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "pretrain",
	Doc:     "Trains a language model on a mixture of tokens, from the weights of another step.",
	Version: 1,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The trained model with its tokenizer, a Hugging Face folder; its max_position_embeddings is the context trained on."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl, loss.svg, samples.jsonl, summary.md."},
		{Name: "loss", Type: "number", Doc: "Held-out loss in nats per token; without held-out documents, train_loss."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits: comparable between tokenizers."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run, in nats per token."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a pretrain block holds.
type Config struct {
	Model   steps.Artifact `json:"model" kind:"model" doc:"The model to start from."`
	Data    steps.Artifact `json:"data" kind:"tokens" doc:"What to train on."`
	Context int            `json:"context" min:"2" doc:"Most tokens of a document that the model sees at once; longer documents are cut."`
	Tokens  int64          `json:"tokens" min:"1" doc:"Tokens to train on, exactly."`

	Optimizer Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`
	Schedule  Schedule  `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     Batch     `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`
	ZLoss     float64   `json:"z_loss" default:"0" min:"0" doc:"Coefficient of log²Z, which keeps the logits small; 1e-5 is usual."`

	Eval   Eval             `json:"eval" hcl:"block" doc:"Held-out loss while training."`
	Sample *sampling.Config `json:"sample" hcl:"block" doc:"Texts to let the model continue at every evaluation."`

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints; 0: one after every step."`
}

// Optimizer is AdamW (arXiv 1711.05101). Weight decay applies to matrices alone, not to norms and embeddings.
type Optimizer struct {
	LR          float64   `json:"lr" default:"3e-4" min:"0" doc:"Learning rate at the peak. 3e-4 suits billions of parameters, 3e-3 a few millions."`
	Betas       []float64 `json:"betas" default:"[0.9, 0.95]" min:"2" max:"2" doc:"Decay rates of the two moments."`
	Eps         float64   `json:"eps" default:"1e-8" min:"0" doc:"Added to the root of the second moment."`
	WeightDecay float64   `json:"weight_decay" default:"0.1" min:"0" doc:"Decoupled weight decay."`
	GradClip    float64   `json:"grad_clip" default:"1" min:"0" doc:"Largest norm of the gradient over all weights; 0: not clipped."`
}

// Schedule is the learning rate as a function of the tokens consumed.
type Schedule struct {
	Warmup     float64 `json:"warmup" default:"0.02" min:"0" doc:"Linear warm-up: below 1 a share of the tokens, from 1 on a number of steps."`
	Shape      string  `json:"shape" default:"\"cosine\"" one_of:"cosine,linear,constant,wsd" doc:"After the warm-up: cosine or linear down to final, constant, or wsd: constant and then down to final."`
	Final      float64 `json:"final" default:"0.1" min:"0" max:"1" doc:"Learning rate at the end, as a share of the peak."`
	Decay      float64 `json:"decay" default:"0.2" min:"0" max:"1" doc:"wsd: share of the tokens, at the end, over which it falls."`
	DecayShape string  `json:"decay_shape" default:"\"linear\"" one_of:"linear,1-sqrt" doc:"wsd: how it falls."`
}

// Batch is the size of the optimizer's steps.
type Batch struct {
	Tokens      int64  `json:"tokens" default:"32768" min:"1" doc:"Tokens per optimizer step, at the start."`
	Ramp        []Ramp `json:"ramp" hcl:"block" doc:"Growth of the batch on the way."`
	MicroTokens *int   `json:"micro_tokens" min:"1" doc:"Most tokens that go through the model at once: less needs less memory. By default 8192, or the context if that is longer. It decides the rounding of sums and nothing else."`
}

// Ramp is one growth of the batch.
type Ramp struct {
	At     float64 `json:"at" min:"0" max:"1" doc:"Share of the tokens after which it holds."`
	Tokens int64   `json:"tokens" min:"1" doc:"Tokens per optimizer step from then on."`
}

// Eval says when and how much held-out text is read.
type Eval struct {
	Every  *int64 `json:"every" min:"1" doc:"Training tokens between two evaluations; a tenth of the run by default. There is one at the end in any case."`
	Tokens int64  `json:"tokens" default:"32768" min:"2" doc:"Most tokens of each part's held-out documents; the same ones each time."`
}

// defaultMicroTokens is the most tokens of a micro-batch where neither the block nor the context says more.
const defaultMicroTokens = 8192

// micro is the most tokens of a micro-batch.
func (c *Config) micro(b train.Batches) int {
	micro := max(c.Context, defaultMicroTokens)
	if c.Batch.MicroTokens != nil {
		micro = *c.Batch.MicroTokens
	}
	return max(c.Context, int(min(int64(micro), b.Bound())))
}
