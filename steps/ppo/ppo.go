// Package ppo is the step type ppo, proximal policy optimisation on the scores of a reward model or of rules, as
// InstructGPT does it (arXiv 2203.02155): a penalty for every token that strays from the reference, a critic that
// predicts what is to come, and clipped steps.
//
// Sampling, scoring, the clipped objectives and the loop are steps/internal/reinforce. Start at [Config] for what may be
// written and at method.go for rewards, advantages and returns.
package ppo

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/reward"
)

// Type is the step type.
var Type = steps.Type{
	Name:     "ppo",
	Doc:      "Aligns a chat model with a reward model or with rules (PPO).",
	Version:  6,
	Config:   Config{},
	Outputs:  reinforce.Outputs,
	Files:    reward.Files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a ppo block holds.
type Config struct {
	reinforce.Config

	Critic    steps.Artifact `json:"critic" kind:"model" optional:"true" doc:"The reward model that the critic starts from. Left out: reward, or, where rules alone give the score, the policy with a new head."`
	Answers   int            `json:"answers" default:"1" min:"1" doc:"Answers to each prompt of an iteration."`
	Epochs    int            `json:"epochs" default:"4" min:"1" doc:"Times that an iteration's answers are learned from."`
	Gamma     float64        `json:"gamma" default:"1" min:"0" max:"1" doc:"Discount of later rewards, per token."`
	Lambda    float64        `json:"lambda" default:"0.95" min:"0" max:"1" doc:"Of generalised advantage estimation (arXiv 1506.02438): 1 trusts sampled rewards alone, 0 the critic."`
	Clip      float64        `json:"clip" default:"0.2" min:"0" doc:"How far a token's probability may move in one iteration, as a share."`
	ValueClip float64        `json:"value_clip" default:"0.2" min:"0" doc:"How far the critic's value of a token may move in one iteration."`
	ValueLoss float64        `json:"value_loss" default:"0.1" min:"0" doc:"Coefficient of the critic's loss."`
	Whiten    bool           `json:"whiten" default:"true" doc:"Give an iteration's advantages mean 0 and standard deviation 1."`
	KL        KL             `json:"kl" hcl:"block" doc:"What ties the policy to the reference."`
}

// KL is the divergence from the reference.
type KL struct {
	reinforce.Bounded

	Coefficient float64  `json:"coefficient" default:"0.05" min:"0" doc:"Taken off the reward of each token, times log π − log π_ref of it."`
	Target      *float64 `json:"target" min:"0" doc:"Adapt the coefficient so that the divergence comes to so many nats per answer (arXiv 1909.08593, section 2.2). Left out: it stays."`
	Horizon     float64  `json:"horizon" default:"10000" min:"1" doc:"Answers over which target makes itself felt."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if c.KL.Target != nil && *c.KL.Target == 0 {
		return steps.Blame("kl.target", "a target of 0 is the reference itself: leave kl.target out, or raise it")
	}
	return c.Check()
}

// estimate says what the training needs.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var known struct {
		Group  int `json:"answers"`
		Epochs int `json:"epochs"`
	}
	if err := in.Spec.Decode(&known); err != nil {
		return steps.Estimate{}, err
	}
	return reinforce.Estimate(in, reinforce.Plan{Group: known.Group, Epochs: known.Epochs, Critic: true})
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	t := &reinforce.Training{
		Config: c.Config, Title: "Proximal policy optimisation", Group: c.Answers, Epochs: c.Epochs, Bound: c.KL.Bound, Critic: c.Critic,
		Method: &method{
			coefficient: c.KL.Coefficient, target: c.KL.Target, horizon: c.KL.Horizon, gamma: c.Gamma, lambda: c.Lambda,
			clip: c.Clip, valueClip: c.ValueClip, valueLoss: c.ValueLoss, whiten: c.Whiten,
		},
	}
	return t.Run(ctx, rt)
}
