package exec

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"athanor/steps"
)

// lockFD is where a worker finds the lock of its key.
const lockFD = 3

// Work is the worker's side: it reads the spec at path, does the work, and returns the process's exit code. It is
// the last thing that the process does.
func Work(path string, types []steps.Type) int {
	if err := work(path, types); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		return 1
	}
	return 0
}

func work(path string, types []steps.Type) error {
	// Only events go to standard output. What a library prints goes to the log.
	events := os.Stdout
	os.Stdout = os.Stderr
	// The engine may be gone while a checkpoint is being saved: writing to it must not end this process. The terminal's
	// signals are the engine's to answer. They are caught and not ignored, since programs that the step starts would
	// inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE, syscall.SIGINT, syscall.SIGHUP)
	syscall.CloseOnExec(lockFD)

	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var spec steps.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t := find(types, spec.Type)
	if t == nil || t.Version != spec.Version {
		return fmt.Errorf("%s asks for version %d of step type %q, which this engine does not have", path, spec.Version, spec.Type)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // ends when the engine asks for it or is gone
		stop()
	}()
	rt, err := steps.NewRuntime(&spec, events)
	if err != nil {
		return report(events, err)
	}
	err = rt.Do(ctx, t)
	if e := rt.Close(); err == nil {
		err = e
	}
	return err
}

// report tells the engine of a failure before there was a Runtime.
func report(events io.Writer, err error) error {
	line, e := json.Marshal(steps.Event{Kind: steps.EventFailed, Message: err.Error()})
	if e == nil {
		_, e = events.Write(append(line, '\n'))
	}
	if e != nil {
		return e
	}
	return err
}

// find finds a step type, or one of a composite type's children.
func find(types []steps.Type, name string) *steps.Type {
	for i := range types {
		if types[i].Name == name {
			return &types[i]
		}
		for _, child := range types[i].Children {
			if child.Name == name {
				return child
			}
		}
	}
	return nil
}
