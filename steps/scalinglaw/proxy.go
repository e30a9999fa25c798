package scalinglaw

import (
	"context"
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// proxyType is the type of the children: one small model, trained at one budget.
var proxyType = steps.Type{
	Name:    "scaling_law.proxy",
	Doc:     "Trains a small model for as long as a budget lasts.",
	Version: 6,
	Config:  proxyConfig{},
	Outputs: []steps.Output{
		{Name: "loss", Type: "number", Doc: "Held-out loss in nats per token."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
		{Name: "budget", Type: "number", Doc: "Training FLOPs."},
		{Name: "n_layer", Type: "number", Doc: "Layers."},
		{Name: "dim", Type: "number", Doc: "Width."},
		{Name: "vocab_size", Type: "number", Doc: "Tokens of the data's vocabulary."},
		{Name: "report", Type: "report", Doc: "The course of the training."},
	},
	Estimate: estimateProxy,
	Run:      runProxy,
}

// proxyConfig is what a proxy depends on: nothing of the other sizes and budgets, or of the target.
type proxyConfig struct {
	Data   steps.Artifact `json:"data" kind:"tokens"`
	Budget float64        `json:"budget"`
	Size
	Model Model `json:"model" hcl:"block"`
	training
}

// tokensOf is how many tokens a budget pays for.
func tokensOf(budget float64, c llm.Config, context int) int64 {
	return int64(budget / c.FLOPsPerToken(context))
}

// estimateProxy says what a proxy will cost, once the size of the vocabulary is known.
func estimateProxy(in *steps.EstimateInput) (steps.Estimate, error) {
	var c proxyConfig
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	e := steps.Estimate{FLOPs: c.Budget}
	vocab := int(in.Upstream["data"].Facts["vocab_size"])
	if vocab == 0 {
		return e, nil
	}
	s, err := c.Model.shape(c.Size, vocab, c.Context)
	if err != nil {
		return e, err
	}
	e.Tokens, e.Parameters = tokensOf(c.Budget, s.llm, c.Context), s.llm.Parameters()
	e.Training, e.Memory, err = c.run(e.Tokens).Needs(s.llm)
	e.Facts = train.Facts(s.llm)
	return e, err
}

// runProxy trains from initial weights. The weights that come out are of no further use: the step keeps the loss.
func runProxy(ctx context.Context, rt *steps.Runtime) error {
	var c proxyConfig
	if err := rt.Config(&c); err != nil {
		return err
	}
	set, err := tokens.Open(c.Data.Path)
	if err != nil {
		return err
	}
	vocab, tokenizer := set.VocabSize(), set.TokenizerDir()
	if err := set.Close(); err != nil {
		return err
	}
	s, err := c.Model.shape(c.Size, vocab, c.Context)
	if err != nil {
		return err
	}
	if c.MuP != nil {
		s.llm.MuPBase = c.MuP.BaseDim
	}
	dir, err := rt.Temp()
	if err != nil {
		return err
	}
	if err := llm.WriteInitial(ctx, dir, s.llm, rt.Seed()); err != nil {
		return fmt.Errorf("writing the initial weights: %w", err)
	}
	if err := llm.CopyTokenizer(dir, tokenizer); err != nil {
		return err
	}
	run := c.run(tokensOf(c.Budget, s.llm, c.Context))
	if run.Tokens < c.Batch.Tokens {
		return steps.Blame("budget", "%s FLOPs pay for %d tokens, less than one batch of %d: raise the budget, or lower batch.tokens", Budget(c.Budget), run.Tokens, c.Batch.Tokens)
	}
	run.Model, run.Data = steps.Artifact{Kind: "model", Path: dir}, c.Data
	rt.Set("budget", c.Budget)
	rt.Set("n_layer", c.Layers)
	rt.Set("dim", c.Dim)
	rt.Set("vocab_size", vocab)
	_, err = run.Do(ctx, rt)
	return err
}
