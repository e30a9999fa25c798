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

// An observer evaluates while the model trains: it implements train.Observer.
type observer struct {
	runtime *steps.Runtime
	measure func(ctx context.Context) (map[string]float64, error)
	draw    func(ctx context.Context) ([]sampling.Sample, error) // nil: no samples

	seen observed
}

// observed is what an observer has seen: its part of a checkpoint.
type observed struct {
	Figures map[string]float64 `json:"figures"` // of the last observation
	Samples []sampling.Sample  `json:"samples"`
}

// Observe implements train.Observer. A figure that is no finite number means that training has diverged.
func (o *observer) Observe(ctx context.Context, step, consumed int64) (map[string]float64, error) {
	figures, err := o.measure(ctx)
	if err != nil {
		return nil, err
	}
	for _, v := range figures {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &train.DivergedError{Loss: v}
		}
	}
	seen := observed{Figures: figures, Samples: o.seen.Samples}
	if o.draw != nil {
		samples, err := o.draw(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			s.Step = step
			seen.Samples = append(seen.Samples, s)
			o.runtime.Log("sample at step %d: %q → %q", step, s.Prompt, s.Text)
		}
	}
	var told []string
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		told = append(told, fmt.Sprintf("%s %.4f", name, figures[name]))
	}
	o.runtime.Log("evaluation at step %d, example %d: %s", step, consumed, strings.Join(told, ", "))
	o.seen = seen
	return figures, nil
}

// sampling makes the observer put the questions of a sample block, which may be nil, to the model.
func (o *observer) sampling(b *Base, m *llm.Model, s *Sample) {
	if s != nil {
		o.draw = func(ctx context.Context) ([]sampling.Sample, error) { return b.Answers(ctx, m, s, o.runtime.Seed()) }
	}
}

// State implements train.Observer.
func (o *observer) State() ([]byte, error) { return json.Marshal(o.seen) }

// Restore implements train.Observer.
func (o *observer) Restore(state []byte) error {
	o.seen = observed{}
	return json.Unmarshal(state, &o.seen)
}
