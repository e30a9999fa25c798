// Package pretrain is the step type pretrain: it trains a language model on packed documents with next-token
// cross-entropy.
//
// What it does is steps/internal/pretraining, which it shares with anneal; this package says how the block is written.
// Start at [Config].
package pretrain

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/sampling"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "pretrain",
	Doc:     "Trains a language model on a mixture of tokens, from the weights of another step.",
	Version: 7,
	Config:  Config{},
	Outputs: pretraining.Outputs("The trained model with its tokenizer, a Hugging Face folder; its max_position_embeddings is the context trained on.",
		steps.Output{Name: "final_lr", Type: "number", Doc: "Learning rate of the last step: where anneal goes on."}),
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

	Optimizer pretraining.Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`
	MuP       *pretraining.MuP      `json:"mup" hcl:"block" doc:"Learning rates that scale with the width of the model, so that those of a narrow one hold for a wide one."`
	Schedule  pretraining.Schedule  `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     pretraining.Batch     `json:"batch" hcl:"block" doc:"Tokens per optimizer step."`

	Eval   pretraining.Eval `json:"eval" hcl:"block" doc:"Held-out loss while training."`
	Sample *sampling.Config `json:"sample" hcl:"block" doc:"Texts to let the model continue at every evaluation."`

	pretraining.Training
}

// run is the training that the block describes.
func (c *Config) run() *pretraining.Run {
	return &pretraining.Run{
		Title: "Pre-training", Model: c.Model, Data: c.Data, Context: c.Context, Tokens: c.Tokens,
		Optimizer: c.Optimizer, MuP: c.MuP, Schedule: c.Schedule, Batch: c.Batch,
		Eval: c.Eval, Sample: c.Sample, Training: c.Training,
	}
}

func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
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
	rt.Set("final_lr", outcome.FinalLR)
	return nil
}
