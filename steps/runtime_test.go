package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// attempt opens a Runtime on dir as a new process would.
func attempt(t *testing.T, dir string) (*Runtime, *bytes.Buffer) {
	t.Helper()
	events := &bytes.Buffer{}
	rt, err := NewRuntime(&Spec{WorkDir: dir, Config: json.RawMessage(`{}`)}, events)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	return rt, events
}

func save(text string) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, "state"), []byte(text), 0o666) }
}

func restore(t *testing.T, rt *Runtime) string {
	t.Helper()
	var got string
	_, err := rt.Restore(func(dir string) error {
		data, err := os.ReadFile(filepath.Join(dir, "state"))
		got = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRestoreFindsTheNewestWholeCheckpoint(t *testing.T) {
	dir := t.TempDir()
	rt, _ := attempt(t, dir)
	if got := restore(t, rt); got != "" {
		t.Errorf("restored %q from nothing", got)
	}
	for i := range 4 {
		if err := rt.Checkpoint(save(fmt.Sprint("state ", i))); err != nil {
			t.Fatal(err)
		}
	}
	if kept, _ := os.ReadDir(filepath.Join(dir, "checkpoints")); len(kept) != checkpointsKept {
		t.Errorf("%d checkpoints kept", len(kept))
	}
	rt, _ = attempt(t, dir)
	if got := restore(t, rt); got != "state 3" {
		t.Errorf("restored %q", got)
	}
	// What a kill while saving leaves, and what a bad disk leaves.
	os.MkdirAll(filepath.Join(dir, "checkpoints", "00000005.tmp"), 0o777)
	os.WriteFile(filepath.Join(dir, "checkpoints", "00000004", "state"), []byte("state X"), 0o666)
	rt, events := attempt(t, dir)
	if got := restore(t, rt); got != "state 2" || !strings.Contains(events.String(), "damaged") {
		t.Errorf("restored %q; events %s", got, events)
	}
	os.WriteFile(filepath.Join(dir, "checkpoints", "00000004", manifestName), []byte("{}"), 0o666)
	if got := restore(t, rt); got != "state 2" {
		t.Errorf("restored %q beside a manifest that names nothing", got)
	}
	if err := rt.Checkpoint(save("state 5")); err != nil {
		t.Fatal(err)
	}
	if got := restore(t, rt); got != "state 5" {
		t.Errorf("restored %q", got)
	}
}

// A checkpoint that is whole and cannot be read does not cost the one before it; if none can be read nothing is thrown
// away.
func TestRestoreFallsBackToTheCheckpointBefore(t *testing.T) {
	dir := t.TempDir()
	rt, _ := attempt(t, dir)
	for i := range 2 {
		if err := rt.Metric(int64(i), map[string]float64{"loss": 1}); err != nil {
			t.Fatal(err)
		}
		if err := rt.Checkpoint(save(fmt.Sprint("state ", i))); err != nil {
			t.Fatal(err)
		}
	}
	rt, events := attempt(t, dir)
	var tried []string
	from := func(bad ...string) (bool, error) {
		tried = nil
		return rt.Restore(func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, "state"))
			tried = append(tried, string(data))
			if slices.Contains(bad, string(data)) {
				return errors.New("of another age: " + string(data))
			}
			return err
		})
	}
	if ok, err := from("state 0", "state 1"); ok || err == nil || !strings.Contains(err.Error(), "state 1") {
		t.Errorf("with no checkpoint to read: %v, %v", ok, err)
	}
	if metrics, _ := os.ReadFile(rt.MetricsFile()); bytes.Count(metrics, []byte("\n")) != 2 {
		t.Errorf("figures are thrown away though nothing was restored:\n%s", metrics)
	}
	if ok, err := from("state 1"); !ok || err != nil || !slices.Equal(tried, []string{"state 1", "state 0"}) {
		t.Errorf("tried %v: %v, %v", tried, ok, err)
	}
	if !strings.Contains(events.String(), "checkpoint 2 cannot be read") {
		t.Errorf("no warning among %s", events)
	}
	if metrics, _ := os.ReadFile(rt.MetricsFile()); bytes.Count(metrics, []byte("\n")) != 1 {
		t.Errorf("figures after the older checkpoint:\n%s", metrics)
	}
}

func TestFailedCheckpointLeavesTheLastOne(t *testing.T) {
	rt, _ := attempt(t, t.TempDir())
	full := errors.New("no space left")
	if err := rt.Checkpoint(save("good")); err != nil {
		t.Fatal(err)
	}
	if err := rt.Checkpoint(func(string) error { return full }); !errors.Is(err, full) {
		t.Errorf("Checkpoint = %v", err)
	}
	if got := restore(t, rt); got != "good" {
		t.Errorf("restored %q", got)
	}
}

func TestMetricsRewindToTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	rt, _ := attempt(t, dir)
	record := func(step int64) {
		t.Helper()
		if err := rt.Metric(step, map[string]float64{"loss": 1 / float64(step)}); err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	record(2)
	if err := rt.Checkpoint(save("")); err != nil {
		t.Fatal(err)
	}
	want, _ := os.ReadFile(rt.MetricsFile())
	record(3)
	rt, _ = attempt(t, dir)
	restore(t, rt)
	record(3)
	if got, _ := os.ReadFile(rt.MetricsFile()); !bytes.HasPrefix(got, want) || bytes.Count(got, []byte("\n")) != 3 {
		t.Errorf("metrics after a resume:\n%s", got)
	}

	// An attempt that had no checkpoint leaves figures; the next one takes a checkpoint before it records any.
	dir = t.TempDir()
	rt, _ = attempt(t, dir)
	record(1)
	rt, _ = attempt(t, dir)
	restore(t, rt)
	if err := rt.Checkpoint(save("")); err != nil {
		t.Fatal(err)
	}
	rt, _ = attempt(t, dir)
	restore(t, rt)
	record(1)
	if got, _ := os.ReadFile(rt.MetricsFile()); bytes.Count(got, []byte("\n")) != 1 {
		t.Errorf("metrics of an attempt that began anew:\n%s", got)
	}

	rt, _ = attempt(t, t.TempDir())
	if err := rt.Metric(1, map[string]float64{"loss": math.NaN()}); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(rt.MetricsFile()); string(got) != `{"loss":"NaN","step":1}`+"\n" {
		t.Errorf("a NaN is recorded as %s", got)
	}
}

func TestHowAStepEnds(t *testing.T) {
	outputs := []Output{{Name: "model", Type: "model"}, {Name: "loss", Type: "number"}}
	good := func(_ context.Context, rt *Runtime) error {
		rt.Set("loss", 2.5)
		_, err := rt.Output("model")
		return err
	}
	tests := []struct {
		name string
		run  func(context.Context, *Runtime) error
		stop bool
		kind EventKind
		says string
	}{
		{"done", good, false, EventDone, `"loss":2.5`},
		{"failed", func(context.Context, *Runtime) error { return errors.New("no luck") }, false, EventFailed, "no luck"},
		{"blamed", func(context.Context, *Runtime) error { return fmt.Errorf("x: %w", Blame("optimizer.lr", "too high")) }, false, EventFailed, `"path":"optimizer.lr"`},
		{"gate", func(context.Context, *Runtime) error { return &GateError{"gate", "0.8 of 1.0"} }, false, EventGate, "0.8 of 1.0"},
		{"stopped", func(ctx context.Context, _ *Runtime) error { return ctx.Err() }, true, EventStopped, "canceled"},
		{"output missing", func(_ context.Context, rt *Runtime) error { rt.Set("loss", 1); return nil }, false, EventFailed, `output \"model\"`},
		{"value missing", func(_ context.Context, rt *Runtime) error { _, err := rt.Output("model"); return err }, false, EventFailed, `value \"loss\"`},
		{"value NaN", func(ctx context.Context, rt *Runtime) error {
			err := good(ctx, rt)
			rt.Set("loss", math.NaN())
			return err
		}, false, EventFailed, "NaN"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rt, events := attempt(t, t.TempDir())
			ctx, cancel := context.WithCancel(context.Background())
			if test.stop {
				cancel()
			}
			defer cancel()
			err := rt.Do(ctx, &Type{Name: "train", Outputs: outputs, Run: test.run})
			if (err == nil) != (test.kind == EventDone) {
				t.Errorf("Do = %v", err)
			}
			var last Event
			if err := json.Unmarshal(bytes.TrimSpace(events.Bytes()), &last); err != nil {
				t.Fatal(err)
			}
			if last.Kind != test.kind || !strings.Contains(events.String(), test.says) {
				t.Errorf("the last event is %s", events)
			}
		})
	}
}

func TestAnAttemptStartsClean(t *testing.T) {
	dir := t.TempDir()
	rt, _ := attempt(t, dir)
	out, err := rt.Output("model")
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(out, "half"), nil, 0o666)
	attempt(t, dir)
	if _, err := os.Stat(filepath.Join(out, "half")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an output of the interrupted attempt is still there: %v", err)
	}
}
