package pretrain

import (
	"encoding/json"
	"errors"

	"athanor/steps"
	"athanor/steps/internal/train"
)

// estimate says what training will cost, as soon as the model's shape and the number of tokens are known.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var known map[string]json.RawMessage
	if err := in.Spec.Decode(&known); err != nil {
		return steps.Estimate{}, err
	}
	for _, name := range []string{"context", "tokens", "batch"} {
		if _, ok := known[name]; !ok {
			return steps.Estimate{}, errors.New(name + " is not known yet")
		}
	}
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	batches, _, err := c.plan()
	if err != nil {
		return steps.Estimate{}, err
	}
	up := in.Upstream["model"]
	m, ok := train.Architecture(up.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the model is not known yet")
	}
	return steps.Estimate{
		Parameters: m.Parameters(), Tokens: c.Tokens, FLOPs: m.FLOPsPerToken(c.Context) * float64(c.Tokens),
		Memory: m.TrainingMemory(c.micro(batches)), Facts: up.Facts,
	}, nil
}
