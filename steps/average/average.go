// Package average is the step type average: a model whose weights are the weighted mean of those of several models of
// one architecture, a model soup (arXiv 2203.05482). It pays where the models began from the same weights: several
// fine-tunings of one base, or several annealings.
//
// It needs no device and never holds a model in memory. How folders are read and compared is steps/internal/llm.
package average

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "average",
	Doc:     "Averages the weights of several models of one architecture: a model soup.",
	Version: 1,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The average, with the models' tokenizer, a Hugging Face folder."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what an average block holds.
type Config struct {
	Models  []steps.Artifact `json:"models" kind:"model" min:"2" doc:"The models. They have one architecture and one tokenizer."`
	Weights []float64        `json:"weights" optional:"true" doc:"How much each model counts, in the order of models; only their proportions matter. Left out: all count alike."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	_, err := c.shares()
	return err
}

// shares returns the weight of each model; they add up to 1.
func (c *Config) shares() ([]float64, error) {
	shares := make([]float64, len(c.Models))
	if c.Weights == nil {
		for i := range shares {
			shares[i] = 1 / float64(len(shares))
		}
		return shares, nil
	}
	if len(c.Weights) != len(c.Models) {
		return nil, steps.Blame("weights", "there are %d weights for %d models: write one for each", len(c.Weights), len(c.Models))
	}
	sum := 0.0
	for i, w := range c.Weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return nil, steps.Blame(fmt.Sprintf("weights[%d]", i), "the weight %g: at least 0", w)
		}
		sum += w
	}
	if sum == 0 {
		return nil, steps.Blame("weights", "all weights are 0: at least one model must count")
	}
	for i, w := range c.Weights {
		shares[i] = w / sum
	}
	return shares, nil
}

// estimate passes on the shape of the first model, which is that of all.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	up, ok := in.Upstream["models[0]"]
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the models is not known yet")
	}
	return steps.Estimate{Parameters: up.Parameters, Facts: up.Facts}, nil
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	shares, err := c.shares()
	if err != nil {
		return err
	}
	var dirs []string
	for _, m := range c.Models {
		dirs = append(dirs, m.Path)
	}
	tokenizer, err := c.tokenizer(dirs)
	if err != nil {
		return err
	}
	dst, err := rt.Output("model")
	if err != nil {
		return err
	}
	config, err := llm.Average(ctx, dst, dirs, shares)
	if mismatch := (*llm.MismatchError)(nil); errors.As(err, &mismatch) {
		return steps.Blame(fmt.Sprintf("models[%d]", mismatch.Index), "the models cannot be averaged: %w", mismatch.Err)
	}
	if err != nil {
		return err
	}
	rt.Set("parameters", config.Parameters())
	if tokenizer == "" {
		rt.Warn("none of the models has a tokenizer: neither has their average")
		return nil
	}
	return llm.CopyTokenizer(dst, tokenizer)
}

// tokenizer returns the folder of the first model that has a tokenizer; "" if none has. All that have one have the same.
func (c *Config) tokenizer(dirs []string) (string, error) {
	source, digest := "", ""
	for i, dir := range dirs {
		t, err := bpe.Load(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			return "", steps.Blame(fmt.Sprintf("models[%d]", i), "its tokenizer: %w", err)
		case source == "":
			source, digest = dir, t.Digest()
		case t.Digest() != digest:
			return "", steps.Blame(fmt.Sprintf("models[%d]", i), "the models cannot be averaged: its tokenizer is another than that of the models before it, so its weights stand for other tokens")
		}
	}
	return source, nil
}
