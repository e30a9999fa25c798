package pretraining

import (
	"encoding/json"
	"errors"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// Known returns an error if a configuration lacks one of the attributes because no step has yielded it yet.
func Known(s *steps.Spec, names ...string) error {
	var known map[string]json.RawMessage
	if err := s.Decode(&known); err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return errors.New(name + " is not known yet")
		}
	}
	return nil
}

// Memory is the most bytes of device memory that training a model takes.
func (r *Run) Memory(m llm.Config) (int64, error) {
	batches, _, err := r.plan()
	return m.TrainingMemory(r.micro(batches)), err
}

// Estimate says what training will cost, given the model's estimate. A context of 0 stands for the model's own.
func (r *Run) Estimate(model steps.Estimate) (steps.Estimate, error) {
	m, ok := train.Architecture(model.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the model is not known yet")
	}
	if r.Context == 0 {
		r.Context = m.MaxPositionEmbeddings
	}
	batches, _, err := r.plan()
	if err != nil {
		return steps.Estimate{}, err
	}
	return steps.Estimate{
		Parameters: m.Parameters(), Tokens: r.Tokens, FLOPs: m.FLOPsPerToken(r.Context) * float64(r.Tokens),
		Memory: m.TrainingMemory(r.micro(batches)), Facts: model.Facts,
	}, nil
}
