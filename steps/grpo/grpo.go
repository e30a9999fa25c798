// Package grpo is the step type grpo, group relative policy optimisation (arXiv 2402.03300): several answers to each
// prompt are compared with each other, so that no critic is needed. The loss is that of single tokens over all tokens of
// the batch, with the two bounds of 2503.14476.
//
// Sampling, scoring, the clipped objective and the loop are steps/internal/reinforce. Start at [Config] for what may be
// written and at method.go for the advantages.
package grpo

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/reward"
)

// Type is the step type.
var Type = steps.Type{
	Name:     "grpo",
	Doc:      "Aligns a chat model with rules or a reward model by comparing several answers to each prompt (GRPO).",
	Version:  6,
	Config:   Config{},
	Outputs:  reinforce.Outputs,
	Files:    reward.Files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a grpo block holds.
type Config struct {
	reinforce.Config

	Group    int     `json:"group" default:"8" min:"2" doc:"Answers to each prompt of an iteration."`
	Epochs   int     `json:"epochs" default:"1" min:"1" doc:"Times that an iteration's answers are learned from."`
	Scale    bool    `json:"scale" default:"false" doc:"Divide advantages by the standard deviation of their group. It gives prompts that are nearly always, or nearly never, answered well more weight (arXiv 2503.20783)."`
	Clip     float64 `json:"clip" default:"0.2" min:"0" max:"1" doc:"How far a token's probability may fall in one iteration, as a share."`
	ClipHigh float64 `json:"clip_high" default:"0.28" min:"0" doc:"How far it may rise."`
	KL       KL      `json:"kl" hcl:"block" doc:"What ties the policy to the reference."`
}

// KL is the divergence from the reference.
type KL struct {
	reinforce.Bounded

	Coefficient float64 `json:"coefficient" default:"0" min:"0" doc:"Of the divergence in the loss, in nats per token. Rules that cannot be gamed need none."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	return c.Check()
}

// estimate says what the training needs.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var known struct {
		Group  int `json:"group"`
		Epochs int `json:"epochs"`
	}
	if err := in.Spec.Decode(&known); err != nil {
		return steps.Estimate{}, err
	}
	return reinforce.Estimate(in, reinforce.Plan{Group: known.Group, Epochs: known.Epochs})
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	t := &reinforce.Training{
		Config: c.Config, Title: "Group relative policy optimisation", Group: c.Group, Epochs: c.Epochs, Bound: c.KL.Bound,
		Method: &method{group: c.Group, scale: c.Scale, low: c.Clip, high: c.ClipHigh, coefficient: c.KL.Coefficient},
	}
	return t.Run(ctx, rt)
}
