package main

import (
	"os"
	"path/filepath"
	"testing"

	"athanor/steps"
)

// training is the estimate of a training of a model that takes no time to measure.
func training(layers float64, parameters int64) steps.Estimate {
	return steps.Estimate{
		Parameters: parameters, Tokens: 1000, FLOPs: 1e9 * float64(parameters),
		Facts: map[string]float64{
			"vocab_size": 300, "dim": 32, "ffn": 96, "n_layer": layers, "n_head": 2, "n_kv_head": 1, "head_dim": 16, "max_context": 64,
		},
		Training: &steps.Training{Context: 32, BatchTokens: 128, MicroTokens: 128, Trained: 1},
	}
}

// Every training gets a speed, but only as many are measured as there is time for; and each once.
func TestSpeedsAreMeasuredOnceAndSparingly(t *testing.T) {
	a := &app{stateDir: t.TempDir()}
	var list []steps.Estimate
	for i := range 12 {
		list = append(list, training(float64(i+1), 10*int64(i+1)))
	}
	first := a.speeds("cpu", list)
	known := readCalibration(filepath.Join(a.stateDir, "calibration.json"), "")
	if len(known.Speeds) > 0 {
		t.Error("what another machine has measured counts")
	}
	text, err := os.ReadFile(filepath.Join(a.stateDir, "calibration.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i, speed := range first {
		if speed <= 0 {
			t.Errorf("the training %d has no speed", i)
		}
	}
	if first[0] != first[1] {
		t.Errorf("the smallest of 12 trainings are measured, %v: that takes longer than a second", first)
	}
	// Those that were not measured may be now; those that were stay as they are.
	again := a.speeds("cpu", list[11:])
	after, err := os.ReadFile(filepath.Join(a.stateDir, "calibration.json"))
	if err != nil || again[0] != first[11] || string(after) != string(text) {
		t.Errorf("the largest was measured again: %v and %v, %v", first[11], again[0], err)
	}
	if got := a.speeds("none", list); got[0] != 0 {
		t.Errorf("a device that is not there does %v", got)
	}
}

func TestNearestSpeed(t *testing.T) {
	list := []steps.Estimate{training(1, 10), training(1, 100), training(1, 1000)}
	for parameters, want := range map[int64]float64{5: 1, 30: 1, 40: 2, 900: 3} {
		if got := nearestSpeed(list, []float64{1, 2, 3}, training(1, parameters)); got != want {
			t.Errorf("%d parameters: %g, not %g", parameters, got, want)
		}
	}
	if got := nearestSpeed(list, []float64{0, 0, 0}, training(1, 10)); got != 0 {
		t.Errorf("nothing is measured: %g", got)
	}
}
