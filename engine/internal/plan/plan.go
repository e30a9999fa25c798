package plan

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/engine/internal/hardware"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/store"
	"athanor/steps"
	"athanor/steps/disk"
)

// An Action is what a run will do about a step.
type Action string

const (
	Cached   Action = "cached"   // the store has its outputs
	Run      Action = "run"      // it will be run
	Deferred Action = "deferred" // depends on outputs that do not exist yet: decided within the run
	Skipped  Action = "skipped"  // its condition is false
)

// A Step is one step of the plan. Its fields grow with what is known: the run resolves a deferred step again.
type Step struct {
	Address dsl.Address
	Program *dsl.Step
	Type    *steps.Type
	Needs   []*Step // what it refers to, in the plan's order; and its children

	Parent   *Step   // of a child of a composite step
	Children []*Step // of a composite step, once it is expanded
	Expanded bool
	part     steps.Child // what its parent's type says of a child

	Instance *dsl.Instance // nil until resolved
	Action   Action
	Reason   string
	After    []dsl.Address // steps that will run and come first
	Resumes  bool          // an interrupted attempt left a checkpoint

	// These are set when everything that the step depends on is known.
	Key      string
	Material *Material
	Files    []string      // what Type.Files returned
	Made     *store.Action // what the store has: the result when cached, else what is to be made again

	Machine map[string]string // attributes that depend on the machine, with their values

	Require  hcl.Diagnostics // conditions that do not hold although the step is cached
	Estimate steps.Estimate
	Seconds  float64 // expected, from earlier runs of the type or a calibration; 0 if there were none

	Equipment *Equipment // of training, if the pipeline names hardware to plan for
}

// Name is the step's address as it is written.
func (s *Step) Name() string { return s.Address.String() }

// A Plan is what a run will do.
type Plan struct {
	Program   *dsl.Program
	Steps     []*Step // every step after all that it depends on, else in order of declaration
	Predictor *Predictor

	Hardware *hardware.Config // that the pipeline names; nil: none
	Need     hardware.Need    // of all steps that will run and train, on that hardware

	options Options
	byName  map[string]*Step
	wanted  map[string]*Step // children that the command line names, and whose they are
}

// Options narrow a plan.
type Options struct {
	Types   []steps.Type
	Targets []string // only these steps and what they depend on
	Force   []string // run these even if they are cached

	// Offers lists what the machine that will run the steps can do about an attribute that depends on it, the best
	// first: what "auto" stands for, and what may be written. Nil if no machine is known: "auto" is then left as it is.
	Offers func(attribute string) ([]string, error)
	// Speeds measures how many operations per second this machine would do in trainings with these estimates, 0 where it
	// cannot tell. It is asked only about what earlier runs do not tell. Nil: such steps have no expected time.
	Speeds func([]steps.Estimate) []float64
}

// A State is what earlier runs left behind: results, work in flight and history.
type State struct {
	Store   *store.Store
	Journal *journal.Journal
}

// Make plans a program. The error is for what is not the pipeline's fault: the store, the journal, or a target that
// does not exist (an [ArgumentError]).
func Make(program *dsl.Program, state State, o Options) (*Plan, hcl.Diagnostics, error) {
	p := newPlan(program, state, o)
	diags, err := p.passes([]pass{
		{"match", p.match}, {"select", p.selectTargets}, {"order", p.order}, {"resolve", p.resolve}, {"narrow", p.narrow},
		{"estimate", p.estimate}, {"equip", p.equip}, {"calibrate", p.calibrate},
	})
	if err != nil || diags.HasErrors() {
		return nil, diags, err
	}
	return p, diags, nil
}

// Order returns a plan of which only the steps, their order and their dependencies are known. It needs no state, so a
// composite step whose children depend on what has been made has none.
func Order(program *dsl.Program, o Options) (*Plan, error) {
	p := newPlan(program, State{}, o)
	_, err := p.passes([]pass{{"match", p.match}, {"select", p.selectTargets}, {"order", p.order}, {"expand", p.expandAll}, {"narrow", p.narrow}})
	return p, err
}

func newPlan(program *dsl.Program, state State, o Options) *Plan {
	p := &Plan{Program: program, options: o, byName: map[string]*Step{}, wanted: map[string]*Step{}}
	p.Predictor = newPredictor(p, state)
	return p
}

// A pass is one stage of planning. Diagnostics are the pipeline's fault, the error is not.
type pass struct {
	name string
	run  func() (hcl.Diagnostics, error)
}

func (p *Plan) passes(list []pass) (hcl.Diagnostics, error) {
	p.Predictor.look = disk.NewLook()
	defer func() { p.Predictor.look = nil }()
	var diags hcl.Diagnostics
	for _, pass := range list {
		more, err := pass.run()
		if err != nil {
			return diags, fmt.Errorf("planning (%s): %w", pass.name, err)
		}
		diags = append(diags, more...)
		if diags.HasErrors() {
			break
		}
	}
	return diags, nil
}

// Step finds a step by its address as written; nil if the plan has none.
func (p *Plan) Step(name string) *Step { return p.byName[name] }

// Count returns how many steps have the action.
func (p *Plan) Count(a Action) int {
	n := 0
	for _, s := range p.Steps {
		if s.Action == a {
			n++
		}
	}
	return n
}

// Busy reports whether a run would do anything.
func (p *Plan) Busy() bool { return p.Count(Run)+p.Count(Deferred) > 0 }

// Require returns the conditions of cached steps that do not hold.
func (p *Plan) Require() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, s := range p.Steps {
		diags = append(diags, s.Require...)
	}
	return diags
}

// resolve decides every step in order, with the outputs known so far. Children come into the plan on the way.
func (p *Plan) resolve() (hcl.Diagnostics, error) {
	var diags hcl.Diagnostics
	for _, s := range slices.Clone(p.Steps) {
		more, err := p.Predictor.Resolve(s)
		if err != nil {
			return diags, err
		}
		diags = append(diags, more...)
	}
	return diags, nil
}
