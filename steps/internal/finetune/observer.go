package finetune

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// An Observer evaluates while the model trains: it implements train.Observer.
type Observer struct {
	Runtime *steps.Runtime
	Measure func(ctx context.Context) (map[string]float64, error)
	Draw    func(ctx context.Context) ([]sampling.Sample, error) // nil: no samples; see Sampling

	seen observed
}

// observed is what an observer has seen: its part of a checkpoint.
type observed struct {
	Figures map[string]float64 `json:"figures"` // of the last observation
	Samples []sampling.Sample  `json:"samples"`
}

// Figures are those of the last observation.
func (o *Observer) Figures() map[string]float64 { return o.seen.Figures }

// Samples are all that were drawn.
func (o *Observer) Samples() []sampling.Sample { return o.seen.Samples }

// Observe implements train.Observer. A figure that is no finite number means that training has diverged.
func (o *Observer) Observe(ctx context.Context, step, consumed int64) (map[string]float64, error) {
	figures, err := o.Measure(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range figures {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &train.DivergedError{Loss: v}
		}
	}
	seen := observed{Figures: figures, Samples: o.seen.Samples}
	if o.Draw != nil {
		samples, err := o.Draw(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			s.Step = step
			seen.Samples = append(seen.Samples, s)
			o.Runtime.Log("sample at step %d: %q → %q", step, s.Prompt, s.Text)
		}
	}
	var told []string
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		told = append(told, fmt.Sprintf("%s %.4f", name, figures[name]))
	}
	o.Runtime.Log("evaluation at step %d, example %d: %s", step, consumed, strings.Join(told, ", "))
	o.seen = seen
	return figures, nil
}

// Sampling makes the observer put the questions of a sample block, which may be nil, to the model.
func (o *Observer) Sampling(b *Base, m *llm.Model, s *Sample) {
	if s != nil {
		o.Draw = func(ctx context.Context) ([]sampling.Sample, error) { return b.Answers(ctx, m, s, o.Runtime.Seed()) }
	}
}

// State implements train.Observer.
func (o *Observer) State() ([]byte, error) { return json.Marshal(o.seen) }

// Restore implements train.Observer.
func (o *Observer) Restore(state []byte) error {
	o.seen = observed{}
	return json.Unmarshal(state, &o.seen)
}
