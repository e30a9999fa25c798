// Package extendcontext is the step type extend_context: it makes a model for longer texts, in stages, and each stage ends
// when the model has learnt what it is for (arXiv 2407.21783, section 3.4.2).
//
// Every stage is a child of the step, with a key and checkpoints of its own, and begins with the model of the one before:
// adding a stage trains only that one. How a stage trains is steps/internal/pretraining; the needle test is
// steps/internal/needle; when a stage ends is gate.go. Start at [Config].
package extendcontext

import (
	"athanor/steps"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/pretraining"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "extend_context",
	Doc:     "Makes a model for longer texts, in stages that end when it has recovered on short texts and finds every needle in long ones.",
	Version: 2,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The model of the last stage with its tokenizer, a Hugging Face folder."},
		{Name: "report", Type: "report", Doc: "summary.md, stages.json, loss_CONTEXT.svg, gate_CONTEXT.svg, needles_CONTEXT.svg of each stage."},
		{Name: "context", Type: "number", Doc: "Context of the last stage."},
		{Name: "loss", Type: "number", Doc: "Held-out loss at that context, in nats per token."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits."},
		{Name: "short_loss", Type: "number", Doc: "Held-out loss at the context before the first stage."},
		{Name: "short_loss_ratio", Type: "number", Doc: "short_loss by what it was before the first stage."},
		{Name: "needles", Type: "number", Doc: "Share of the needles found after the last stage."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on, in all stages."},
	},
	Check:    check,
	Estimate: estimate,
	Expand:   expand,
	Children: []*steps.Type{&stageType},
	Run:      run,
}

// Config is what an extend_context block holds.
type Config struct {
	Model  steps.Artifact `json:"model" kind:"model" doc:"The model to extend."`
	Data   steps.Artifact `json:"data" kind:"tokens" doc:"What to train on, unless a stage says otherwise: long documents up-weighted, short ones kept. Its held-out documents are those of the gate."`
	Stages []Stage        `json:"stage" hcl:"block" min:"1" doc:"A stage, in the order of the recipe; contexts grow."`
	Gate   Gate           `json:"gate" hcl:"block" doc:"When a stage ends: both conditions hold."`
	training
}

// Stage is one stage.
type Stage struct {
	Context   int                    `json:"context" min:"2" doc:"Most tokens of a document that the model sees at once, from this stage on."`
	MaxTokens int64                  `json:"max_tokens" hcl:"free" min:"1" doc:"Most tokens to train on, in whole batches. A stage that has not passed the gate by then fails, with its checkpoint kept: with a higher max_tokens, the next run goes on from there. A stage that passes before is the same whatever max_tokens is."`
	RopeTheta *float64               `json:"rope_theta" doc:"Base of the rotary embedding from this stage on. Left out: as before."`
	Scaling   *Scaling               `json:"rope_scaling" hcl:"block" doc:"Scaling of the rotary embedding from this stage on. Left out: as before."`
	Data      steps.Artifact         `json:"data" kind:"tokens" optional:"true" doc:"What to train on in this stage. Left out: data of the block around it."`
	Optimizer *pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW of this stage. Left out: that of the block around it; so for schedule and batch."`
	Schedule  *Schedule              `json:"schedule" hcl:"block" doc:"Learning rate of this stage."`
	Batch     *Batch                 `json:"batch" hcl:"block" doc:"Tokens per optimizer step of this stage."`
}

// Scaling is rope_scaling of a Hugging Face config.json.
type Scaling struct {
	Type            string  `json:"type" one_of:"llama3,yarn,linear" doc:"llama3: slow frequencies divided by factor, fast ones kept (Llama 3.1). yarn: the same along another ramp, and attention sharpened (arXiv 2309.00071). linear: all divided."`
	Factor          float64 `json:"factor" min:"1" doc:"How many times longer the context becomes."`
	OriginalContext *int    `json:"original_context" min:"1" doc:"Context before scaling. Left out: that of the model before the first stage."`
	LowFreqFactor   float64 `json:"low_freq_factor" default:"1" doc:"llama3: frequencies that turn less often within the original context are divided."`
	HighFreqFactor  float64 `json:"high_freq_factor" default:"4" doc:"llama3: those that turn more often are kept."`
	BetaFast        float64 `json:"beta_fast" default:"32" doc:"yarn: frequencies that turn more often are kept."`
	BetaSlow        float64 `json:"beta_slow" default:"1" doc:"yarn: those that turn less often are divided."`
}

// training is how stages are trained unless they say otherwise.
type training struct {
	Optimizer pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW, with moments that start at zero in every stage."`
	Schedule  Schedule              `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     Batch                 `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`

	pretraining.Training
}

// Schedule is the learning rate of a stage, which does not know when it will end.
type Schedule struct {
	Warmup int     `json:"warmup" default:"10" min:"0" doc:"Steps of linear warm-up from zero, for the moments to fill."`
	Shape  string  `json:"shape" default:"\"constant\"" one_of:"constant,cosine,linear" doc:"After the warm-up: constant, or cosine or linear down to final."`
	Tokens *int64  `json:"tokens" min:"1" doc:"cosine, linear: tokens, from the stage's first one, after which the rate is at final and stays there."`
	Final  float64 `json:"final" default:"0.1" min:"0" max:"1" doc:"cosine, linear: that rate, as a share of the peak."`
}

// Batch is the size of the optimizer's steps.
type Batch struct {
	Tokens      int64 `json:"tokens" default:"32768" min:"1" doc:"Tokens per optimizer step."`
	MicroTokens *int  `json:"micro_tokens" min:"1" doc:"Most tokens that go through the model at once, as in the pretrain block."`
}

// Gate says when a stage ends.
type Gate struct {
	Needle         float64     `json:"needle" default:"1" min:"0" max:"1" doc:"Share of the needles of the grid that must be found: facts hidden in held-out text of up to the stage's context, and asked for at its end."`
	ShortLossRatio float64     `json:"short_loss_ratio" default:"1.01" min:"0" doc:"Held-out loss at the context before the first stage must be at most this many times what it was before the first stage."`
	CheckEvery     *int64      `json:"check_every" min:"1" doc:"Training tokens between two checks. Left out: twenty batches. There is one at the end in any case."`
	EvalTokens     int64       `json:"eval_tokens" default:"32768" min:"2" doc:"Most tokens of each part's held-out documents to read for the losses; the same ones each time."`
	Grid           needle.Grid `json:"grid" hcl:"block" doc:"The needle test. Of lengths, those up to a stage's context are its own, and the context itself is always one."`
}
