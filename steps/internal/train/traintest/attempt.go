package traintest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"athanor/steps"
)

// A Listener is the engine's end of the events; On may act on any of them.
type Listener struct {
	On     func(steps.Event)
	Events []steps.Event
}

func (l *Listener) Write(line []byte) (int, error) {
	var e steps.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return 0, err
	}
	l.Events = append(l.Events, e)
	if l.On != nil {
		l.On(e)
	}
	return len(line), nil
}

// Texts joins the messages of one kind of event.
func (l *Listener) Texts(kind steps.EventKind) string {
	var all []string
	for _, e := range l.Events {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, "\n")
}

// Values are the value outputs, if the step has ended well.
func (l *Listener) Values() map[string]any { return l.Events[len(l.Events)-1].Values }

// Number is one of them that is a number.
func (l *Listener) Number(t testing.TB, name string) float64 {
	t.Helper()
	v, ok := l.Values()[name].(float64)
	if !ok {
		t.Fatalf("no value %s in %v", name, l.Values())
	}
	return v
}

// Attempt runs a step once as a worker would, on the CPU with 2 threads. config is its Config.
func Attempt(t testing.TB, ctx context.Context, typ *steps.Type, config any, dir string, on func(steps.Event)) (*Listener, error) {
	t.Helper()
	data, err := json.Marshal(config)
	check(t, err)
	spec := &steps.Spec{Address: typ.Name + ".test", Type: typ.Name, Config: data, Seed: 7, WorkDir: dir, Device: "cpu", Threads: 2}
	if typ.Check != nil {
		if err := typ.Check(spec); err != nil {
			return nil, err
		}
	}
	l := &Listener{On: on}
	rt, err := steps.NewRuntime(spec, l)
	check(t, err)
	defer func() { check(t, rt.Close()) }()
	return l, rt.Do(ctx, typ)
}

// Outputs reads every file of a step's artifacts, by its name below the work folder's out.
func Outputs(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := filepath.Join(dir, "out")
	check(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	}))
	return files
}

// Whole runs a step without a break.
func Whole(t testing.TB, typ *steps.Type, config any) (map[string]string, *Listener, string) {
	t.Helper()
	dir := t.TempDir()
	l, err := Attempt(t, context.Background(), typ, config, dir, nil)
	check(t, err)
	return Outputs(t, dir), l, dir
}

// Interrupted runs a step that stops after each of some metric events, and returns its outputs.
func Interrupted(t testing.TB, typ *steps.Type, config any, after ...int) (map[string]string, *Listener) {
	t.Helper()
	dir := t.TempDir()
	for _, n := range after {
		ctx, stop := context.WithCancel(context.Background())
		seen := 0
		_, err := Attempt(t, ctx, typ, config, dir, func(e steps.Event) {
			if e.Kind == steps.EventMetric {
				if seen++; seen == n {
					stop()
				}
			}
		})
		stop()
		if err == nil {
			t.Fatalf("the step ended before its metric %d", n)
		}
	}
	l, err := Attempt(t, context.Background(), typ, config, dir, nil)
	check(t, err)
	return Outputs(t, dir), l
}

// Countdown returns a context that ends when it has been looked at so many times: a step that runs under it stops at a
// place that is the same every time, in the midst of whatever it does.
func Countdown(looks int) context.Context {
	ctx, stop := context.WithCancel(context.Background())
	return &countdown{Context: ctx, stop: stop, left: looks}
}

type countdown struct {
	context.Context
	stop context.CancelFunc

	mu   sync.Mutex
	left int
}

func (c *countdown) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		c.stop()
	}
	return c.Context.Err()
}
