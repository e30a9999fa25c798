package anneal

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// recipe is a block with every default filled in, on one part of the little language.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	shape := traintest.Config(tokenizer.VocabSize())
	shape.MaxPositionEmbeddings = 32
	return &Config{
		Model: traintest.Model(t, tokenizer, shape),
		Data: traintest.Tokens(t, tokenizer,
			traintest.Part{Name: "best", Weight: 1, Train: traintest.Texts(12, 1), Holdout: traintest.Texts(5, 2)}),
		Tokens:    3000,
		Optimizer: pretraining.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.95}, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1},
		Schedule:  Schedule{Warmup: 0.1},
		Batch:     pretraining.Batch{Tokens: 100, MicroTokens: ptr(80)},
		Average:   Average{Kind: "polyak", Decay: 0.8, Last: 3},
		Eval:      pretraining.Eval{Every: ptr(int64(800)), Tokens: 400},
		Sample:    &sampling.Config{Prompts: []string{"The old"}, Tokens: 8, Temperature: 0.8, TopP: 0.95},

		Training: pretraining.Training{Spike: &pretraining.Spike{Sigma: 1.5, Window: 8}, CheckpointEvery: 3600},
	}
}

func TestRun(t *testing.T) {
	for _, kind := range []string{"polyak", "ema", "last", "none"} {
		t.Run(kind, func(t *testing.T) {
			c := recipe(t)
			c.Average.Kind = kind
			files, l, _ := traintest.Whole(t, &Type, c)
			values := l.Last().Values
			loss, last := values["loss"].(float64), values["last_loss"].(float64)
			if guess := math.Log(320); loss > 0.8*guess || last > 0.8*guess || (loss == last) != (kind == "none") {
				t.Errorf("held-out loss %.3f, of the last weights %.3f; guessing costs %.3f", loss, last, guess)
			}
			summary := files["report/summary.md"]
			if kind == "last" && !strings.Contains(summary, "| mean of 3 samples") {
				t.Error(summary)
			}
			if averaged := strings.Contains(summary, "loss of the last weights"); averaged != (kind != "none") || !strings.HasPrefix(summary, "# Annealing\n") {
				t.Error(summary)
			}
			var lrs []float64
			var final struct {
				Last float64 `json:"eval_loss"`
				Mean float64 `json:"average_eval_loss"`
			}
			for _, line := range strings.Split(strings.TrimSpace(files["report/metrics.jsonl"]), "\n") {
				var m map[string]float64
				if err := errors.Join(json.Unmarshal([]byte(line), &m), json.Unmarshal([]byte(line), &final)); err != nil {
					t.Fatal(err)
				}
				if lr, ok := m["lr"]; ok {
					lrs = append(lrs, lr)
				}
			}
			if n := len(lrs); n != 30 || lrs[2] != 1e-2 || math.Abs(lrs[n-1]-1e-2/27) > 1e-12 || math.Abs(lrs[16]-1e-2*14/27) > 1e-12 {
				t.Errorf("learning rates %v", lrs)
			}
			if final.Last != last || kind != "none" && final.Mean != loss {
				t.Errorf("the metrics end with %+v, the values are %g and %g", final, last, loss)
			}
			if n := strings.Count(files["report/samples.jsonl"], "\n"); n != 4 { // at 800, 1600, 2400 and the end
				t.Errorf("%d samples", n)
			}
		})
	}
}

func TestPitfall01ResumedRunIsTheSame(t *testing.T) {
	step := func(k int64) func(steps.Event) bool {
		return func(e steps.Event) bool { return e.Kind == steps.EventMetric && e.Step == k }
	}
	averaged := func(e steps.Event) bool {
		return e.Kind == steps.EventLog && strings.Contains(e.Message, "the average of the weights")
	}
	for _, kind := range []string{"polyak", "ema", "last"} {
		c := recipe(t)
		c.Average.Kind = kind
		often := *c
		often.CheckpointEvery = 0
		want, l, _ := traintest.Whole(t, &Type, c)
		if !strings.Contains(l.Texts(steps.EventLog), "is not taken") {
			t.Fatal("the test needs steps that are not taken")
		}
		for _, tc := range []struct {
			name string
			end  func(dir string)
		}{
			{"stopped in the first step", func(dir string) { traintest.Stopped(t, &Type, c, dir, step(1)) }},
			{"stopped in the middle", func(dir string) { traintest.Stopped(t, &Type, c, dir, step(15)) }},
			{"killed in the middle", func(dir string) { traintest.Killed(t, &Type, &often, dir, step(15)) }},
			{"killed when the average was read", func(dir string) { traintest.Killed(t, &Type, &often, dir, averaged) }},
			{"killed long after a checkpoint", func(dir string) {
				traintest.Stopped(t, &Type, c, dir, step(20))
				traintest.Killed(t, &Type, c, dir, averaged)
			}},
			{"again and again", func(dir string) {
				traintest.Stopped(t, &Type, c, dir, step(2))
				traintest.Killed(t, &Type, &often, dir, step(25))
				traintest.Stopped(t, &Type, c, dir, step(27))
			}},
		} {
			if kind != "polyak" && tc.name != "again and again" {
				continue
			}
			t.Run(kind+"/"+tc.name, func(t *testing.T) {
				dir := t.TempDir()
				tc.end(dir)
				if _, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil); err != nil {
					t.Fatal(err)
				}
				traintest.Same(t, traintest.Outputs(t, dir), want)
			})
		}
	}
}

func TestWithoutHeldOutDocuments(t *testing.T) {
	c := recipe(t)
	c.Data = traintest.Tokens(t, traintest.Tokenizer(t), traintest.Part{Name: "best", Weight: 1, Train: traintest.Texts(12, 1)})
	_, l, _ := traintest.Whole(t, &Type, c)
	v := l.Last().Values
	if v["loss"] != v["train_loss"] || v["last_loss"] != v["train_loss"] || !strings.Contains(l.Texts(steps.EventWarn), "no held-out documents") {
		t.Errorf("%v: %s", v, l.Texts(steps.EventWarn))
	}
}

func TestCheck(t *testing.T) {
	base := recipe(t)
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		path   string // "" for no error
	}{
		{"as it is", func(*Config) {}, ""},
		{"no decay", func(c *Config) { c.Average = Average{Kind: "ema", Decay: 1, Last: 1} }, "average.decay"},
		{"samples too far apart", func(c *Config) { c.Average.Every = ptr(int64(3001)) }, "average.every"},
		{"too many samples", func(c *Config) { c.Average = Average{Kind: "last", Last: 21} }, "average.last"},
		{"as many samples as fit", func(c *Config) { c.Average = Average{Kind: "last", Last: 20} }, ""},
		{"two samples of a step", func(c *Config) { c.Average = Average{Kind: "last", Last: 2, Every: ptr(int64(149))} }, "average.every"},
		{"warm-up of half a step", func(c *Config) { c.Schedule.Warmup = 2.5 }, "schedule.warmup"},
		{"batch", func(c *Config) { c.Context, c.Batch.Tokens = ptr(64), 32 }, "batch.tokens"},
	} {
		c := *base
		tc.change(&c)
		config, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		err = Type.Check(&steps.Spec{Config: config})
		var blame *steps.AttributeError
		if errors.As(err, &blame); tc.path == "" && err != nil || tc.path != "" && (blame == nil || blame.Path != tc.path) {
			t.Errorf("%s: got %v, want the blame on %q", tc.name, err, tc.path)
		}
	}
	if a := base.average(); a != (train.Average{Kind: train.Mean}) {
		t.Errorf("%+v", a)
	}
}

func TestEstimate(t *testing.T) {
	c := recipe(t)
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	up := steps.Estimate{Facts: map[string]float64{
		"n_layer": 2, "dim": 32, "ffn": 64, "n_head": 4, "n_kv_head": 2, "head_dim": 8, "vocab_size": 320, "max_context": 32, "tied": 0,
	}}
	e, err := Type.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: config}, Upstream: map[string]steps.Estimate{"model": up}})
	if err != nil {
		t.Fatal(err)
	}
	if model := traintest.Config(320); e.Tokens != 3000 || e.FLOPs != 3000*model.FLOPsPerToken(32) {
		t.Errorf("%+v", e)
	}
}
