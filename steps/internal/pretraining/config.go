// Package pretraining is what the step types share that train a language model on packed documents with next-token
// cross-entropy: pretrain, anneal and the stages of extend_context. It holds the blocks that their recipes have in common, and turns a [Run] into
// weights and a report.
//
// The training loop, its checkpoints and the held-out scores are steps/internal/train; what a block is called and what
// its defaults are is the step types' own. Start at [Run].
package pretraining

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// A Run is one training of a model on a mixture.
type Run struct {
	Title       string // of the report
	Model, Data steps.Artifact
	Context     int // most tokens of a document that the model sees at once
	Tokens      int64
	Weights     []float64 // of the data's parts, instead of the data's own and their max_epochs; nil: those

	Optimizer Optimizer
	MuP       *MuP
	Schedule  Schedule
	Batch     Batch
	Average   train.Average // of the weights; the model is the average if there is one

	Eval   Eval
	Sample *sampling.Config
	Training

	// For a run that ends when something is reached and not after so many tokens.
	Prepare func(*llm.Model) error // changes the model before it is trained; may be nil
	Gate    Gate                   // may be nil; Tokens is then the most that the run takes
	Horizon int64                  // tokens that the schedule is made for; 0: Tokens
}

// A Gate looks at the model at every evaluation and ends the run as soon as it holds.
type Gate interface {
	// Check looks and returns figures for the metrics. When ctx ends it returns an error and is as before.
	Check(ctx context.Context, m *llm.Model, tokens int64) (map[string]float64, error)
	// Holds reports what the last Check came to.
	Holds() bool
	// Failed is the error of a run that is at its end and does not hold.
	Failed() error
	// State is what Check has found out, as part of a checkpoint.
	State() ([]byte, error)
	Restore(state []byte) error
	// Report is a section of the summary, and files to stand beside it.
	Report() (section string, files map[string][]byte)
}

// Optimizer is AdamW (arXiv 1711.05101). Weight decay applies to matrices alone, not to norms and embeddings, unless a
// group says otherwise.
type Optimizer struct {
	LR          float64   `json:"lr" default:"3e-4" min:"0" doc:"Learning rate at the peak. 3e-4 suits billions of parameters, 3e-3 a few millions."`
	Betas       []float64 `json:"betas" default:"[0.9, 0.95]" min:"2" max:"2" doc:"Decay rates of the two moments."`
	Eps         float64   `json:"eps" default:"1e-8" min:"0" doc:"Added to the root of the second moment."`
	WeightDecay float64   `json:"weight_decay" default:"0.1" min:"0" doc:"Decoupled weight decay, of matrices; not of norms and embeddings."`
	GradClip    float64   `json:"grad_clip" default:"1" min:"0" doc:"Largest norm of the gradient over all weights; 0: not clipped."`
	Groups      []Group   `json:"group" hcl:"block" doc:"Weights with settings of their own. A weight belongs to the first group that it matches."`
}

// Group is weights with settings of their own.
type Group struct {
	Match       []string `json:"match" min:"1" doc:"Names of weights, as Hugging Face writes them; * stands for any text: [\"model.embed_tokens.weight\"], [\"*.mlp.*\"]."`
	LRScale     float64  `json:"lr_scale" default:"1" min:"0" doc:"Multiplies the learning rate; 0 leaves the weights as they are."`
	WeightDecay *float64 `json:"weight_decay" min:"0" doc:"Their weight decay. Left out: as for all others."`
}

// MuP scales learning rates with the width of the model.
type MuP struct {
	BaseDim int `json:"base_dim" min:"1" doc:"Width of the model that the learning rate was tuned on: the hidden matrices' is multiplied by base_dim/dim (arXiv 2203.03466, table 8). The model block needs the same block for its initial weights."`
}

// Training is what the blocks of every step type say alike.
type Training struct {
	ZLoss float64 `json:"z_loss" default:"0" min:"0" doc:"Coefficient of log²Z, which keeps the logits small; 1e-5 is usual."`
	Spike *Spike  `json:"spike" hcl:"block" doc:"Steps that are not taken because their loss or gradient norm stands out. Left out: all are taken."`

	train.Numerics

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints; 0: one after every step."`
}

// Spike says which steps are not taken.
type Spike struct {
	Sigma  float64 `json:"sigma" default:"6" min:"1" doc:"A step is not taken if its loss or gradient norm is more than so many standard deviations above the mean of the last steps."`
	Window int     `json:"window" default:"128" min:"2" doc:"How many steps the mean and the deviation are of. No step is left out before half of them."`
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
	Every  *int64 `json:"every" hcl:"free" min:"1" doc:"Training tokens between two evaluations; a tenth of the run by default. There is one at the end in any case, whose figures are the step's."`
	Tokens int64  `json:"tokens" default:"32768" min:"2" doc:"Most tokens of each part's held-out documents; the same ones each time."`

	Needle *needle.Grid `json:"needle" hcl:"block" doc:"Looks for needles at each evaluation: facts hidden in the held-out documents and asked for at their end. Figures: needles, the share that was found, and value_loss, the loss of their values in nats per token, which falls first."`
}

// Schedule is the learning rate as a function of the tokens consumed.
type Schedule struct {
	Warmup     float64 `json:"warmup" default:"0.02" min:"0" doc:"Linear warm-up: below 1 a share of the tokens, from 1 on a number of steps."`
	Shape      string  `json:"shape" default:"\"cosine\"" one_of:"cosine,linear,constant,wsd" doc:"After the warm-up: cosine or linear down to final, constant, or wsd: constant and then down to final."`
	Final      float64 `json:"final" default:"0.1" min:"0" max:"1" doc:"Learning rate at the end, as a share of the peak."`
	Decay      float64 `json:"decay" default:"0.2" min:"0" max:"1" doc:"wsd: share of the tokens, at the end, over which it falls."`
	DecayShape string  `json:"decay_shape" default:"\"linear\"" one_of:"linear,1-sqrt" doc:"wsd: how it falls."`
}

// defaultMicroTokens is the most tokens of a micro-batch where neither the block nor the context says more.
const defaultMicroTokens = 8192

// micro is the most tokens of a micro-batch.
func (r *Run) micro(b train.Batches) int {
	micro := max(r.Context, defaultMicroTokens)
	if r.Batch.MicroTokens != nil {
		micro = *r.Batch.MicroTokens
	}
	return max(r.Context, int(min(int64(micro), b.Bound())))
}

// adamW is the optimizer for a model of a width.
func (r *Run) adamW() train.AdamW {
	o := &r.Optimizer
	a := train.AdamW{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.GradClip}
	for _, g := range o.Groups {
		a.Groups = append(a.Groups, train.Group{Match: g.Match, LR: g.LRScale, Decay: g.WeightDecay})
	}
	return a
}
