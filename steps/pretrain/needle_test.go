package pretrain

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/pretraining"
)

// seeking is the recipe with a needle test at each evaluation.
func seeking(t *testing.T) *Config {
	c := recipe(t)
	c.Context = 80
	c.Eval = pretraining.Eval{Every: ptr(int64(800)), Tokens: 400, Needle: &needle.Grid{
		Lengths: []int{80}, Depths: 2, Needles: 2, Facts: needle.Facts{Template: "{key}={value}.", Digits: 2},
	}}
	return c
}

// TestNeedlesWhileTraining: each evaluation looks for needles and says so, and changes nothing of the training.
func TestNeedlesWhileTraining(t *testing.T) {
	c := seeking(t)
	files, l := whole(t, c, 2)
	figures := 0
	for line := range strings.Lines(files["report/metrics.jsonl"]) {
		var m map[string]float64
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if loss, ok := m["value_loss"]; ok {
			figures++
			if m["needles"] < 0 || m["needles"] > 1 || !(loss > 0) {
				t.Errorf("needles %g, loss of the values %g", m["needles"], loss)
			}
		}
	}
	if log := l.texts(steps.EventLog); figures < 4 || strings.Count(log, "of 4 found, and their values have a loss of") != figures {
		t.Errorf("%d evaluations have figures:\n%s", figures, log)
	}
	c.Eval.Needle = nil
	if without, _ := whole(t, c, 2); without["model/model.safetensors"] != files["model/model.safetensors"] {
		t.Error("looking for needles changes the weights")
	}
}

func TestNeedlesThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		path, says string
		change     func(*Config)
	}{
		{"eval.needle.template", "no {key}", func(c *Config) { c.Eval.Needle.Template = "{value}" }},
		{"eval.needle.lengths[0]", "too short for a needle", func(c *Config) { c.Eval.Needle.Lengths = []int{10} }},
		{"eval.needle.lengths[0]", "longer than the context", func(c *Config) { c.Eval.Needle.Lengths = []int{96} }},
	} {
		config := seeking(t)
		c.change(config)
		_, err := attempt(t, context.Background(), config, t.TempDir(), 2, nil)
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}
