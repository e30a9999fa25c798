package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/llm"
)

// errKilled stands for an end that saves nothing.
var errKilled = errors.New("killed")

// interrupted is Packed that ends the run at given calls of Next.
type interrupted struct {
	Packed
	calls  int
	cancel map[int]context.CancelFunc // asks the loop to stop, which saves a checkpoint
	kill   map[int]bool
}

func (s *interrupted) Next(tokens int64) ([]*Batch, error) {
	s.calls++
	if s.kill[s.calls] {
		return nil, errKilled
	}
	if cancel := s.cancel[s.calls]; cancel != nil {
		cancel()
	}
	return s.Packed.Next(tokens)
}

// memory is an Observer with a state of its own.
type memory struct{ Seen []int64 }

func (o *memory) Observe(ctx context.Context, step, tokens int64) (map[string]float64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o.Seen = append(o.Seen, tokens)
	return map[string]float64{"observations": float64(len(o.Seen))}, nil
}

func (o *memory) State() ([]byte, error) { return json.Marshal(o) }

func (o *memory) Restore(state []byte) error { return json.Unmarshal(state, o) }

const runTokens = 600

func newLoop(m *llm.Model, source Source, observer Observer) *Loop {
	return &Loop{
		Device: m.Device(), Model: m, Source: source, Objective: CrossEntropy{ZLoss: 1e-4},
		AdamW:           AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Schedule:        Schedule{Peak: 2e-2, Warmup: 60, Total: runTokens, Shape: Cosine, Final: 0.1},
		Batches:         Batches{Tokens: 30, Total: runTokens, Ramp: []Ramp{{0.5, 60}}},
		Micro:           20,
		CheckpointEvery: time.Hour,
		Observer:        observer, ObserveEvery: 150,
	}
}

// An outcome is all that a run leaves behind, but for times.
type outcome struct {
	weights []float32 // what the operators read
	trained []float32 // and what they were rounded from
	average []float32
	metrics []string
	seen    []int64
	dealt   []string
	summary Summary
}

// attempt runs the loop once in dir, as a new process would, and ends it as the source says.
func attempt(t *testing.T, dev gpu.Device, p gpu.Precision, dir string, every time.Duration, cancelAt, killAt int) (outcome, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	docs := counting()
	source := &interrupted{
		Packed: Packed{Loader: docs, Context: 12, Micro: 20},
		cancel: map[int]context.CancelFunc{cancelAt: cancel}, kill: map[int]bool{killAt: true},
	}
	observer := &memory{}
	m := newModel(t, dev)
	if err := m.SetPrecision(p); err != nil {
		t.Fatal(err)
	}
	loop := newLoop(m, source, observer)
	loop.CheckpointEvery = every
	loop.Spikes = Spikes{Sigma: 1, Window: 6} // a range that ordinary steps leave
	loop.Average = Average{Kind: EMA, Decay: 0.7, Every: 45, Last: 9}
	rt := newRuntime(t, dir)
	summary, err := loop.Run(ctx, rt)
	out := outcome{average: loop.averager.values, summary: summary, seen: observer.Seen, dealt: docs.dealt, metrics: readMetrics(t, rt.MetricsFile())}
	for _, p := range m.Params() {
		w := make([]float32, p.Weight.Len())
		m.Device().Read(w, p.Weight)
		out.weights = append(out.weights, w...)
		p.Read(m.Device(), w, 0)
		out.trained = append(out.trained, w...)
	}
	return out, err
}

// readMetrics returns the lines of metrics.jsonl without the speed.
func readMetrics(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var figures map[string]float64
		if err := json.Unmarshal(scan.Bytes(), &figures); err != nil {
			t.Fatalf("%s: %v", scan.Text(), err)
		}
		delete(figures, "tokens_per_second")
		line, _ := json.Marshal(figures)
		lines = append(lines, string(line))
	}
	return lines
}

func TestPitfall01ResumedRunIsTheSame(t *testing.T) {
	t.Run("ref", func(t *testing.T) { resumedRunIsTheSame(t, openRef(), gpu.Float32) })
	t.Run("bfloat16 tensors", func(t *testing.T) {
		resumedRunIsTheSame(t, bfloat16Device{openRef()}, gpu.BFloat16)
	})
	dev, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, p := range dev.Precisions() {
		t.Run("cpu,"+string(p), func(t *testing.T) { resumedRunIsTheSame(t, dev, p) })
	}
}

func resumedRunIsTheSame(t *testing.T, dev gpu.Device, p gpu.Precision) {
	t.Helper()
	whole, err := attempt(t, dev, p, t.TempDir(), time.Hour, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(whole.seen); n < 4 || whole.seen[n-1] != runTokens {
		t.Errorf("observed at %v", whole.seen)
	}
	if whole.summary.Skipped == 0 || whole.summary.Empty != 0 || slices.Equal(whole.average, whole.weights) {
		t.Errorf("the test needs steps that are not taken, and an average: %+v", whole.summary)
	}
	type end struct {
		every            time.Duration
		cancelAt, killAt int
	}
	for _, c := range []struct {
		name string
		ends []end
	}{
		{"stopped at step 1", []end{{time.Hour, 1, 0}}},
		{"stopped while observing", []end{{time.Hour, 5, 0}}},
		{"stopped at step 9", []end{{time.Hour, 9, 0}}},
		{"stopped at the last step", []end{{time.Hour, 15, 0}}},
		{"killed before any checkpoint", []end{{time.Hour, 0, 4}}},
		{"killed right after a checkpoint", []end{{0, 0, 7}}},
		{"killed long after a checkpoint", []end{{time.Hour, 3, 0}, {time.Hour, 0, 6}}},
		{"again and again", []end{{time.Hour, 2, 0}, {0, 0, 3}, {time.Hour, 0, 5}, {time.Hour, 4, 0}, {0, 0, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for _, e := range c.ends {
				if _, err := attempt(t, dev, p, dir, e.every, e.cancelAt, e.killAt); !errors.Is(err, context.Canceled) && !errors.Is(err, errKilled) {
					t.Fatalf("the run ended with %v", err)
				}
			}
			got, err := attempt(t, dev, p, dir, time.Hour, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.metrics, whole.metrics) {
				t.Errorf("metrics:\n%s\nof an uninterrupted run:\n%s", strings.Join(got.metrics, "\n"), strings.Join(whole.metrics, "\n"))
			}
			if !slices.Equal(got.weights, whole.weights) || !slices.Equal(got.trained, whole.trained) {
				t.Error("the weights at the end differ from an uninterrupted run's")
			}
			if !slices.Equal(got.average, whole.average) {
				t.Error("the average of the weights differs from an uninterrupted run's")
			}
			if !slices.Equal(got.seen, whole.seen) || got.summary != whole.summary {
				t.Errorf("observed at %v, %+v; an uninterrupted run at %v, %+v", got.seen, got.summary, whole.seen, whole.summary)
			}
		})
	}
}

func TestPitfall02OrderIsRestoredOverEpochs(t *testing.T) {
	whole, err := attempt(t, openRef(), gpu.Float32, t.TempDir(), time.Hour, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	epochs := map[string][]string{}
	for _, d := range whole.dealt {
		epoch, index, _ := strings.Cut(d, "/")
		epochs[epoch] = append(epochs[epoch], index)
	}
	if len(epochs) < 4 || slices.Equal(epochs["0"], epochs["1"]) {
		t.Fatalf("the test needs three whole epochs that differ: %v", epochs)
	}
	dir := t.TempDir()
	var dealt []string
	for _, stop := range []int{2, 4, 3, 5, 0} { // each counted from the last
		part, err := attempt(t, openRef(), gpu.Float32, dir, time.Hour, stop, 0)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		dealt = append(dealt, part.dealt...)
	}
	if !slices.Equal(dealt, whole.dealt) {
		t.Errorf("dealt out:\n%v\nuninterrupted:\n%v", dealt, whole.dealt)
	}
}

func TestLoopStepsTheScheduleOncePerStep(t *testing.T) {
	whole, err := attempt(t, openRef(), gpu.Float32, t.TempDir(), time.Hour, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	loop := newLoop(newModel(t, ref.Open()), nil, nil)
	consumed, step := int64(0), 0.0
	for _, line := range whole.metrics {
		var figures map[string]float64
		if err := json.Unmarshal([]byte(line), &figures); err != nil {
			t.Fatal(err)
		}
		if _, ok := figures["observations"]; ok {
			continue
		}
		size := loop.Batches.Size(consumed)
		if want := loop.Schedule.At(consumed, consumed+size); figures["lr"] != want {
			t.Errorf("step %g: learning rate %g, want %g", figures["step"], figures["lr"], want)
		}
		consumed += size
		step++
		if figures["tokens"] != float64(consumed) || figures["step"] != step {
			t.Errorf("step %g is recorded at %g tokens, want step %g at %d", figures["step"], figures["tokens"], step, consumed)
		}
	}
	if consumed != runTokens || whole.summary.Steps != int64(step) || whole.summary.Tokens != runTokens {
		t.Errorf("%d tokens in %g steps, %+v", consumed, step, whole.summary)
	}
}

func TestLoopLearns(t *testing.T) {
	whole, err := attempt(t, openRef(), gpu.Float32, t.TempDir(), time.Hour, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if first := math.Log(32); whole.summary.Loss > 0.8*first {
		t.Errorf("the loss fell to %.3f only; guessing costs %.3f", whole.summary.Loss, first)
	}
}

// broken is a model whose loss or gradient goes bad at a given step.
type broken struct {
	*llm.Model
	forwards, at int
	grad         bool
}

func (b *broken) LogProbs(logp, lse []float64, s *gpu.Stream, temperature float64) error {
	b.forwards++
	err := b.Model.LogProbs(logp, lse, s, temperature)
	if b.forwards == b.at && !b.grad {
		logp[0] = math.NaN()
	}
	return err
}

func (b *broken) Backward(s *gpu.Stream, temperature float64, dLogp, dLSE []float64) error {
	err := b.Model.Backward(s, temperature, dLogp, dLSE)
	if b.forwards == b.at && b.grad {
		g := b.Params()[0].Grad
		values := make([]float32, g.Len())
		values[0] = float32(math.Inf(1))
		b.Device().Write(g, values)
	}
	return err
}

func TestLoopStopsWhenItDiverges(t *testing.T) {
	for _, grad := range []bool{false, true} {
		m := newModel(t, openRef())
		loop := newLoop(m, &Packed{Loader: counting(), Context: 20, Micro: 30}, nil)
		loop.Micro, loop.CheckpointEvery = 30, 0
		model := &broken{Model: m, at: 9, grad: grad}
		loop.Model = model
		dir := t.TempDir()
		_, err := loop.Run(context.Background(), newRuntime(t, dir))
		var diverged *DivergedError
		if !errors.As(err, &diverged) {
			t.Fatalf("the run ended with %v", err)
		}
		message := err.Error()
		if diverged.LastLoss == 0 || !strings.Contains(message, "last good loss") || !strings.Contains(message, "at step") {
			t.Errorf("%+v: %s", diverged, message)
		}
		for _, p := range m.Params() {
			for _, w := range ref.Float64(p.Weight) {
				if math.IsNaN(w) || math.IsInf(w, 0) {
					t.Fatalf("%s has the weight %g", p.Name, w)
				}
			}
		}
		kept := int64(0)
		if _, err := newRuntime(t, dir).Restore(func(dir string) error {
			data, err := os.ReadFile(dir + "/" + stateName)
			var s state
			_ = json.Unmarshal(data, &s)
			kept = s.Step
			return err
		}); err != nil || kept != diverged.Step-1 {
			t.Errorf("the last checkpoint is of step %d, training diverged at %d: %v", kept, diverged.Step, err)
		}
	}
}

func TestLoopWithNothingToLearn(t *testing.T) {
	m := newModel(t, openRef())
	lonely := &documents{docs: [][]int32{{1}, {2}, {3}}} // a document of one token has nothing to predict
	loop := newLoop(m, &Packed{Loader: lonely, Context: 12, Micro: 20}, nil)
	if _, err := loop.Run(context.Background(), newRuntime(t, t.TempDir())); !errors.Is(err, ErrNothingToLearn) {
		t.Errorf("the run ended with %v", err)
	}
}

// gap is a Source with one step in which nothing is supervised.
type gap struct {
	Packed
	steps, at int
}

func (g *gap) Next(tokens int64) ([]*Batch, error) {
	batches, err := g.Packed.Next(tokens)
	if g.steps++; g.steps == g.at {
		for _, b := range batches {
			for i := range b.Stream.Targets {
				b.Stream.Targets[i] = gpu.NoTarget
			}
		}
	}
	return batches, err
}

func TestPitfall10AStepWithNothingToLearnHasNoLoss(t *testing.T) {
	m := newModel(t, openRef())
	loop := newLoop(m, &gap{Packed: Packed{Loader: counting(), Context: 12, Micro: 20}, at: 4}, nil)
	rt := newRuntime(t, t.TempDir())
	summary, err := loop.Run(context.Background(), rt)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Empty != 1 {
		t.Errorf("%d steps are said to be empty", summary.Empty)
	}
	for i, line := range readMetrics(t, rt.MetricsFile()) {
		if has := strings.Contains(line, `"loss"`); has == (i == 3) {
			t.Errorf("step %d: %s", i+1, line)
		}
	}
}

// nanWhenObserved stands for weights that the last update spoiled.
type nanWhenObserved struct{}

func (nanWhenObserved) Observe(context.Context, int64, int64) (map[string]float64, error) {
	return nil, &DivergedError{Loss: math.NaN()}
}

func (nanWhenObserved) State() ([]byte, error) { return nil, nil }

func (nanWhenObserved) Restore([]byte) error { return nil }

func TestLoopStopsWhenTheHeldOutLossIsNotFinite(t *testing.T) {
	m := newModel(t, openRef())
	loop := newLoop(m, &Packed{Loader: counting(), Context: 12, Micro: 20}, nanWhenObserved{})
	_, err := loop.Run(context.Background(), newRuntime(t, t.TempDir()))
	if diverged := (*DivergedError)(nil); !errors.As(err, &diverged) || diverged.Step != 5 || diverged.LastLoss == 0 {
		t.Errorf("the run ended with %v", err)
	}
}

func TestCheckpointOfAnotherModel(t *testing.T) {
	dir := t.TempDir()
	if _, err := attempt(t, openRef(), gpu.Float32, dir, time.Hour, 3, 0); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	config := tiny
	config.NumHiddenLayers = 1
	m, err := llm.New(openRef(), config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newLoop(m, &Packed{Loader: counting(), Context: 12, Micro: 20}, nil).Run(context.Background(), newRuntime(t, dir)); err == nil {
		t.Error("no error")
	}
}
