package pretraining

import (
	"encoding/json"
	"errors"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// Estimate says what a step that is one run will cost, as soon as the model's shape and the number of tokens are known.
// config is a pointer to the step's configuration, which is decoded into it, and run the training that it then describes.
func Estimate(in *steps.EstimateInput, config any, run func() *Run) (steps.Estimate, error) {
	if err := known(in.Spec, "context", "tokens", "batch"); err != nil {
		return steps.Estimate{}, err
	}
	if err := in.Spec.Decode(config); err != nil {
		return steps.Estimate{}, err
	}
	return run().Estimate(in.Upstream["model"], in.Upstream["data"])
}

// known returns an error if a configuration lacks one of the attributes because no step has yielded it yet.
func known(s *steps.Spec, names ...string) error {
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

// Needs says how the run trains a model, and the most bytes of device memory that takes.
func (r *Run) Needs(m llm.Config) (*steps.Training, int64, error) {
	batches, _, err := r.plan()
	return r.training(batches), m.TrainingMemory(r.micro(batches)), err
}

// training says how the run trains.
func (r *Run) training(b train.Batches) *steps.Training {
	return &steps.Training{Context: r.Context, BatchTokens: b.Mean(), MicroTokens: r.micro(b), Trained: 1, Precision: r.Numerics.Precision}
}

// Estimate says what training will cost, given the estimates of the model and of the data. A context of 0 stands for the
// model's own.
func (r *Run) Estimate(model, data steps.Estimate) (steps.Estimate, error) {
	if available, known := data.Facts["available_tokens"]; known && float64(r.Tokens) > available {
		return steps.Estimate{}, &steps.ImpossibleError{Err: steps.Blame("tokens",
			"%d tokens are wanted, but within max_epochs the data can give %.0f. Raise max_epochs, add data, or lower tokens", r.Tokens, available)}
	}
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
		Memory: m.TrainingMemory(r.micro(batches)), Facts: model.Facts, Training: r.training(batches),
	}, nil
}
