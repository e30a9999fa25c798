package exec

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/hashicorp/hcl/v2"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/steps"
)

// Options say what to run and how.
type Options struct {
	Plan      *plan.Plan
	State     plan.State
	Run       int64    // number of the run in the journal
	Command   []string // starts a worker when the path of a spec is appended
	Image     string   // what is executed in place of the first of Command; empty: that
	Engine    string   // version, for records
	Parallel  int      // steps side by side; at least 1
	Device    string
	Threads   int             // of one step; 0: the machine's, shared among the steps that run side by side
	KeepGoing bool            // after a failure, run what does not depend on it
	Kill      context.Context // its end kills the workers at once
	Notify    func(Update)    // called from several goroutines, one at a time per step
}

// An Update says that something happened to a step.
type Update struct {
	Time    time.Time
	Step    *plan.Step
	State   journal.State
	Event   *steps.Event // while running: what the worker says; nil when the state has changed
	Note    string       // while running: what the engine says
	Seconds float64      // when it has ended
}

// A Result is how a run ended.
type Result struct {
	States      map[string]journal.State // by address
	Diags       hcl.Diagnostics          // root causes only
	Interrupted bool
	Failed      bool // a step failed
	Gate        bool // a gate or a require did not hold
	Started     time.Time
	Seconds     float64
}

// Status is the word for the journal.
func (r *Result) Status() string {
	switch {
	case r.Interrupted:
		return "interrupted"
	case r.Failed:
		return "failed"
	case r.Gate:
		return "gate"
	}
	return "done"
}

// Exit is the exit code of the command.
func (r *Result) Exit() int {
	switch r.Status() {
	case "interrupted":
		return 130
	case "failed":
		return 1
	case "gate":
		return 3
	}
	return 0
}

// Count returns how many steps ended in the state.
func (r *Result) Count(state journal.State) int {
	n := 0
	for _, s := range r.States {
		if s == state {
			n++
		}
	}
	return n
}

// scheduler is the state of a run. Only the goroutine of Run touches it; attempts report over ended.
type scheduler struct {
	o       Options
	result  *Result
	pending []*plan.Step // in the plan's order
	state   map[*plan.Step]journal.State
	blocked map[*plan.Step]bool // it or something that it needs has failed
	healed  map[*plan.Step]bool // made again because its output was damaged
	active  int
	more    bool // steps have become pending
	ended   chan outcome
	warned  bool // that the journal cannot be written
}

// Run carries the plan out. When ctx ends, the running steps save their checkpoints and stop. The error is for what is
// neither the pipeline's fault nor a step's.
func Run(ctx context.Context, o Options) (*Result, error) {
	o.Parallel = max(o.Parallel, 1)
	if o.Threads == 0 && o.Parallel > 1 {
		o.Threads = max(runtime.GOMAXPROCS(0)/o.Parallel, 1)
	}
	s := &scheduler{
		o:       o,
		result:  &Result{States: map[string]journal.State{}, Started: time.Now()},
		pending: append([]*plan.Step(nil), o.Plan.Steps...),
		state:   map[*plan.Step]journal.State{},
		blocked: map[*plan.Step]bool{},
		healed:  map[*plan.Step]bool{},
		ended:   make(chan outcome),
	}
	for _, step := range s.pending {
		s.state[step] = journal.Pending
	}
	for {
		if err := s.start(ctx); err != nil {
			return s.drain(err)
		}
		if s.active == 0 {
			break
		}
		if err := s.settle(<-s.ended); err != nil {
			return s.drain(err)
		}
	}
	s.result.Interrupted = s.result.Interrupted || ctx.Err() != nil && len(s.pending) > 0
	s.close()
	s.result.Seconds = time.Since(s.result.Started).Seconds()
	return s.result, nil
}

// drain waits for what still runs, so that nothing is lost to an error of the engine's own.
func (s *scheduler) drain(err error) (*Result, error) {
	for ; s.active > 0; s.active-- {
		<-s.ended
	}
	return s.result, err
}

// stopping reports whether no new step is to be started.
func (s *scheduler) stopping(ctx context.Context) bool {
	return ctx.Err() != nil || !s.o.KeepGoing && (s.result.Failed || s.result.Gate)
}

// start goes through the pending steps and starts, or settles, those whose needs are met. Some may come back, or bring
// others with them.
func (s *scheduler) start(ctx context.Context) error {
	for again := true; again; {
		queue := s.pending
		s.pending, s.more = nil, false
		for i, step := range queue {
			if s.stopping(ctx) || s.active >= s.o.Parallel {
				s.pending = append(s.pending, queue[i:]...)
				break
			}
			ready, blocked := s.needs(step)
			if blocked {
				s.blocked[step] = true
				s.end(step, journal.StepRecord{State: journal.Skipped})
				continue
			}
			if !ready {
				s.pending = append(s.pending, step)
				continue
			}
			if err := s.begin(ctx, step); err != nil {
				return err
			}
		}
		again = s.more && !s.stopping(ctx) && s.active < s.o.Parallel
	}
	return nil
}

func (s *scheduler) needs(step *plan.Step) (ready, blocked bool) {
	ready = true
	for _, need := range step.Needs {
		if s.blocked[need] {
			return false, true
		}
		switch s.state[need] {
		case journal.Done, journal.Cached, journal.Skipped:
		default:
			ready = false
		}
	}
	return ready, false
}

// begin decides a step whose needs are met and starts it if there is work to do.
func (s *scheduler) begin(ctx context.Context, step *plan.Step) error {
	// What is cached stays so. All else is decided with what is known now: steps have run since the plan was made, and
	// hours may have passed.
	if step.Action != plan.Cached && step.Action != plan.Skipped {
		diags, err := s.o.Plan.Predictor.Resolve(step)
		if err != nil {
			return err
		}
		if diags.HasErrors() {
			s.fail(step, diags, journal.StepRecord{})
			return nil
		}
		s.adopt(step)
	}
	switch step.Action {
	case plan.Cached:
		s.cached(step)
		return nil
	case plan.Skipped:
		s.end(step, journal.StepRecord{State: journal.Skipped})
		return nil
	case plan.Deferred:
		if ready, _ := s.needs(step); !ready { // its children have just become known
			s.pending, s.more = append(s.pending, step), true
			return nil
		}
		return fmt.Errorf("%s still waits for %v although all that it needs has ended", step.Name(), step.After)
	}
	spec, err := s.o.Plan.Predictor.Spec(step, s.o.State.Store.Path)
	if err != nil {
		if s.heal(step, err) {
			return nil
		}
		return err
	}
	spec.WorkDir = s.o.State.Store.WorkDir(step.Key)
	spec.Device, spec.Threads, spec.Revision = s.o.Device, s.o.Threads, s.o.Engine
	s.state[step] = journal.Running
	s.record(journal.StepRecord{Address: step.Name(), Type: step.Type.Name, Key: step.Key, State: journal.Running, Reason: step.Reason, Started: time.Now()})
	s.o.Notify(Update{Time: time.Now(), Step: step, State: journal.Running})
	s.active++
	a := &attempt{o: &s.o, step: step, begun: *step, spec: spec, started: time.Now()}
	go func() { s.ended <- a.run(ctx) }()
	return nil
}

// adopt makes those children of a composite step pending that have just come into the plan. They come to light when the
// step, or one of them, is decided.
func (s *scheduler) adopt(step *plan.Step) {
	if step.Parent != nil {
		step = step.Parent
	}
	for _, child := range step.Children {
		if s.state[child] == "" && s.o.Plan.Step(child.Name()) == child {
			s.state[child] = journal.Pending
			s.pending, s.more = append(s.pending, child), true
		}
	}
}
