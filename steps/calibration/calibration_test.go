package calibration

import (
	"errors"
	"testing"
	"time"

	"athanor/gpu/cpu"
	"athanor/steps"
)

func estimate(change func(e *steps.Estimate)) steps.Estimate {
	e := steps.Estimate{
		Facts: map[string]float64{
			"vocab_size": 300, "dim": 32, "ffn": 96, "n_layer": 1, "n_head": 2, "n_kv_head": 1, "head_dim": 16, "max_context": 64, "loss": 3,
		},
		Training: &steps.Training{Context: 32, BatchTokens: 128, MicroTokens: 128, Trained: 1},
	}
	change(&e)
	return e
}

// TestWorkload: what does not change the speed has no part in its name, so that it is not measured again.
func TestWorkload(t *testing.T) {
	name := Workload(estimate(func(*steps.Estimate) {}))
	for what, e := range map[string]steps.Estimate{
		"another loss": estimate(func(e *steps.Estimate) { e.Facts["loss"] = 2 }),
		"more to read": estimate(func(e *steps.Estimate) { e.Training.ReadFLOPs = 1e9 }),
		"more tokens":  estimate(func(e *steps.Estimate) { e.Tokens, e.FLOPs = 1000, 1e12 }),
	} {
		if got := Workload(e); got != name {
			t.Errorf("%s: %s, want %s", what, got, name)
		}
	}
	for what, e := range map[string]steps.Estimate{
		"another model":    estimate(func(e *steps.Estimate) { e.Facts["dim"] = 64 }),
		"another batch":    estimate(func(e *steps.Estimate) { e.Training.BatchTokens = 64 }),
		"shorter segments": estimate(func(e *steps.Estimate) { e.Training.Segment = 8 }),
		"another head":     estimate(func(e *steps.Estimate) { e.Training.Score = true }),
	} {
		if got := Workload(e); got == name || got == "" {
			t.Errorf("%s: %q", what, got)
		}
	}
}

// TestNothing: there is nothing to measure of what is no training, or of a model that nobody knows.
func TestNothing(t *testing.T) {
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for what, e := range map[string]steps.Estimate{
		"no training": estimate(func(e *steps.Estimate) { e.Training = nil }),
		"no model":    estimate(func(e *steps.Estimate) { e.Facts = nil }),
	} {
		if _, err := Speed(dev, e, time.Millisecond); !errors.Is(err, ErrNothing) || Workload(e) != "" {
			t.Errorf("%s: %v, %q", what, err, Workload(e))
		}
	}
}
