package pretrain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train/traintest"
)

// recipe is a block with every default filled in, on two parts of the little language.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	return &Config{
		Model: traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
		Data: traintest.Tokens(t, tokenizer,
			traintest.Part{Name: "a", Weight: 0.7, Train: traintest.Texts(12, 1), Holdout: traintest.Texts(5, 2)},
			traintest.Part{Name: "b", Weight: 0.3, Train: traintest.Texts(9, 3), Holdout: traintest.Texts(4, 4)}),
		Context: 32, Tokens: 3000,
		Optimizer: pretraining.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.95}, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1},
		Schedule:  pretraining.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1, Decay: 0.2, DecayShape: "linear"},
		Batch:     pretraining.Batch{Tokens: 100, Ramp: []pretraining.Ramp{{At: 0.3, Tokens: 200}}, MicroTokens: ptr(80)},
		Eval:      pretraining.Eval{Every: ptr(int64(800)), Tokens: 400},
		Sample:    &sampling.Config{Prompts: []string{"The old", ""}, Tokens: 8, Temperature: 0.8, TopP: 0.95},

		Training: pretraining.Training{ZLoss: 1e-4, CheckpointEvery: 3600},
	}
}

func ptr[T any](v T) *T { return &v }

// A listener is the engine's end of the events; on may act on any of them.
type listener struct {
	on     func(steps.Event)
	events []steps.Event
}

func (l *listener) Write(line []byte) (int, error) {
	var e steps.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, err
	}
	l.events = append(l.events, e)
	if l.on != nil {
		l.on(e)
	}
	return len(line), nil
}

// texts joins the messages of one kind of event.
func (l *listener) texts(kind steps.EventKind) string {
	var all []string
	for _, e := range l.events {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, "\n")
}

// attempt runs the step once as a worker would.
func attempt(t testing.TB, ctx context.Context, c *Config, dir string, threads int, on func(steps.Event)) (*listener, error) {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{on: on}
	spec := &steps.Spec{Address: "pretrain.test", Type: "pretrain", Config: config, Seed: 7, WorkDir: dir, Device: "cpu", Threads: threads}
	rt, err := steps.NewRuntime(spec, l)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	return l, rt.Do(ctx, &Type)
}

// outputs reads every file of the step's artifacts.
func outputs(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := filepath.Join(dir, "out")
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// whole runs the recipe without a break.
func whole(t testing.TB, c *Config, threads int) (map[string]string, *listener) {
	t.Helper()
	dir := t.TempDir()
	l, err := attempt(t, context.Background(), c, dir, threads, nil)
	if err != nil {
		t.Fatal(err)
	}
	return outputs(t, dir), l
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
		t.Fatalf("files %v, want %v", a, b)
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestRun(t *testing.T) {
	c := recipe(t)
	files, l := whole(t, c, 2)
	values := l.events[len(l.events)-1].Values
	number := func(name string) float64 {
		v, ok := values[name].(float64)
		if !ok {
			t.Fatalf("the value %s is %v", name, values[name])
		}
		return v
	}
	guess := math.Log(320)
	if loss := number("loss"); loss > 0.7*guess || loss <= 0 {
		t.Errorf("held-out loss %.3f; guessing costs %.3f", loss, guess)
	}
	if bits := number("bits_per_byte"); bits > 3 || bits <= 0 {
		t.Errorf("%.3f bits per byte", bits)
	}
	if loss := number("train_loss"); loss > 0.7*guess || loss <= 0 {
		t.Errorf("training loss %.3f", loss)
	}
	if number("tokens") != 3000 || number("parameters") != float64(traintest.Config(320).Parameters()) {
		t.Errorf("%v", values)
	}
	want := []string{
		"model/config.json", "model/generation_config.json", "model/model.safetensors", "model/tokenizer.json",
		"model/tokenizer_config.json", "report/batch.svg", "report/grad_norm.svg", "report/loss.svg", "report/lr.svg", "report/metrics.jsonl", "report/samples.jsonl", "report/summary.md",
	}
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, want) {
		t.Errorf("files %v", names)
	}
	if m := files["report/metrics.jsonl"]; strings.Contains(m, "per_second") || !strings.Contains(m, `"eval_bits_per_byte/b"`) {
		t.Error(m)
	}
	// 800, 1600, 2400 and the end, two prompts each
	if n := strings.Count(files["report/samples.jsonl"], "\n"); n != 8 {
		t.Errorf("%d samples:\n%s", n, files["report/samples.jsonl"])
	}
	progress := 0.0
	for _, e := range l.events {
		if e.Kind == steps.EventProgress {
			progress = e.Done
			if e.Unit != "tokens" || e.Total != 3000 || e.FLOPs <= 0 || e.Metrics["loss"] <= 0 {
				t.Errorf("%+v", e)
			}
		}
	}
	if progress != 3000 {
		t.Errorf("the last progress is at %g tokens", progress)
	}
	dir := t.TempDir()
	for name, data := range files {
		if base, ok := strings.CutPrefix(name, "model/"); ok {
			if err := os.WriteFile(filepath.Join(dir, base), []byte(data), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := llm.Load(ref.Open(), dir)
	if err != nil || m.Config.MaxPositionEmbeddings != c.Context {
		t.Errorf("loading the model: %v", err)
	}
	if _, err := bpe.Load(dir); err != nil {
		t.Error(err)
	}
}

// errKilled is what a killed attempt panics with: nothing after the event runs, but for the closing of files.
var errKilled = errors.New("killed")

func killed(t *testing.T, c *Config, dir string, at func(steps.Event) bool) {
	t.Helper()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, errKilled) {
			t.Fatalf("the attempt was not killed: %v", err)
		}
	}()
	_, err := attempt(t, context.Background(), c, dir, 1, func(e steps.Event) {
		if at(e) {
			panic(errKilled)
		}
	})
	t.Fatalf("the attempt ended: %v", err)
}

func stopped(t *testing.T, c *Config, dir string, at func(steps.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := attempt(t, ctx, c, dir, 2, func(e steps.Event) {
		if at(e) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the attempt ended with %v", err)
	}
}

func TestPitfall01ResumedRunIsTheSame(t *testing.T) {
	c := recipe(t)
	c.Spike = &pretraining.Spike{Sigma: 1.5, Window: 8} // a range that ordinary steps leave
	c.MuP = &pretraining.MuP{BaseDim: 16}
	c.Optimizer.Groups = []pretraining.Group{{Match: []string{"*.embed_tokens.*"}, LRScale: 0.5, WeightDecay: ptr(0.1)}}
	want, l := whole(t, c, 1)
	if warnings := l.texts(steps.EventWarn); !strings.Contains(warnings, "spikes") || !strings.Contains(warnings, "mup { base_dim = 16 }") {
		t.Fatalf("the test needs steps that are not taken: %s", warnings)
	}
	if !strings.Contains(want["report/metrics.jsonl"], `"skipped":1`) || !strings.Contains(want["report/summary.md"], "steps not taken") ||
		!strings.Contains(l.texts(steps.EventLog), "is not taken: the ") {
		t.Errorf("steps that are not taken are not reported:\n%s", want["report/summary.md"])
	}
	step := func(k int64) func(steps.Event) bool {
		return func(e steps.Event) bool { return e.Kind == steps.EventMetric && e.Step == k }
	}
	drawing := func(e steps.Event) bool { return e.Kind == steps.EventLog && strings.HasPrefix(e.Message, "sample") }
	checkpointed := func(e steps.Event) bool { return e.Kind == steps.EventCheckpoint && e.Step > 4 }
	often := *c
	often.CheckpointEvery = 0
	for _, tc := range []struct {
		name string
		ends []func(dir string)
	}{
		{"stopped in the first step", []func(string){func(dir string) { stopped(t, c, dir, step(1)) }}},
		{"stopped after the ramp", []func(string){func(dir string) { stopped(t, c, dir, step(12)) }}},
		{"killed without a checkpoint", []func(string){func(dir string) { killed(t, c, dir, step(5)) }}},
		{"killed after a checkpoint", []func(string){func(dir string) { killed(t, &often, dir, checkpointed) }}},
		{"killed while drawing samples", []func(string){func(dir string) { killed(t, &often, dir, drawing) }}},
		{"stopped while drawing samples", []func(string){func(dir string) { stopped(t, c, dir, drawing) }}},
		{"again and again", []func(string){
			func(dir string) { stopped(t, c, dir, step(3)) },
			func(dir string) { killed(t, c, dir, step(6)) },
			func(dir string) { killed(t, &often, dir, step(9)) },
			func(dir string) { stopped(t, c, dir, step(14)) },
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, end := range tc.ends {
				end(dir)
			}
			if _, err := attempt(t, context.Background(), c, dir, 2, nil); err != nil {
				t.Fatal(err)
			}
			same(t, outputs(t, dir), want)
		})
	}
}

func TestPitfall03OtherDataIsNotResumedOn(t *testing.T) {
	c := recipe(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	_, err := attempt(t, ctx, c, dir, 1, func(e steps.Event) {
		if e.Step == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	// The engine gives other data another key and so another folder; should it not, the step itself must notice.
	c.Data = traintest.Tokens(t, traintest.Tokenizer(t), traintest.Part{Name: "a", Weight: 1, Train: traintest.Texts(4, 1)})
	if _, err := attempt(t, context.Background(), c, dir, 1, nil); err == nil || !strings.Contains(err.Error(), "other data") {
		t.Errorf("resumed on other data: %v", err)
	}
}

func TestMicroBatchesDecideRoundingAlone(t *testing.T) {
	c := recipe(t)
	c.Sample = nil
	_, a := whole(t, c, 2)
	c.Batch.MicroTokens = nil
	_, b := whole(t, c, 2)
	for i, e := range a.events {
		if e.Kind != steps.EventMetric || e.Step > 5 {
			continue
		}
		other := b.events[i]
		if math.Abs(e.Metrics["loss"]-other.Metrics["loss"]) > 1e-4 || e.Metrics["tokens"] != other.Metrics["tokens"] {
			t.Errorf("step %d: %v in micro-batches, %v whole", e.Step, e.Metrics, other.Metrics)
		}
	}
}

func TestNoHoldout(t *testing.T) {
	c := recipe(t)
	c.Data = traintest.Tokens(t, traintest.Tokenizer(t), traintest.Part{Name: "a", Weight: 1, Train: traintest.Texts(9, 1)})
	_, l := whole(t, c, 2)
	values := l.events[len(l.events)-1].Values
	if !strings.Contains(l.texts(steps.EventWarn), "no held-out documents") || values["loss"] != values["train_loss"] {
		t.Errorf("%v, warnings: %s", values, l.texts(steps.EventWarn))
	}
	if bits, ok := values["bits_per_byte"].(float64); !ok || bits <= 0 || bits > 8 {
		t.Errorf("%v bits per byte", values["bits_per_byte"])
	}
}

func TestRunErrors(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		path   string
		parts  []string // of the message
	}{
		{"a model of fewer tokens", func(c *Config) { c.Model = traintest.Model(t, nil, traintest.Config(300)) },
			"data", []string{"319", "300", "tokenizer"}},
		{"a reward model", func(c *Config) {
			judge := traintest.Config(320)
			judge.Score = true
			c.Model = traintest.Model(t, nil, judge)
		}, "model", []string{"reward model"}},
		{"too few tokens", func(c *Config) {
			c.Data = traintest.Tokens(t, tokenizer, traintest.Part{Name: "a", Weight: 1, MaxEpochs: 2, Train: traintest.Texts(2, 1)})
		}, "tokens", []string{"3000 tokens", "× 2 epochs", "max_epochs"}},
		{"a group of nothing", func(c *Config) {
			c.Optimizer.Groups = []pretraining.Group{{Match: []string{"*.moe.*"}, LRScale: 1}}
		}, "optimizer.group[0].match", []string{"no weight", "*.moe.*"}},
		{"a learning rate beyond reason", func(c *Config) { c.Optimizer.LR, c.Schedule.Warmup = 1e30, 0 },
			"optimizer.lr", []string{"diverged at step", "last good loss", "checkpoint is kept"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := recipe(t)
			tc.change(c)
			l, err := attempt(t, context.Background(), c, t.TempDir(), 2, nil)
			last := l.events[len(l.events)-1]
			if err == nil || last.Kind != steps.EventFailed || last.Path != tc.path {
				t.Fatalf("%v: %+v", err, last)
			}
			for _, part := range tc.parts {
				if !strings.Contains(last.Message, part) {
					t.Errorf("%q is not in the message: %s", part, last.Message)
				}
			}
		})
	}
}

func TestAnotherTokenizerThanTheModels(t *testing.T) {
	c := recipe(t)
	other, _, err := bpe.Train(context.Background(), func(yield func(string, error) bool) {
		yield(strings.Repeat("abcdefgh ", 50), nil)
	}, bpe.TrainOptions{VocabSize: 268, Special: "llama3"})
	if err != nil {
		t.Fatal(err)
	}
	c.Model = traintest.Model(t, other, traintest.Config(320))
	if _, err := attempt(t, context.Background(), c, t.TempDir(), 1, nil); err == nil || !strings.Contains(err.Error(), "another tokenizer") {
		t.Errorf("the attempt ended with %v", err)
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
		{"warm-up in steps", func(c *Config) { c.Schedule.Warmup = 3 }, ""},
		{"wsd", func(c *Config) { c.Schedule.Shape, c.Schedule.DecayShape = "wsd", "1-sqrt" }, ""},
		{"betas", func(c *Config) { c.Optimizer.Betas = []float64{0.9, 1} }, "optimizer.betas"},
		{"a group's pattern", func(c *Config) {
			c.Optimizer.Groups = []pretraining.Group{{Match: []string{"*", "["}, LRScale: 1}}
		}, "optimizer.group[0].match[1]"},
		{"batch", func(c *Config) { c.Batch.Tokens = 31 }, "batch.tokens"},
		{"micro-batch", func(c *Config) { c.Batch.MicroTokens = ptr(31) }, "batch.micro_tokens"},
		{"ramp out of order", func(c *Config) { c.Batch.Ramp = append(c.Batch.Ramp, pretraining.Ramp{At: 0.1, Tokens: 400}) }, "batch.ramp[1].at"},
		{"ramp below the context", func(c *Config) { c.Batch.Ramp = []pretraining.Ramp{{At: 0.1, Tokens: 20}} }, "batch.ramp[0].tokens"},
		{"warm-up of half a step", func(c *Config) { c.Schedule.Warmup = 2.5 }, "schedule.warmup"},
		{"warm-up beyond the run", func(c *Config) { c.Schedule.Warmup = 1000 }, "schedule.warmup"},
		{"warm-up and decay in all", func(c *Config) { c.Schedule.Shape, c.Schedule.Warmup, c.Schedule.Decay = "wsd", 0.6, 0.5 }, "schedule"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := *base
			tc.change(&c)
			config, err := json.Marshal(&c)
			if err != nil {
				t.Fatal(err)
			}
			err = Type.Check(&steps.Spec{Config: config})
			var blame *steps.AttributeError
			if errors.As(err, &blame); tc.path == "" && err != nil || tc.path != "" && (blame == nil || blame.Path != tc.path) {
				t.Errorf("got %v, want the blame on %q", err, tc.path)
			}
		})
	}
}

func TestEstimate(t *testing.T) {
	c := recipe(t)
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	model := traintest.Config(320)
	up := steps.Estimate{Facts: map[string]float64{
		"n_layer": 2, "dim": 32, "ffn": 64, "n_head": 4, "n_kv_head": 2, "head_dim": 8, "vocab_size": 320, "max_context": 128, "tied": 0,
	}}
	in := &steps.EstimateInput{Spec: &steps.Spec{Config: config}, Upstream: map[string]steps.Estimate{"model": up}}
	e, err := Type.Estimate(in)
	if err != nil {
		t.Fatal(err)
	}
	if e.Parameters != model.Parameters() || e.Tokens != 3000 || e.FLOPs != 3000*model.FLOPsPerToken(32) || e.Memory < 16*e.Parameters {
		t.Errorf("%+v", e)
	}
	for name, hole := range map[string]*steps.EstimateInput{
		"no model yet":  {Spec: in.Spec},
		"no tokens yet": {Spec: &steps.Spec{Config: bytes.ReplaceAll(config, []byte(`"tokens":3000`), []byte(`"unknown":0`))}, Upstream: in.Upstream},
	} {
		if _, err := Type.Estimate(hole); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
