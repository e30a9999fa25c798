package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"athanor/gpu"
	"athanor/steps"
)

// A Loop trains a model from the first token to the last, through any number of interruptions: the weights at the end
// do not depend on where it was stopped.
type Loop struct {
	Device    gpu.Device
	Model     Model
	Source    Source
	Objective Objective
	AdamW     AdamW
	Schedule  Schedule
	Batches   Batches
	Micro     int // most tokens of a micro-batch

	Unit string // what Batches, Schedule and Source count: "tokens" if empty

	CheckpointEvery time.Duration // at least so long between two; 0: after every step
	FLOPsPerToken   float64       // forward and backward, for the progress report; per unit
	BytesPerToken   float64       // of text, for bits per byte; 0: not known

	Observer     Observer // may be nil
	ObserveEvery int64    // tokens between two observations; there is one at the end in any case

	Spikes  Spikes  // steps not to take
	Average Average // of the weights, kept beside them

	// Until, if not nil, is asked after every observation whether the run may end before its last token. What it answers
	// from is the Observer's state.
	Until func() bool

	trainer *Trainer
	state   state
	clock   clock
	peak    float64 // operations per second that the device can do; 0: not known

	averager *averager // nil: no average is kept
}

// An Observer looks at the model from time to time: held-out loss, samples.
type Observer interface {
	// Observe returns figures for the metrics. When ctx ends it returns an error, is as before, and is called again
	// after the resume.
	Observe(ctx context.Context, step, tokens int64) (map[string]float64, error)
	State() ([]byte, error)
	Restore(state []byte) error
}

// A Summary is what a run came to.
type Summary struct {
	Steps, Tokens int64
	Loss          float64 // mean training loss over the last tenth of the run; with Until, between the last two observations
	Empty         int64   // steps without anything to learn
	Skipped       int64   // steps that were spikes and not taken
	LR            float64 // learning rate of the last step
}

// ErrNothingToLearn says that no token of the whole run was supervised.
var ErrNothingToLearn = errors.New("no token of the data has a target: there is nothing to learn from it")

// Run trains, from the last checkpoint if there is one. When ctx ends it saves a checkpoint and returns ctx's error.
func (l *Loop) Run(ctx context.Context, rt *steps.Runtime) (Summary, error) {
	if err := errors.Join(l.Schedule.Validate(), l.Batches.Validate(), l.Spikes.Validate(), l.Average.Validate()); err != nil {
		return Summary{}, err
	}
	t, err := NewTrainer(l.Device, l.Model, l.Objective, l.AdamW, l.Micro)
	if err != nil {
		return Summary{}, err
	}
	defer t.Close()
	if l.Unit == "" {
		l.Unit = "tokens"
	}
	l.trainer, l.state = t, state{}
	l.averager = nil
	t.Guard(l.Spikes)
	if l.Average.Kind != "" {
		l.averager = newAverager(l.Device, l.Model.Params(), l.Average)
	}
	resumed, err := rt.Restore(l.load)
	if err != nil {
		return Summary{}, err
	}
	if resumed {
		rt.Log("resuming after step %d, at %d of %d %s", l.state.Step, l.state.Tokens, l.Batches.Total, l.Unit)
	}
	l.peak = steps.Peak(l.Device)
	l.clock.start(l.state.Tokens)
	if err := l.steps(ctx, rt); err != nil {
		return Summary{}, err
	}
	if l.state.LateUnit == 0 {
		return Summary{}, ErrNothingToLearn
	}
	return Summary{
		Steps: l.state.Step, Tokens: l.state.Tokens, Loss: l.state.LateLoss / float64(l.state.LateUnit), LR: l.state.LR,
		Empty: l.state.Step - l.state.Skipped - int64(t.optimizer.updates), Skipped: l.state.Skipped,
	}, nil
}

// UseAverage replaces the model's weights with their average, after Run, and reports of how many samples it is.
func (l *Loop) UseAverage() (samples int64, err error) { return l.averager.samples, l.averager.apply() }

// steps runs to the last token.
func (l *Loop) steps(ctx context.Context, rt *steps.Runtime) error {
	saved, savedStep, savedObserved := time.Now(), l.state.Step, l.state.Observed
	for {
		if l.observationDue() {
			if err := l.observe(ctx, rt); err != nil && ctx.Err() == nil {
				return err
			}
		}
		if l.ended() {
			return nil
		}
		if l.state.Tokens == l.Batches.Total && !l.observationDue() {
			if l.Until == nil || l.state.Step == savedStep && l.state.Observed == savedObserved {
				return nil
			}
			return rt.Checkpoint(l.save) // for a run with more tokens
		}
		stop := ctx.Err()
		if l.state.Step > savedStep && (stop != nil || time.Since(saved) >= l.CheckpointEvery) {
			if err := rt.Checkpoint(l.save); err != nil {
				return errors.Join(stop, err)
			}
			saved, savedStep = time.Now(), l.state.Step
		}
		if stop != nil {
			return stop
		}
		if err := l.step(rt); err != nil {
			return err
		}
	}
}

// ended reports whether the last observation ends the run.
func (l *Loop) ended() bool {
	return l.Until != nil && l.state.Step > 0 && l.state.Observed == l.state.Tokens && l.Until()
}

// step takes one optimizer step.
func (l *Loop) step(rt *steps.Runtime) error {
	from := l.state.Tokens
	size := l.Batches.Size(from)
	lr := l.Schedule.At(from, from+size)
	batches, err := l.Source.Next(size)
	if err != nil {
		return l.failed(l.state.Step+1, err)
	}
	r, err := l.trainer.Step(batches, lr)
	if err != nil {
		return l.failed(l.state.Step+1, err)
	}
	l.state.Step++
	l.state.Tokens += size
	figures := map[string]float64{l.Unit: float64(l.state.Tokens), "lr": lr, "batch": float64(size)}
	if r.Units == 0 {
		rt.Warn("step %d: none of its %d %s has a target; the weights are as they were", l.state.Step, size, l.Unit)
	} else {
		l.learned(r, from, figures)
	}
	if err := l.taken(rt, r, from, lr, figures); err != nil {
		return err
	}
	rate := l.clock.tick(l.state.Tokens)
	figures[l.Unit+"_per_second"] = rate
	if err := rt.Metric(l.state.Step, figures); err != nil {
		return err
	}
	if l.clock.report(l.state.Tokens == l.Batches.Total) {
		ofPeak := 0.0
		if l.peak > 0 {
			ofPeak = rate * l.FLOPsPerToken / l.peak
		}
		rt.Progress(steps.Event{
			Done: float64(l.state.Tokens), Total: float64(l.Batches.Total), Unit: l.Unit, Rate: rate, Step: l.state.Step,
			FLOPs: l.FLOPsPerToken * float64(l.state.Tokens-l.clock.first), OfPeak: ofPeak,
			Metrics: map[string]float64{"loss": l.state.LastLoss, "lr": lr},
		})
	}
	return nil
}

// failed says at which step something went wrong.
func (l *Loop) failed(step int64, err error) error {
	if diverged := (*DivergedError)(nil); errors.As(err, &diverged) {
		diverged.Step, diverged.LastLoss = step, l.state.LastLoss
		return err
	}
	return fmt.Errorf("step %d: %w", step, err)
}

// taken records what became of a step that began at token from, and enters the weights into their average.
func (l *Loop) taken(rt *steps.Runtime, r Result, from int64, lr float64, figures map[string]float64) error {
	l.state.LR = lr
	if r.Spike != "" {
		l.state.Skipped++
		figures["skipped"] = 1
		rt.Log("step %d is not taken: %s", l.state.Step, r.Spike)
	}
	if l.averager == nil || !l.Average.due(from, l.state.Tokens, l.Batches.Total) {
		return nil
	}
	if err := l.averager.sample(); err != nil {
		return l.failed(l.state.Step, err)
	}
	return nil
}

// late reports whether the step that began at token from counts for the loss of the summary.
func (l *Loop) late(from int64) bool {
	if l.Until == nil {
		return 10*l.state.Tokens > 9*l.Batches.Total
	}
	if l.state.Observed == from {
		l.state.LateLoss, l.state.LateUnit = 0, 0
	}
	return true
}

// learned records a step that began at token from and had something to learn.
func (l *Loop) learned(r Result, from int64, figures map[string]float64) {
	if r.Spike == "" {
		l.state.LastLoss = r.Loss
	}
	if l.late(from) {
		l.state.LateLoss += r.Loss * float64(r.Units)
		l.state.LateUnit += int64(r.Units)
	}
	figures["loss"], figures["grad_norm"] = r.Loss, r.GradNorm
	if o, ok := l.Objective.(Telling); ok {
		maps.Copy(figures, o.Figures())
	}
	if l.BytesPerToken > 0 {
		figures["bits_per_byte"] = BitsPerByte(r.Loss, l.BytesPerToken)
	}
}

func (l *Loop) observationDue() bool {
	if l.Observer == nil || l.state.Observed == l.state.Tokens {
		return false
	}
	if l.state.Tokens == l.Batches.Total {
		return true
	}
	return l.ObserveEvery > 0 && l.state.Tokens/l.ObserveEvery > l.state.Observed/l.ObserveEvery
}

func (l *Loop) observe(ctx context.Context, rt *steps.Runtime) error {
	figures, err := l.Observer.Observe(ctx, l.state.Step, l.state.Tokens)
	if err != nil {
		return l.failed(l.state.Step, err)
	}
	l.state.Observed = l.state.Tokens
	l.clock.skip()
	return rt.Metric(l.state.Step, figures)
}
