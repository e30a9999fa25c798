package mixturesearch

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
)

// proxyType is the type of the children: one small model, trained on one mixture.
var proxyType = steps.Type{
	Name:    "mixture_search.proxy",
	Doc:     "Trains a small model on weights of a mixture.",
	Version: 6,
	Config:  proxyConfig{},
	Outputs: []steps.Output{
		{Name: "weights", Type: "map(number)", Doc: "The weight of each part."},
		{Name: "losses", Type: "map(number)", Doc: "Held-out loss of each part that has held-out documents, in nats per token."},
		{Name: "loss", Type: "number", Doc: "Held-out loss of all parts together, in nats per token."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
		{Name: "report", Type: "report", Doc: "The course of the training."},
	},
	Estimate: func(in *steps.EstimateInput) (steps.Estimate, error) {
		var c proxyConfig
		if err := in.Spec.Decode(&c); err != nil {
			return steps.Estimate{}, err
		}
		return c.proxy().Estimate(in.Upstream["model"], steps.Estimate{}) // the data's max_epochs do not hold
	},
	Run: runProxy,
}

// proxyConfig is what a proxy depends on: nothing of the others, or of what is read off them all.
type proxyConfig struct {
	Model  steps.Artifact `json:"model" kind:"model"`
	Data   steps.Artifact `json:"data" kind:"tokens"`
	Number int            `json:"number"`
	design
	training
	Question question `json:"question" hcl:"block,free"`
}

func (c *proxyConfig) proxy() *pretraining.Run {
	r := c.run()
	r.Model, r.Data = c.Model, c.Data
	return r
}

// runProxy trains. The model that comes out is of no further use: the step keeps the losses.
func runProxy(ctx context.Context, rt *steps.Runtime) error {
	var c proxyConfig
	if err := rt.Config(&c); err != nil {
		return err
	}
	parts, err := readParts(c.Data.Path)
	if err != nil {
		return err
	}
	if err := c.Question.check(parts); err != nil {
		return err
	}
	center, err := c.center(parts)
	if err != nil {
		return err
	}
	r := c.proxy()
	r.Weights = c.weights(c.Number, rt.Seed(), sizes(parts), center)
	outcome, err := r.Do(ctx, rt)
	if err != nil {
		return err
	}
	weights := map[string]float64{}
	for i, p := range parts {
		weights[p.Name] = r.Weights[i]
	}
	rt.Set("weights", weights)
	rt.Set("losses", outcome.HeldOut)
	return nil
}
