package traintest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"athanor/steps"
)

// Last is how the attempt ended.
func (l *Listener) Last() steps.Event { return l.Events[len(l.Events)-1] }

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
	_, err := Attempt(t, context.Background(), typ, config, dir, func(e steps.Event) {
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
	_, err := Attempt(t, ctx, typ, config, dir, func(e steps.Event) {
		if at(e) {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the attempt ended with %v", err)
	}
}
