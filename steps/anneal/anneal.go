// Package anneal is the step type anneal: the end of pre-training, in which the learning rate falls in a straight line to
// zero on the best data, and the model becomes an average of its weights over the phase (arXiv 2407.21783, section
// 3.4.3).
//
// A model is all that it starts from: the moments of the optimizer are no part of a model folder, so that any model can
// be annealed, of this recipe or another's. They start at zero, and AdamW's first steps are then of full size in every
// weight; the short warm-up keeps them small until the second moment is known, which takes some 1/(1−β₂) steps.
//
// What it does is steps/internal/pretraining, which it shares with pretrain. Start at [Config].
package anneal

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "anneal",
	Doc:     "Ends pre-training: the learning rate falls to zero on the best data, and the model is the average of its weights on the way.",
	Version: 7,
	Config:  Config{},
	Outputs: pretraining.Outputs("The average of the weights, with its tokenizer, a Hugging Face folder.",
		steps.Output{Name: "last_loss", Type: "number", Doc: "Held-out loss of the last weights, before averaging; without an average, loss."}),
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what an anneal block holds.
type Config struct {
	Model   steps.Artifact `json:"model" kind:"model" doc:"The model to anneal."`
	Data    steps.Artifact `json:"data" kind:"tokens" doc:"What to train on: the best data, and none that an evaluation is made of."`
	Context *int           `json:"context" min:"2" doc:"Most tokens of a document that the model sees at once; longer documents are cut. Left out: the context that the model is made for."`
	Tokens  int64          `json:"tokens" min:"1" doc:"Tokens to train on, exactly."`

	Optimizer pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW, with moments that start at zero. lr is where the fall to zero begins: final_lr of the pretrain step goes on from there."`
	MuP       *pretraining.MuP      `json:"mup" hcl:"block" doc:"As in the pretrain block."`
	Schedule  Schedule              `json:"schedule" hcl:"block" doc:"The beginning of the learning rate's course."`
	Batch     pretraining.Batch     `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`
	Average   Average               `json:"average" hcl:"block" doc:"The average of the weights that becomes the model."`

	Eval   pretraining.Eval `json:"eval" hcl:"block" doc:"Held-out loss while training."`
	Sample *sampling.Config `json:"sample" hcl:"block" doc:"Texts to let the model continue at every evaluation."`

	pretraining.Training
}

// Schedule is the warm-up; after it the learning rate falls to zero.
type Schedule struct {
	Warmup float64 `json:"warmup" default:"0.02" min:"0" doc:"Linear warm-up from zero, for the moments to fill: below 1 a share of the tokens, from 1 on a number of steps."`
}

// Average says which average of the weights is the model.
type Average struct {
	Kind  string  `json:"kind" default:"\"polyak\"" one_of:"polyak,ema,last,none" doc:"polyak: the mean over the whole phase. ema: a mean that forgets. last: the mean of the last few samples. none: the last weights."`
	Every *int64  `json:"every" min:"1" doc:"Tokens between two samples of the weights, counted back from the end. Left out: one after every step; for last, a twentieth of the tokens, and at least one and a half batches, so that no two samples are of one step."`
	Decay float64 `json:"decay" default:"0.99" min:"0" max:"1" doc:"ema: the share of the average that stays at each sample."`
	Last  int     `json:"last" default:"5" min:"1" doc:"last: how many samples."`
}

// run is the training that the block describes.
func (c *Config) run() *pretraining.Run {
	r := &pretraining.Run{
		Title: "Annealing", Model: c.Model, Data: c.Data, Tokens: c.Tokens,
		Optimizer: c.Optimizer, MuP: c.MuP, Batch: c.Batch, Average: c.average(),
		Schedule: pretraining.Schedule{Warmup: c.Schedule.Warmup, Shape: string(train.Linear)},
		Eval:     c.Eval, Sample: c.Sample, Training: c.Training,
	}
	if c.Context != nil {
		r.Context = *c.Context
	}
	return r
}

func (c *Config) average() train.Average {
	var a train.Average
	if c.Average.Every != nil {
		a.Every = *c.Average.Every
	}
	switch c.Average.Kind {
	case "polyak":
		a.Kind = train.Mean
	case "ema":
		a.Kind, a.Decay = train.EMA, c.Average.Decay
	case "last":
		a.Kind, a.Last = train.Mean, c.Average.Last
		if a.Every == 0 {
			a.Every = max(c.Tokens/20, c.longestStep())
		}
	}
	return a
}

// longestStep is a number of tokens that no step exceeds.
func (c *Config) longestStep() int64 {
	b := train.Batches{Tokens: c.Batch.Tokens, Total: c.Tokens}
	for _, r := range c.Batch.Ramp {
		b.Ramp = append(b.Ramp, train.Ramp{At: r.At, Tokens: r.Tokens})
	}
	return b.Bound()
}

func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	a := c.average()
	switch {
	case a.Kind == train.EMA && a.Decay == 1:
		return steps.Blame("average.decay", "an average of which all stays at each sample is the first sample: decay is below 1, like 0.99")
	case a.Every > c.Tokens:
		return steps.Blame("average.every", "samples of the weights %d tokens apart in a run of %d tokens: lower every, or raise tokens", a.Every, c.Tokens)
	case a.Last > 1 && a.Every < c.longestStep():
		return steps.Blame("average.every", "samples of the weights %d tokens apart, where a step may take %d: two would be of one step; raise every, or lower batch.tokens", a.Every, c.longestStep())
	case a.Last > 1 && int64(a.Last-1)*a.Every >= c.Tokens:
		return steps.Blame("average.last", "%d samples of the weights, %d tokens apart, do not fit into %d tokens: lower last or every", a.Last, a.Every, c.Tokens)
	}
	return c.run().Check()
}

func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var c Config
	return pretraining.Estimate(in, &c, c.run)
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	outcome, err := c.run().Do(ctx, rt)
	if err != nil {
		return err
	}
	rt.Set("last_loss", outcome.LastLoss)
	return nil
}
