package evaluate

import (
	"encoding/json"
	"errors"

	"athanor/steps"
	"athanor/steps/internal/train"
)

// estimate says what reading needs in memory. How much text is held out is not known before the datasets are there.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var known map[string]json.RawMessage
	if err := in.Spec.Decode(&known); err != nil {
		return steps.Estimate{}, err
	}
	if _, ok := known["context"]; !ok {
		return steps.Estimate{}, errors.New("context is not known yet")
	}
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	up := in.Upstream["model"]
	m, ok := train.Architecture(up.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the model is not known yet")
	}
	window := m.MaxPositionEmbeddings
	if c.Context != nil {
		window = *c.Context
	}
	return steps.Estimate{Parameters: m.Parameters(), Memory: m.InferenceMemory(max(window, microTokens)), Facts: up.Facts}, nil
}
