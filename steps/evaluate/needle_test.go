package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/train/traintest"
)

func TestNeedles(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	shape := traintest.Config(320)
	model := traintest.Model(t, tokenizer, shape)
	shape.MaxPositionEmbeddings = 64 // shorter than the texts that suit the first model
	short := traintest.Model(t, tokenizer, shape)
	grid := needle.Grid{Depths: 3, Needles: 2, Facts: needle.Facts{Template: "{key}={value}.", Digits: 2}}
	c := &Config{
		Model:  model,
		Others: []Other{{Name: "a b", Model: short}},
		Needles: []Needle{
			{Name: "hay", Data: traintest.Dataset(t, nil, traintest.Texts(30, 2)), Split: "holdout", Grid: grid},
		},
	}
	dir, events, err := attempt(t, context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := figures(t, events, "accuracy")
	if len(accuracy) != 2 || accuracy["hay"] != 0 || accuracy["a b/hay"] != 0 {
		t.Errorf("models that were never trained found %v", accuracy)
	}
	var outcomes []outcome
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err := errors.Join(err, json.Unmarshal(data, &outcomes)); err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes {
		if len(o.Needles) != 1 || len(o.Needles[0].Found) != len(o.Needles[0].Lengths) || o.Needles[0].Lengths[len(o.Needles[0].Lengths)-1] != 128 {
			t.Errorf("%s: %+v", o.Model, o.Needles)
		}
	}
	for name, says := range map[string]string{
		"needle_hay.svg": ">Needles found: hay, model<", "needle_hay_a-b.svg": ">Needles found: hay, a b<",
		"summary.md": "## Needles found by a b: hay", "items.jsonl": `"query":"`,
	} {
		if data, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(data), says) {
			t.Errorf("%s: %v\n%s", name, err, data)
		}
	}
	logged := false
	for _, e := range events {
		logged = logged || e.Kind == steps.EventLog && strings.HasPrefix(e.Message, "hay:  depth")
	}
	if !logged {
		t.Error("the grid is not in the log")
	}
}

func TestNeedlesThatCannotBe(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(320))
	facts := needle.Facts{Template: "{key}={value}.", Digits: 2}
	data := traintest.Dataset(t, traintest.Texts(3, 1), traintest.Texts(1, 2))
	for _, c := range []struct {
		name string
		n    Needle
		path string
		says string
	}{
		{"a length beyond the context", Needle{Grid: needle.Grid{Lengths: []int{100, 200}, Facts: facts}, Data: data, Split: "holdout"}, "needle[0].lengths[1]", "longer than the context of 128"},
		{"a short length", Needle{Grid: needle.Grid{Lengths: []int{20}, Facts: facts}, Data: data, Split: "holdout"}, "needle[0].lengths[0]", "too short for a needle"},
		{"nothing held out", Needle{Grid: needle.Grid{Facts: facts}, Data: traintest.Dataset(t, traintest.Texts(3, 1), nil), Split: "holdout"}, "needle[0].data", "set holdout"},
		{"too little held out", Needle{Grid: needle.Grid{Facts: facts}, Data: traintest.Dataset(t, nil, []string{"The wren."}), Split: "holdout"}, "needle[0]", "hold back more"},
	} {
		c.n.Name, c.n.Depths, c.n.Needles = "hay", 2, 1
		_, _, err := attempt(t, context.Background(), &Config{Model: model, Needles: []Needle{c.n}})
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for says, c := range map[string]Config{
		"has no {value}":           {Needles: []Needle{{Name: "a", Grid: needle.Grid{Facts: needle.Facts{Template: "x"}}}}},
		`two tasks are called "a"`: {Needles: []Needle{{Name: "a", Grid: needle.Grid{Facts: facts}}, {Name: "a", Grid: needle.Grid{Facts: facts}}}},
	} {
		config, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := Type.Check(&steps.Spec{Config: config}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want %q: %v", says, err)
		}
	}
}
