// Package mixturesearch is the step type mixture_search: it finds the weights of a mixture's parts with which a model
// does best on held-out text that a recipe names, by training small models on many mixtures.
//
// Each of these proxies is a child of the step, with a key and checkpoints of its own: adding one trains only that one,
// and asking for another target trains none. The step itself fits a law to them and reads the best weights off it. Which
// mixtures are tried stands in design.go, the law in law.go, the search for its minimum in optimum.go; how a proxy is
// trained is steps/internal/pretraining's. Start at [Config].
package mixturesearch

import (
	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/train"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "mixture_search",
	Doc:     "Finds the weights of a mixture with which a model does best on a target: trains small models on sampled weights and fits a law.",
	Version: 2,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "weights", Type: "map(number)", Doc: "The best weight of each part, by its name; together they are 1."},
		{Name: "predicted_loss", Type: "number", Doc: "The target that a proxy trained on them should reach, in nats per token."},
		{Name: "fit_error", Type: "number", Doc: "Root mean square by which the law misses the target of a proxy that it was not fitted to, in nats per token."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl, weights.svg, fit.svg, summary.md."},
	},
	Check:    check,
	Expand:   expand,
	Children: []*steps.Type{&proxyType},
	Run:      run,
}

// Config is what a mixture_search block holds.
type Config struct {
	Model steps.Artifact `json:"model" kind:"model" doc:"What each proxy begins with: a small model with initial weights, or a half-trained one to find out what to anneal it on."`
	Data  steps.Artifact `json:"data" kind:"tokens" doc:"The parts. Their weights and max_epochs do not hold for the proxies."`

	question
	design
	training
}

// training is how a proxy is trained: the blocks of pretrain.
type training struct {
	Tokens    int64                 `json:"tokens" min:"1" doc:"Tokens each proxy is trained on."`
	Context   int                   `json:"context" min:"2" doc:"Most tokens of a document that a proxy sees at once."`
	Optimizer pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`
	Schedule  pretraining.Schedule  `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     pretraining.Batch     `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`
	Eval      pretraining.Eval      `json:"eval" hcl:"block" doc:"Held-out loss: once, at the end of each proxy, unless every says more often."`

	train.Numerics

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints of a proxy; 0: one after every step."`
}

// run is the training without its artifacts and weights.
func (t *training) run() *pretraining.Run {
	r := &pretraining.Run{
		Title: "Proxy", Context: t.Context, Tokens: t.Tokens, Optimizer: t.Optimizer, Schedule: t.Schedule,
		Batch: t.Batch, Eval: t.Eval, Training: pretraining.Training{Numerics: t.Numerics, CheckpointEvery: t.CheckpointEvery},
	}
	if r.Eval.Every == nil { // the course of a proxy is of no interest: its end is
		r.Eval.Every = &r.Tokens
	}
	return r
}
