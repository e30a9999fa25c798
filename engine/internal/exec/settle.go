package exec

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/store"
)

// outcome is how an attempt ended. Exactly one of made, diags, gate, interrupted and err says it.
type outcome struct {
	step        *plan.Step
	started     time.Time
	made        *store.Action
	elsewhere   bool // made by another engine while this one waited
	diags       hcl.Diagnostics
	gate        bool // diags state a condition that does not hold
	interrupted bool
	err         error // of the engine; may be a *store.DamageError of an input
	flops       float64
}

// settle takes in how an attempt ended.
func (s *scheduler) settle(o outcome) error {
	s.active--
	switch {
	case o.interrupted:
		s.result.Interrupted = true
		s.end(o.step, journal.StepRecord{State: journal.Interrupted, Started: o.started, FLOPs: o.flops})
	case o.err != nil:
		if s.heal(o.step, o.err) {
			return nil
		}
		s.fail(o.step, plan.Blame(o.step, "Step failed", o.err), journal.StepRecord{Started: o.started, FLOPs: o.flops})
	case o.gate:
		s.gate(o.step, o.diags, journal.StepRecord{Started: o.started, FLOPs: o.flops})
	case o.diags.HasErrors():
		s.fail(o.step, o.diags, journal.StepRecord{Started: o.started, FLOPs: o.flops})
	default:
		if err := s.o.Plan.Predictor.Adopt(o.step, o.made); err != nil {
			return err
		}
		if o.elsewhere {
			s.cached(o.step)
			return nil
		}
		return s.done(o)
	}
	return nil
}

// done records a step that has run.
func (s *scheduler) done(o outcome) error {
	material, err := json.Marshal(o.step.Material)
	if err != nil {
		return err
	}
	s.rest(o.step, journal.StepRecord{
		State: journal.Done, Started: o.started, Material: material, FLOPs: o.flops,
	})
	return nil
}

// cached takes in a step whose result is in the store.
func (s *scheduler) cached(step *plan.Step) {
	s.rest(step, journal.StepRecord{State: journal.Cached})
}

// rest records a step that has its result. If a condition of the recipe does not hold for it, the result stays and
// nothing that needs it is run.
func (s *scheduler) rest(step *plan.Step, r journal.StepRecord) {
	if step.Require.HasErrors() {
		s.result.Gate = true
		s.blocked[step] = true
		s.result.Diags = append(s.result.Diags, step.Require...)
		r.Error = message(step.Require)
	}
	s.end(step, r)
}

// fail takes in a step that failed, or that cannot be evaluated.
func (s *scheduler) fail(step *plan.Step, diags hcl.Diagnostics, r journal.StepRecord) {
	s.result.Failed = true
	s.block(step, diags, r)
}

// gate takes in a step that ended because a condition of the recipe does not hold.
func (s *scheduler) gate(step *plan.Step, diags hcl.Diagnostics, r journal.StepRecord) {
	s.result.Gate = true
	s.block(step, diags, r)
}

func (s *scheduler) block(step *plan.Step, diags hcl.Diagnostics, r journal.StepRecord) {
	s.result.Diags = append(s.result.Diags, diags...)
	s.blocked[step] = true
	r.State, r.Error = journal.Failed, message(diags)
	s.end(step, r)
}

func message(diags hcl.Diagnostics) string {
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			if d.Detail != "" {
				return d.Detail
			}
			return d.Summary
		}
	}
	return ""
}

// heal answers a damaged input: whoever made it makes it again, and the step waits for that. It happens once per
// producer; a disk that damages it again needs another answer.
func (s *scheduler) heal(step *plan.Step, err error) bool {
	damage := (*store.DamageError)(nil)
	if !errors.As(err, &damage) {
		return false
	}
	healing := false
	for path, artifact := range step.Instance.Upstream() {
		producer := s.o.Plan.Step(step.Instance.Sources()[path].String())
		if producer == nil || s.healed[producer] || s.o.State.Store.Check(artifact.Digest) == nil {
			continue
		}
		s.healed[producer] = true
		s.o.Plan.Predictor.Forget(producer, fmt.Sprintf("output %s: %v", damage.Reason, damage))
		s.state[producer] = journal.Pending
		s.pending = append([]*plan.Step{producer}, s.pending...)
		healing = true
	}
	if healing {
		s.more = true
		step.Action = plan.Deferred
		s.state[step] = journal.Pending
		s.pending = append(s.pending, step)
		s.o.Notify(Update{Time: time.Now(), Step: step, State: journal.Pending, Note: fmt.Sprintf("an input is damaged and is made again (%v)", damage)})
	}
	return healing
}

// end records the state in which a step has come to rest.
func (s *scheduler) end(step *plan.Step, r journal.StepRecord) {
	s.state[step] = r.State
	r.Address, r.Type, r.Key, r.Reason = step.Name(), step.Type.Name, step.Key, step.Reason
	r.Ended = time.Now()
	if r.Seconds == 0 && !r.Started.IsZero() {
		r.Seconds = r.Ended.Sub(r.Started).Seconds()
	}
	s.record(r)
	s.o.Notify(Update{Time: r.Ended, Step: step, State: r.State, Note: r.Error, Seconds: r.Seconds})
}

// record writes to the journal. Nothing depends on the journal, so a failure is said once and the run goes on.
func (s *scheduler) record(r journal.StepRecord) {
	r.Run = s.o.Run
	if err := s.o.State.Journal.Record(r); err != nil && !s.warned {
		s.warned = true
		s.o.Notify(Update{Time: time.Now(), Note: fmt.Sprintf("the history of this run is incomplete: %v", err)})
	}
}

// close gives every step that was never started its last state.
func (s *scheduler) close() {
	for _, step := range s.pending {
		state := journal.Pending
		if _, blocked := s.needs(step); blocked {
			s.blocked[step] = true
			state = journal.Skipped
		}
		s.end(step, journal.StepRecord{State: state})
	}
	for _, step := range s.o.Plan.Steps {
		s.result.States[step.Name()] = s.state[step]
	}
}
