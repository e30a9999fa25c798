package extendcontext

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/train"
)

// stageType is the type of the children: one stage.
var stageType = steps.Type{
	Name:    "extend_context.stage",
	Doc:     "Trains a model on longer texts until the gate holds.",
	Version: 6,
	Config:  stageConfig{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The model, for the context of the stage."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl, curves and needles.svg, summary.md."},
		{Name: "loss", Type: "number", Doc: "Held-out loss at the stage's context, in nats per token."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss between the last two checks."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
		{Name: "short_loss", Type: "number", Doc: "Held-out loss at the context before the first stage."},
		{Name: "short_loss_before", Type: "number", Doc: "The same before the first stage."},
		{Name: "needles", Type: "number", Doc: "Share of the needles found."},
	},
	Estimate: estimateStage,
	Run:      runStage,
}

// stageConfig is what a stage depends on: nothing of the stages after it.
type stageConfig struct {
	Model    steps.Artifact `json:"model" kind:"model"`
	Original steps.Artifact `json:"original" kind:"model"` // before the first stage
	Data     steps.Artifact `json:"data" kind:"tokens"`
	HeldOut  steps.Artifact `json:"held_out" kind:"tokens"` // whose held-out documents the gate reads

	Context   int      `json:"context"`
	MaxTokens int64    `json:"max_tokens" hcl:"free"`
	RopeTheta *float64 `json:"rope_theta"`
	Scaling   *Scaling `json:"rope_scaling" hcl:"block"`
	Gate      Gate     `json:"gate" hcl:"block"`
	training
}

// defaultCheckBatches is how many batches lie between two checks where the recipe does not say.
const defaultCheckBatches = 20

func (c *stageConfig) checkEvery() int64 {
	if c.Gate.CheckEvery != nil {
		return *c.Gate.CheckEvery
	}
	return defaultCheckBatches * c.Batch.Tokens
}

// check finds out whether the training can be, as far as the block alone can tell.
func (c *stageConfig) check() error {
	if c.MaxTokens < c.Batch.Tokens {
		return steps.Blame("max_tokens", "max_tokens = %d is less than one batch of %d tokens", c.MaxTokens, c.Batch.Tokens)
	}
	if c.Schedule.Shape != string(train.Constant) && c.Schedule.Tokens == nil {
		return steps.Blame("schedule.shape", "a %s fall of the learning rate needs to know over how many tokens: set schedule.tokens, or shape = \"constant\"", c.Schedule.Shape)
	}
	if warmup := int64(c.Schedule.Warmup) * c.Batch.Tokens; warmup >= c.MaxTokens/c.Batch.Tokens*c.Batch.Tokens {
		return steps.Blame("schedule.warmup", "a warm-up of %d steps takes %d tokens, and max_tokens is %d: lower it, or raise max_tokens", c.Schedule.Warmup, warmup, c.MaxTokens)
	}
	return c.run().Check()
}

// run is the training. Nothing of it but its end depends on max_tokens, so that a stage that has failed can go on.
func (c *stageConfig) run() *pretraining.Run {
	every := c.checkEvery()
	r := &pretraining.Run{
		Title: fmt.Sprintf("Context extension to %d tokens", c.Context), Model: c.Model, Data: c.Data, Context: c.Context,
		Tokens:    c.MaxTokens / c.Batch.Tokens * c.Batch.Tokens,
		Optimizer: c.Optimizer, Training: c.Training,
		Schedule: pretraining.Schedule{Warmup: float64(c.Schedule.Warmup), Shape: c.Schedule.Shape, Final: c.Schedule.Final},
		Batch:    pretraining.Batch{Tokens: c.Batch.Tokens, MicroTokens: c.Batch.MicroTokens},
		Eval:     pretraining.Eval{Every: &every, Tokens: c.Gate.EvalTokens},
	}
	if c.Schedule.Tokens != nil {
		r.Horizon = *c.Schedule.Tokens
	}
	return r
}

// estimateStage says what a stage will cost at most.
func estimateStage(in *steps.EstimateInput) (steps.Estimate, error) {
	var c stageConfig
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	e, err := c.run().Estimate(in.Upstream["model"], in.Upstream["data"])
	var impossible *steps.ImpossibleError
	if errors.As(err, &impossible) {
		return e, &steps.ImpossibleError{Err: inOwnWords(impossible.Err)}
	}
	if err == nil {
		e.Facts = maps.Clone(e.Facts)
		e.Facts["max_context"] = float64(c.Context)
	}
	return e, err
}

// runStage is the step.
func runStage(ctx context.Context, rt *steps.Runtime) error {
	var c stageConfig
	if err := rt.Config(&c); err != nil {
		return err
	}
	original, err := llm.ReadConfig(c.Original.Path)
	if err != nil {
		return err
	}
	if c.Context <= original.MaxPositionEmbeddings {
		return steps.Blame("context", "the model is made for %d tokens already, and the stage's context is %d: it must be longer", original.MaxPositionEmbeddings, c.Context)
	}
	g, err := newGate(ctx, rt, &c, original.MaxPositionEmbeddings)
	if err != nil {
		return err
	}
	r := c.run()
	r.Gate = g
	r.Prepare = func(m *llm.Model) error { return c.setRope(m, original.MaxPositionEmbeddings) }
	_, err = r.Do(ctx, rt)
	if err != nil {
		return inOwnWords(err)
	}
	last := g.last()
	rt.Set("short_loss", last.ShortLoss)
	rt.Set("short_loss_before", g.before)
	rt.Set("needles", last.Needles.Share())
	return nil
}

// inOwnWords blames max_tokens for what pretrain calls tokens.
func inOwnWords(err error) error {
	var blame *steps.AttributeError
	if errors.As(err, &blame) && blame.Path == "tokens" {
		return &steps.AttributeError{Path: "max_tokens", Err: blame.Err}
	}
	return err
}

// setRope gives the model the rotary embedding of the stage.
func (c *stageConfig) setRope(m *llm.Model, original int) error {
	theta, scaling := m.Config.RopeTheta, m.Config.RopeScaling
	if c.RopeTheta != nil {
		theta = *c.RopeTheta
	}
	if s := c.Scaling; s != nil {
		scaling = &llm.RopeScaling{RopeType: s.Type, Factor: &s.Factor}
		if s.OriginalContext != nil {
			original = *s.OriginalContext
		}
		switch s.Type {
		case "llama3":
			scaling.OriginalMaxPositionEmbeddings = original
			scaling.LowFreqFactor, scaling.HighFreqFactor = s.LowFreqFactor, s.HighFreqFactor
		case "yarn":
			scaling.OriginalMaxPositionEmbeddings = original
			scaling.BetaFast, scaling.BetaSlow = &s.BetaFast, &s.BetaSlow
		}
	}
	if err := m.SetRope(theta, scaling); err != nil {
		return steps.Blame("rope_scaling", "%w", err)
	}
	return nil
}
