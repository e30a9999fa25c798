package extendcontext

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// recipe is a stage with every default filled in, from 32 to 128 tokens. The model begins with random weights, so that its
// loss on short texts falls from the start, and finds nothing.
func recipe(t testing.TB) *stageConfig {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	shape := traintest.Config(tokenizer.VocabSize())
	shape.MaxPositionEmbeddings = 32
	model := traintest.Model(t, tokenizer, shape)
	data := traintest.Tokens(t, tokenizer, traintest.Part{Name: "long", Weight: 1, Train: traintest.Texts(40, 1), Holdout: traintest.Texts(20, 2)})
	return &stageConfig{
		Model: model, Original: model, Data: data, HeldOut: data, Context: 128, MaxTokens: 5000, RopeTheta: ptr(40000.0),
		Gate: Gate{
			Needle: 0, ShortLossRatio: 0.8, CheckEvery: ptr(int64(500)), EvalTokens: 400,
			Grid: needle.Grid{Depths: 2, Needles: 1, Facts: needle.Facts{Template: "{key}={value}.", Digits: 2}},
		},
		training: training{
			Optimizer: pretraining.Optimizer{LR: 4e-3, Betas: []float64{0.9, 0.95}, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1},
			Schedule:  Schedule{Warmup: 2, Shape: "constant", Final: 0.1},
			Batch:     Batch{Tokens: 200}, Training: pretraining.Training{CheckpointEvery: 3600},
		},
	}
}

// looks are the checks that the metrics of a stage hold.
func looks(t *testing.T, files map[string]string) []map[string]float64 {
	t.Helper()
	var all []map[string]float64
	for _, line := range strings.Split(strings.TrimSpace(files["report/metrics.jsonl"]), "\n") {
		var m map[string]float64
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if _, ok := m["short_loss"]; ok {
			all = append(all, m)
		}
	}
	return all
}

// TestAStageEndsWhenTheGateHolds: at the first check at which both conditions hold, and not before.
func TestAStageEndsWhenTheGateHolds(t *testing.T) {
	c := recipe(t)
	files, l, _ := traintest.Whole(t, &stageType, c)
	all, values := looks(t, files), l.Values()
	if len(all) < 2 {
		t.Fatalf("%d checks: the test is to have several", len(all))
	}
	for i, m := range all {
		if last := i == len(all)-1; (m["short_loss_ratio"] <= 0.8) != last {
			t.Errorf("check %d of %d has the ratio %g", i+1, len(all), m["short_loss_ratio"])
		}
	}
	tokens := values["tokens"].(float64)
	if want := float64(len(all)) * 500; tokens < want || tokens >= want+200 {
		t.Errorf("%g tokens, %d checks", tokens, len(all))
	}
	if ratio := values["short_loss"].(float64) / values["short_loss_before"].(float64); ratio != all[len(all)-1]["short_loss_ratio"] {
		t.Errorf("the values have the ratio %g", ratio)
	}
	for name, says := range map[string]string{
		"report/summary.md":  "## The gate\n\nWanted: a loss at 32 tokens of at most 0.8 times",
		"report/needles.svg": "Needles found, context 128",
		"model/config.json":  `"max_position_embeddings": 128`,
	} {
		if !strings.Contains(files[name], says) {
			t.Errorf("%s: %s", name, files[name])
		}
	}
	if log := l.Texts(steps.EventLog); !strings.Contains(log, "needles found:  depth") || !strings.Contains(log, "passed: the loss at 32 tokens is") {
		t.Error(log)
	}
	if !strings.Contains(files["model/config.json"], `"rope_theta": 40000`) {
		t.Error(files["model/config.json"])
	}

	// How many tokens it might have taken changes nothing, and is not in the key.
	c.MaxTokens = 9999
	other, _, _ := traintest.Whole(t, &stageType, c)
	traintest.Same(t, other, files)
}

// TestAGateThatDoesNotHold: each condition by itself keeps a stage from ending; it then fails at max_tokens with both
// figures, keeps its checkpoint, and goes on from there with more.
func TestAGateThatDoesNotHold(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*stageConfig)
		says   string
	}{
		{"not recovered", func(c *stageConfig) { c.Gate.ShortLossRatio = 0.01 }, "(wanted: at most 0.01 times); 0 of "},
		{"not solved", func(c *stageConfig) { c.Gate.Needle = 1 }, "are found, 0.0 % (wanted: 100 %)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := recipe(t)
			config.MaxTokens = 1790
			c.change(config)
			dir := t.TempDir()
			l, err := traintest.Attempt(t, context.Background(), &stageType, config, dir, nil)
			var gate *steps.GateError
			if !errors.As(err, &gate) || gate.Path != "max_tokens" || l.Last().Kind != steps.EventGate {
				t.Fatalf("%v", err)
			}
			for _, want := range []string{c.says, "within 1600 tokens", "the loss at 32 tokens is ", "times the ", "The checkpoint is kept"} {
				if !strings.Contains(gate.Message, want) {
					t.Errorf("%q is not in: %s", want, gate.Message)
				}
			}
			if kept, err := filepath.Glob(filepath.Join(dir, "checkpoints", "*", "state.json")); err != nil || len(kept) == 0 {
				t.Errorf("%v: no checkpoint is kept", err)
			}
			// The report of what was trained stays: its grids say why the gate does not hold.
			for name, says := range map[string]string{"summary.md": "## The gate", "needles.svg": "Needles found, context 128", "gate.svg": "<circle", "loss.svg": "<path"} {
				if text, err := os.ReadFile(filepath.Join(dir, "unfinished", name)); err != nil || !strings.Contains(string(text), says) {
					t.Errorf("%s: %v\n%s", name, err, text)
				}
			}
			// Again: the same end at once, without training.
			l, again := traintest.Attempt(t, context.Background(), &stageType, config, dir, nil)
			if again == nil || again.Error() != err.Error() || strings.Contains(l.Texts(steps.EventLog), "gate after") {
				t.Errorf("the second time: %v\n%s", again, l.Texts(steps.EventLog))
			}
			config.MaxTokens = 2600
			l, more := traintest.Attempt(t, context.Background(), &stageType, config, dir, nil)
			if log := l.Texts(steps.EventLog); more == nil || !strings.Contains(more.Error(), "within 2600 tokens") || !strings.Contains(log, "resuming after step 8, at 1600 of 2600 tokens") {
				t.Errorf("with more tokens: %v\n%s", more, log)
			}
		})
	}
}

// TestGoingOnAfterAFailure: a stage that failed and goes on with more tokens ends with the very weights of one that had
// them from the beginning.
func TestGoingOnAfterAFailure(t *testing.T) {
	c := recipe(t)
	whole, l, _ := traintest.Whole(t, &stageType, c)
	dir := t.TempDir()
	c.MaxTokens = int64(l.Values()["tokens"].(float64)) - 450
	if _, err := traintest.Attempt(t, context.Background(), &stageType, c, dir, nil); err == nil {
		t.Fatal("the stage passed with too few tokens")
	}
	c.MaxTokens = 5000
	if _, err := traintest.Attempt(t, context.Background(), &stageType, c, dir, nil); err != nil {
		t.Fatal(err)
	}
	if files := traintest.Outputs(t, dir); files["model/model.safetensors"] != whole["model/model.safetensors"] {
		t.Error("the weights differ")
	}
}

func TestPitfall01ResumedStageIsTheSame(t *testing.T) {
	c := recipe(t)
	c.Spike = &pretraining.Spike{Sigma: 1.5, Window: 8}
	want, _, _ := traintest.Whole(t, &stageType, c)
	got, _ := traintest.Interrupted(t, &stageType, c, 1, 3, 2)
	traintest.Same(t, got, want)

	// Killed at moments of all kinds: in training, at a checkpoint, between a check and what follows it, at the very end.
	c.CheckpointEvery = 0
	dir := t.TempDir()
	for _, at := range []int{1, 2, 3, 4} {
		seen := 0
		traintest.Killed(t, &stageType, c, dir, func(e steps.Event) bool {
			if e.Kind == steps.EventMetric || e.Kind == steps.EventCheckpoint {
				seen++
			}
			return seen == at
		})
	}
	for _, text := range []string{"needles found:", "passed:"} {
		c.CheckpointEvery = 3600
		traintest.Killed(t, &stageType, c, dir, func(e steps.Event) bool {
			return e.Kind == steps.EventLog && strings.Contains(e.Message, text)
		})
		c.CheckpointEvery = 0
	}
	if _, err := traintest.Attempt(t, context.Background(), &stageType, c, dir, nil); err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, dir), want)
}

func TestScaling(t *testing.T) {
	for kind, says := range map[string][]string{
		"llama3": {`"rope_type": "llama3"`, `"original_max_position_embeddings": 32`, `"high_freq_factor": 4`, `"factor": 4`},
		"yarn":   {`"rope_type": "yarn"`, `"original_max_position_embeddings": 32`, `"beta_fast": 32`},
		"linear": {`"rope_type": "linear"`, `"factor": 4`, `"rope_theta": 10000`},
	} {
		c := recipe(t)
		c.RopeTheta, c.Gate.ShortLossRatio = nil, 10
		c.Scaling = &Scaling{Type: kind, Factor: 4, LowFreqFactor: 1, HighFreqFactor: 4, BetaFast: 32, BetaSlow: 1}
		files, l, dir := traintest.Whole(t, &stageType, c)
		for _, want := range says {
			if !strings.Contains(files["model/config.json"], want) {
				t.Errorf("%s: no %s in %s", kind, want, files["model/config.json"])
			}
		}
		m, err := llm.ReadConfig(filepath.Join(dir, "out", "model"))
		if err != nil || m.MaxPositionEmbeddings != 128 {
			t.Errorf("%v, a context of %d", err, m.MaxPositionEmbeddings)
		}
		if n := l.Values()["tokens"].(float64); n != 600 {
			t.Errorf("%s: %g tokens to the first check", kind, n)
		}
	}
}

func TestWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name, path, says string
		change           func(*stageConfig)
	}{
		{"not longer", "context", "made for 32 tokens already", func(c *stageConfig) { c.Context = 32 }},
		{"no needle fits", "gate.grid", "too short for a needle", func(c *stageConfig) { c.Context = 40 }},
		{"nothing held out", "data", "no held-out documents", func(c *stageConfig) {
			c.HeldOut = traintest.Tokens(t, traintest.Tokenizer(t), traintest.Part{Name: "a", Weight: 1, Train: traintest.Texts(3, 1)})
		}},
		{"data used up", "max_tokens", "Raise max_epochs", func(c *stageConfig) {
			c.Data = traintest.Tokens(t, traintest.Tokenizer(t), traintest.Part{Name: "a", Weight: 1, MaxEpochs: 1, Train: traintest.Texts(3, 1)})
		}},
	} {
		config := recipe(t)
		c.change(config)
		_, err := traintest.Attempt(t, context.Background(), &stageType, config, t.TempDir(), nil)
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
