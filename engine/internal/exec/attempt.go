package exec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/store"
	"athanor/steps"
)

// attempt carries one step out, with its retries.
type attempt struct {
	o    *Options
	step *plan.Step
	// The step as it was when the attempt began. The step itself changes meanwhile: a composite step that has another child
	// to decide derives all of its children anew.
	begun   plan.Step
	spec    *steps.Spec
	started time.Time
	flops   float64
}

// run holds the key's lock for as long as it works.
func (a *attempt) run(ctx context.Context) outcome {
	out := outcome{step: a.step, started: a.started}
	lock, err := a.o.State.Store.Lock(ctx, a.begun.Key, func(h store.Holder) {
		if h.PID == os.Getpid() {
			a.note("waits for another step of this run, which makes the same")
			return
		}
		a.note(fmt.Sprintf("waits for %s, which works on the same step", h))
	})
	if err != nil {
		if ctx.Err() != nil {
			out.interrupted = true
			return out
		}
		out.err = err
		return out
	}
	defer func() { _ = lock.Unlock() }() // only closes a file
	if made := a.madeElsewhere(); made != nil {
		out.made, out.elsewhere = made, true
		return out
	}
	for _, artifact := range a.begun.Instance.Upstream() {
		if err := a.o.State.Store.Check(artifact.Digest); err != nil {
			out.err = fmt.Errorf("an input made by %s: %w", artifact.Step, err)
			return out
		}
	}
	a.work(ctx, lock, &out)
	out.flops = a.flops
	return out
}

// madeElsewhere looks the key up again: another engine may have made it while this one waited for the lock.
func (a *attempt) madeElsewhere() *store.Action {
	made, err := a.o.State.Store.Lookup(a.begun.Key)
	if err != nil || made == nil {
		return nil
	}
	if old := a.begun.Made; old != nil && old.Created.Equal(made.Created) { // the one that is to be made again
		return nil
	}
	return made
}

// work runs the worker until it succeeds or the retries are used up.
func (a *attempt) work(ctx context.Context, lock *store.Lock, out *outcome) {
	retry := a.begun.Instance.Retry
	wait := retry.Backoff
	for n := 1; ; n++ {
		end, err := a.once(ctx, lock.File())
		switch {
		case err == nil && end.Kind == steps.EventDone:
			out.diags = nil // of earlier attempts
			a.commit(end, out)
			return
		case ctx.Err() != nil:
			out.interrupted = true
			return
		case err == nil && end.Kind == steps.EventGate:
			out.gate = true
			out.diags = a.blame("Gate not passed", end.Path, end.Message)
			return
		}
		out.diags = a.diagnose(end, err)
		if n >= retry.Attempts {
			return
		}
		a.note(fmt.Sprintf("attempt %d of %d failed: %s Next attempt in %v.", n, retry.Attempts, message(out.diags), wait))
		select {
		case <-ctx.Done():
			out.interrupted = true
			return
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// once runs one worker to its end.
func (a *attempt) once(ctx context.Context, lock *os.File) (steps.Event, error) {
	if timeout := a.begun.Instance.Timeout; timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, &timeoutError{timeout})
		defer cancel()
	}
	if err := os.MkdirAll(a.spec.WorkDir, 0o777); err != nil {
		return steps.Event{}, err
	}
	path := filepath.Join(a.spec.WorkDir, "spec.json")
	text, err := json.MarshalIndent(a.spec, "", "  ")
	if err != nil {
		return steps.Event{}, err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o666); err != nil {
		return steps.Event{}, err
	}
	w := &worker{command: append(append([]string(nil), a.o.Command...), path), image: a.o.Image, lock: lock, kill: a.o.Kill, event: a.event}
	return w.run(ctx, filepath.Join(a.spec.WorkDir, "log.txt"))
}

// event passes on what a worker says.
func (a *attempt) event(e steps.Event) {
	a.flops = max(a.flops, e.FLOPs)
	a.o.Notify(Update{Time: time.Now(), Step: a.step, State: journal.Running, Event: &e})
}

func (a *attempt) note(text string) {
	a.o.Notify(Update{Time: time.Now(), Step: a.step, State: journal.Running, Note: text})
}

// commit moves the outputs into the store.
func (a *attempt) commit(end steps.Event, out *outcome) {
	folders := map[string]store.Folder{}
	for _, o := range a.begun.Type.Outputs {
		if o.IsKind() {
			folders[o.Name] = store.Folder{Kind: o.Type, Dir: end.Outputs[o.Name]}
		}
	}
	if err := a.checkFiles(); err != nil {
		out.diags = a.blame("A file changed", "", err.Error())
		return
	}
	values, err := json.Marshal(end.Values)
	var material []byte
	if err == nil {
		material, err = json.Marshal(a.begun.Material)
	}
	host, _ := os.Hostname() // for the record only
	if err == nil {
		out.made, err = a.o.State.Store.Commit(store.Action{
			Key: a.begun.Key, Type: a.begun.Type.Name, Version: a.begun.Type.Version, Values: values,
			Created: time.Now(), Seconds: time.Since(a.started).Seconds(), Engine: a.o.Engine, Host: host, Device: end.Device,
		}, material, folders)
	}
	if err == nil {
		err = a.o.State.Store.Settle(a.begun.Key)
	}
	if err != nil {
		out.made, out.diags = nil, a.diagnose(steps.Event{}, fmt.Errorf("storing the result: %w", err))
	}
}

// checkFiles makes sure that what the step has read is what the key says.
func (a *attempt) checkFiles() error {
	if len(a.spec.Files) == 0 {
		return nil
	}
	now, err := a.o.State.Store.Digests(nil, a.spec.Files)
	if err != nil {
		return err
	}
	for i, f := range a.begun.Material.Files {
		if f.Digest != now[i] {
			return fmt.Errorf("%s changed while the step read it: run again", f.Path)
		}
	}
	return nil
}

// blame is a diagnostic at an attribute of the step's block, or at its header.
func (a *attempt) blame(summary, path, text string) hcl.Diagnostics {
	return hcl.Diagnostics{dsl.Error(a.begun.Where(path), summary, plan.Sentence(a.begun.Name()+": "+text))}
}

// makeRoom drops what the next attempt would drop first, so that others find room now.
func (a *attempt) makeRoom() {
	for _, name := range []string{"out", "tmp"} {
		_ = os.RemoveAll(filepath.Join(a.spec.WorkDir, name)) // the failure that is being reported counts more
	}
}

// diagnose says why a worker did not end well, and what to do about it.
func (a *attempt) diagnose(end steps.Event, err error) hcl.Diagnostics {
	text := end.Message
	if err != nil {
		text = err.Error()
	}
	if DiskFull(err) || diskFullText(text) {
		diags := a.blame("No space left on the disk", "", text+". "+RoomAdvice(a.spec.WorkDir))
		a.makeRoom()
		return diags
	}
	switch late, crash := (*timeoutError)(nil), (*crashError)(nil); {
	case errors.As(err, &late):
		return a.blame("Step timed out", "timeout", fmt.Sprintf(
			"it was stopped after %v, and its last checkpoint is kept. Run again to go on from there, or raise timeout.", late.after))
	case errors.As(err, &crash):
		return a.blame("Step crashed", "", crash.advice(a.begun.Name()))
	case err != nil:
		return a.blame("Step could not be run", "", text)
	}
	return a.blame("Step failed", end.Path, text)
}
