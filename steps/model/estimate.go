package model

import (
	"encoding/json"
	"errors"

	"athanor/steps"
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
	tied := 0.0
	if a.TieWordEmbeddings {
		tied = 1
	}
	return steps.Estimate{
		Parameters: a.Parameters(),
		Facts: map[string]float64{
			"n_layer": float64(a.NumHiddenLayers), "dim": float64(a.HiddenSize), "ffn": float64(a.IntermediateSize),
			"n_head": float64(a.NumAttentionHeads), "n_kv_head": float64(a.NumKeyValueHeads),
			"head_dim": float64(a.HeadDim), "vocab_size": float64(a.VocabSize),
			"max_context": float64(a.MaxPositionEmbeddings), "tied": tied,
		},
	}, nil
}
