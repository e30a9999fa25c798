package traintest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
)

// A Listener is the engine's end of a step's events; On may act on any of them.
type Listener struct {
	On     func(steps.Event)
	Events []steps.Event
}

// Write takes one line of JSON.
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

// Last is how the attempt ended.
func (l *Listener) Last() steps.Event { return l.Events[len(l.Events)-1] }

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

// Attempt runs a step once in the work folder dir, as a worker would.
func Attempt(t testing.TB, ctx context.Context, typ *steps.Type, config any, dir string, threads int, on func(steps.Event)) (*Listener, error) {
	t.Helper()
	data, err := json.Marshal(config)
	check(t, err)
	l := &Listener{On: on}
	spec := &steps.Spec{
		Address: typ.Name + ".test", Type: typ.Name, Config: data, Seed: 7, Dir: dir, WorkDir: dir, Device: "cpu", Threads: threads,
	}
	rt, err := steps.NewRuntime(spec, l)
	check(t, err)
	defer func() { _ = rt.Close() }() // the attempt has ended
	return l, rt.Do(ctx, typ)
}

// Outputs reads every file of the artifacts in a work folder.
func Outputs(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := filepath.Join(dir, "out")
	check(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(root, path)
		files[name] = string(data)
		return err
	}))
	return files
}

// Whole runs a step without a break and returns the files of its artifacts.
func Whole(t testing.TB, typ *steps.Type, config any, threads int) (map[string]string, *Listener) {
	t.Helper()
	dir := t.TempDir()
	l, err := Attempt(t, context.Background(), typ, config, dir, threads, nil)
	check(t, err)
	return Outputs(t, dir), l
}

// Same compares the files of two runs byte for byte.
func Same(t testing.TB, got, want map[string]string) {
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

// errKilled is what a killed attempt panics with: nothing after the event runs, but for the closing of files.
var errKilled = errors.New("killed")

// Killed runs a step and ends it, without any chance to save, at the first event that at picks.
func Killed(t testing.TB, typ *steps.Type, config any, dir string, at func(steps.Event) bool) {
	t.Helper()
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, errKilled) {
			t.Fatalf("the attempt was not killed: %v", err)
		}
	}()
	_, err := Attempt(t, context.Background(), typ, config, dir, 1, func(e steps.Event) {
		if at(e) {
			panic(errKilled)
		}
	})
	t.Fatalf("the attempt ended: %v", err)
}

// Stopped runs a step and asks it to stop at the first event that at picks.
func Stopped(t testing.TB, typ *steps.Type, config any, dir string, at func(steps.Event) bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := Attempt(t, ctx, typ, config, dir, 2, func(e steps.Event) {
		if at(e) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the attempt ended with %v", err)
	}
}
