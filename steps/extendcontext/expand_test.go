package extendcontext

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/train/traintest"
)

// block is an extend_context block with its defaults.
func block() *Config {
	return &Config{
		Model: steps.Artifact{Kind: "model", From: "model"}, Data: steps.Artifact{Kind: "tokens", From: "data"},
		Stages: []Stage{{Context: 512, MaxTokens: 100000}, {Context: 1024, MaxTokens: 200000}},
		Gate: Gate{Needle: 1, ShortLossRatio: 1.01, EvalTokens: 1000, Grid: needle.Grid{
			Depths: 5, Needles: 4, Facts: needle.Facts{Template: "The magic number of the {key} is {value}.", Digits: 4}}},
		training: training{
			Optimizer: pretraining.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.95}, Eps: 1e-8},
			Schedule:  Schedule{Warmup: 2, Shape: "constant", Final: 0.1}, Batch: Batch{Tokens: 2048},
		},
	}
}

func spec(t *testing.T, c *Config) *steps.Spec {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return &steps.Spec{Config: config}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		path, says string
		change     func(*Config)
	}{
		{"", "", func(*Config) {}},
		{"stage[1].context", "comes after one of 512", func(c *Config) { c.Stages[1].Context = 512 }},
		{"stage[0].rope_theta", "more than 1", func(c *Config) { c.Stages[0].RopeTheta = ptr(0.5) }},
		{"stage[1].rope_scaling.low_freq_factor", "not 4 and 1", func(c *Config) {
			c.Stages[1].Scaling = &Scaling{Type: "llama3", Factor: 2, LowFreqFactor: 4, HighFreqFactor: 1}
		}},
		{"stage[0].max_tokens", "less than one batch of 2048", func(c *Config) { c.Stages[0].MaxTokens = 2047 }},
		{"stage[0].batch.tokens", "cannot hold a document of the context's 512", func(c *Config) { c.Stages[0].Batch = &Batch{Tokens: 500} }},
		{"stage[1].schedule.shape", "set schedule.tokens", func(c *Config) { c.Stages[1].Schedule = &Schedule{Shape: "cosine"} }},
		{"", "", func(c *Config) { c.Stages[1].Schedule = &Schedule{Shape: "cosine", Tokens: ptr(int64(50000))} }},
		{"stage[0].schedule.warmup", "raise max_tokens", func(c *Config) { c.Schedule.Warmup = 48 }},
		{"stage[0].optimizer.betas", "two numbers", func(c *Config) { c.Optimizer.Betas = []float64{0.9, 1} }},
		{"stage[0].context", "a context of 20 tokens is too short for a needle: a fact, its question and some text take at least 37", func(c *Config) { c.Stages[0].Context = 20 }},
		{"gate.grid.lengths[0]", "a text of 20 tokens is too short for a needle", func(c *Config) { c.Gate.Grid.Lengths = []int{20, 512} }},
		{"gate.grid.lengths[1]", "lengths are in order, and 200 comes after 300", func(c *Config) { c.Gate.Grid.Lengths = []int{300, 200} }},
		{"gate.grid.lengths[1]", "longer than the context of", func(c *Config) { c.Gate.Grid.Lengths = []int{300, 1 << 20} }},
		{"gate.grid.template", "no {key}", func(c *Config) { c.Gate.Grid.Template = "{value}" }},
	} {
		config := block()
		c.change(config)
		err := Type.Check(spec(t, config))
		var blame *steps.AttributeError
		if c.path == "" {
			if err != nil {
				t.Error(err)
			}
		} else if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}

func expanded(t *testing.T, c *Config) []steps.Child {
	t.Helper()
	children, err := Type.Expand(&steps.EstimateInput{Spec: spec(t, c)})
	if err != nil {
		t.Fatal(err)
	}
	return children
}

func TestExpand(t *testing.T) {
	c := block()
	c.Gate.Grid.Lengths = []int{256, 512, 768}
	c.Stages[1].Data = steps.Artifact{Kind: "tokens", From: "stage[1].data"}
	c.Stages[1].Optimizer = &pretraining.Optimizer{LR: 5}
	children := expanded(t, c)
	if len(children) != 2 || children[0].Name != "512" || children[1].Name != "1024" || children[1].Path != "stage[1]" {
		t.Fatalf("children %+v", children)
	}
	first, second := children[0].Config.(stageConfig), children[1].Config.(stageConfig)
	if first.Model.From != "model" || second.Model.From != `["512"].model` || second.Original.From != "model" {
		t.Errorf("the stages begin with %+v and %+v", first.Model, second.Model)
	}
	if first.Data.From != "data" || second.Data.From != "stage[1].data" || second.HeldOut.From != "data" {
		t.Errorf("the stages read %+v and %+v", first.Data, second.Data)
	}
	if first.Optimizer.LR != 1e-2 || second.Optimizer.LR != 5 {
		t.Errorf("learning rates %g and %g", first.Optimizer.LR, second.Optimizer.LR)
	}
	if !slices.Equal(first.Gate.Grid.Lengths, []int{256, 512}) || !slices.Equal(second.Gate.Grid.Lengths, []int{256, 512, 768, 1024}) {
		t.Errorf("lengths %v and %v", first.Gate.Grid.Lengths, second.Gate.Grid.Lengths)
	}
	// Another stage, and what it asks of the grid, change nothing of those before.
	c.Stages = append(c.Stages, Stage{Context: 2048, MaxTokens: 1 << 20})
	c.Gate.Grid.Lengths = append(c.Gate.Grid.Lengths, 2000)
	for i, child := range expanded(t, c)[:2] {
		before, err := json.Marshal(children[i].Config)
		if err != nil {
			t.Fatal(err)
		}
		if after, err := json.Marshal(child.Config); err != nil || string(after) != string(before) {
			t.Errorf("%v: stage %s is now\n%s\nand was\n%s", err, child.Name, after, before)
		}
	}
}

func TestEstimate(t *testing.T) {
	facts := map[string]float64{
		"vocab_size": 320, "dim": 32, "ffn": 64, "n_layer": 2, "n_head": 4, "n_kv_head": 2, "head_dim": 8, "max_context": 128,
	}
	c := block()
	up := map[string]steps.Estimate{"model": {Parameters: 7, Facts: facts}}
	e, err := Type.Estimate(&steps.EstimateInput{Spec: spec(t, c), Upstream: up})
	if err != nil || e.Facts["max_context"] != 1024 || e.FLOPs != 0 || e.Parameters != 7 || facts["max_context"] != 128 {
		t.Errorf("%+v, %v", e, err)
	}
	config, err := json.Marshal(expanded(t, c)[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	e, err = stageType.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: config}, Upstream: up})
	if err != nil || e.Facts["max_context"] != 512 || e.Tokens != 98304 || !(e.FLOPs > 0) || facts["max_context"] != 128 {
		t.Errorf("%+v, %v", e, err)
	}
}

// TestRun: the step is what its stages have made.
func TestRun(t *testing.T) {
	child := recipe(t)
	files, l, dir := traintest.Whole(t, &stageType, child)
	values, err := json.Marshal(l.Values())
	if err != nil {
		t.Fatal(err)
	}
	c := block()
	c.Stages = c.Stages[:1]
	s := spec(t, c)
	s.WorkDir = t.TempDir()
	s.Children = []steps.ChildResult{{Name: "512", Values: values, Artifacts: map[string]steps.Artifact{
		"model":  {Kind: "model", Path: filepath.Join(dir, "out", "model")},
		"report": {Kind: "report", Path: filepath.Join(dir, "out", "report")},
	}}}
	heard := &traintest.Listener{}
	rt, err := steps.NewRuntime(s, heard)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Do(t.Context(), &Type); err != nil {
		t.Fatal(err)
	}
	out := heard.Values()
	if out["tokens"] != l.Values()["tokens"] || out["context"] != 512.0 || out["short_loss"] != l.Values()["short_loss"] || out["needles"] != 0.0 {
		t.Errorf("values %v", out)
	}
	for name, want := range files {
		if name, ok := strings.CutPrefix(name, "model/"); ok {
			if got, err := os.ReadFile(filepath.Join(s.WorkDir, "out", "model", name)); err != nil || string(got) != want {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	summary, err := os.ReadFile(filepath.Join(s.WorkDir, "out", "report", "summary.md"))
	if err != nil || !strings.Contains(string(summary), "| 512 | ") || !strings.Contains(string(summary), "(needles_512.svg)") {
		t.Errorf("%v\n%s", err, summary)
	}
}
