// Package scalinglaw is the step type scaling_law: it finds the size of model that a compute budget is best spent on, by
// training small models at small budgets.
//
// Each of these proxies is a child of the step, with a key and checkpoints of its own: adding a budget or a size trains
// only what is new. The step itself fits the curves and the law and draws them. How a proxy is trained is
// steps/internal/pretraining's; what the fits are and where they come from stands in fit.go (sizes) and surface.go (losses); which shapes are sensible in shapes.go. Start at
// [Config].
package scalinglaw

import (
	"athanor/steps"
	"athanor/steps/internal/pretraining"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "scaling_law",
	Doc:     "Finds the size of model, and the tokens, that a compute budget is best spent on: trains small models at small budgets and extrapolates.",
	Version: 3,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "n_layer", Type: "number", Doc: "Layers of the model for target."},
		{Name: "dim", Type: "number", Doc: "Its width."},
		{Name: "n_head", Type: "number", Doc: "Its query heads."},
		{Name: "n_kv_head", Type: "number", Doc: "Its key and value heads."},
		{Name: "parameters", Type: "number", Doc: "Its weights."},
		{Name: "tokens", Type: "number", Doc: "Tokens to train it on: as many as target pays for."},
		{Name: "predicted_loss", Type: "number", Doc: "The held-out loss that it should reach, in nats per token: by L = E + A/N^α + B/D^β, fitted to all proxies."},
		{Name: "predicted_loss_interval", Type: "list(number)", Doc: "Where that lies with 95 % confidence, by bootstrap; empty if there are too few proxies to tell."},
		{Name: "exponent", Type: "number", Doc: "α of N*(C) = A·C^α, where N counts what a token is multiplied with: training FLOPs per token over 6."},
		{Name: "exponent_interval", Type: "list(number)", Doc: "Where α lies with 95 % confidence, by bootstrap; empty if there are too few proxies to tell."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl, isoflop.svg, parameters.svg, tokens.svg, summary.md."},
	},
	Check:    check,
	Expand:   expand,
	Children: []*steps.Type{&proxyType},
	Run:      run,
}

// Config is what a scaling_law block holds.
type Config struct {
	Data    steps.Artifact `json:"data" kind:"tokens" doc:"What to train the proxies on; its held-out documents are what the loss is of."`
	Budgets []float64      `json:"budgets" min:"2" doc:"Training FLOPs of the proxies of each curve, ten or a hundred times apart in all."`
	Target  float64        `json:"target" min:"1" doc:"Training FLOPs of the model to find."`

	Sizes int    `json:"sizes" default:"5" min:"3" max:"64" doc:"Proxies per budget, chosen between a quarter of and four times the size that would see 20 tokens per parameter. Without meaning if there are size blocks."`
	Size  []Size `json:"size" hcl:"block" doc:"The sizes of the proxies, at least three, for every budget alike."`

	Model Model `json:"model" hcl:"block" doc:"What the proxies and the model to find have in common."`
	training
}

// Size is the size of a proxy.
type Size struct {
	Layers int `json:"n_layer" min:"1" doc:"Layers."`
	Dim    int `json:"dim" min:"2" doc:"Width."`
}

// Model is what models of all sizes have in common.
type Model struct {
	Layers        *int    `json:"n_layer" min:"1" doc:"Layers of every model, so that sizes differ in their width alone. Left out: as many as suit a width, but for size blocks, which say it themselves."`
	HeadDim       int     `json:"head_dim" default:"64" min:"2" doc:"Most elements of a head."`
	KVGroups      int     `json:"kv_groups" default:"1" min:"1" doc:"Query heads that share a key and value head, where there are enough."`
	TieEmbeddings bool    `json:"tie_embeddings" default:"false" doc:"Whether the head shares the embedding table."`
	RopeTheta     float64 `json:"rope_theta" default:"500000" doc:"Base of the rotary embedding."`
	InitStd       float64 `json:"init_std" default:"0.02" min:"0" doc:"Standard deviation of the initial weights. Narrow models want more than the 0.02 of wide ones."`
}

// training is how a proxy is trained: the blocks of pretrain.
type training struct {
	Context   int                   `json:"context" min:"2" doc:"Most tokens of a document that a model sees at once."`
	Optimizer pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`
	MuP       *pretraining.MuP      `json:"mup" hcl:"block" doc:"Initial weights and learning rates that scale with the width of the proxies, so that one learning rate suits them all."`
	Schedule  pretraining.Schedule  `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     pretraining.Batch     `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`
	Eval      pretraining.Eval      `json:"eval" hcl:"block" doc:"Held-out loss: once, at the end of each proxy, unless every says more often."`

	pretraining.Training
}

// run is the training on a number of tokens, without its artifacts.
func (t *training) run(tokens int64) *pretraining.Run {
	r := &pretraining.Run{
		Title: "Proxy", Context: t.Context, Tokens: tokens, Optimizer: t.Optimizer, MuP: t.MuP, Schedule: t.Schedule,
		Batch: t.Batch, Eval: t.Eval, Training: t.Training,
	}
	if r.Eval.Every == nil { // the curve of a proxy is of no interest: its end is
		r.Eval.Every = &tokens
	}
	return r
}
