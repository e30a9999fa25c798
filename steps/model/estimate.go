package model

import (
	"encoding/json"
	"errors"

	"athanor/steps"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// estimate says how large the model will be. Its facts are for the steps that train it. The step itself needs no memory
// to speak of: it writes tensor by tensor.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var present map[string]json.RawMessage
	if err := in.Spec.Decode(&present); err != nil {
		return steps.Estimate{}, err
	}
	for _, name := range []string{
		"from", "preset", "n_layer", "dim", "ffn", "n_head", "n_kv_head", "vocab_size", "tie_embeddings",
	} {
		if _, ok := present[name]; !ok {
			return steps.Estimate{}, errors.New(name + " is not known yet")
		}
	}
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	a, err := c.architecture(in.Spec, int(in.Upstream["tokenizer"].Facts["vocab_size"]))
	if err != nil {
		return steps.Estimate{}, err
	}
	if a.VocabSize == 0 {
		return steps.Estimate{}, errors.New("the size of the tokenizer is not known yet")
	}
	facts := train.Facts(a)
	if n, ok := in.Upstream["tokenizer"].Facts[tokens.BytesPerToken]; ok {
		facts[tokens.BytesPerToken] = n
	}
	return steps.Estimate{Parameters: a.Parameters(), Facts: facts}, nil
}
