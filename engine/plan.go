package main

import (
	"github.com/spf13/cobra"

	"athanor/engine/internal/hardware"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps"
)

func (a *app) planCommand() *cobra.Command {
	var f projectFlags
	var o plan.Options
	var asJSON, detailed bool
	cmd := &cobra.Command{
		Use:   "plan [PIPELINE]",
		Short: "Say what would run, why, and what it would need",
		Long: `Says what engine run would do about each step:

  cached     its result is in the store
  run        it would run; the reason says why
  deferred   it depends on outputs that do not exist yet: run decides as soon as they do, and finds it cached if its
             inputs come out as they were
  skipped    its condition (when) is false

Times come from what earlier runs have measured of the same step, or of others of its type. For a training of which there is
no run yet, about a second of the same work is tried on this machine; what that comes to is kept for the next plan.

With a hardware block in the pipeline (engine steps pipeline), the plan says what training would take on those GPUs:
memory, hours and cost.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			o.Speeds = func(list []steps.Estimate) []float64 { return a.speeds(f.device, list) }
			return a.withPlan(path, &f, o, func(p *project, made *plan.Plan) error {
				return p.printPlan(made, asJSON, detailed)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().StringArrayVar(&o.Targets, "target", nil, "plan only this step and what it depends on (repeatable)")
	cmd.Flags().StringArrayVar(&o.Force, "force", nil, "plan to run this step even if it is cached (repeatable)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 4 if something would run, with 0 if not")
	a.completeFlags(cmd)
	return cmd
}

// plannedStep is a step as plan --json prints it.
type plannedStep struct {
	Address  string            `json:"address"`
	Action   plan.Action       `json:"action"`
	Reason   string            `json:"reason"`
	After    []string          `json:"after"`
	Estimate steps.Estimate    `json:"estimate"`
	Seconds  float64           `json:"seconds,omitempty"`
	Resumes  bool              `json:"resumes,omitempty"`
	Machine  map[string]string `json:"machine,omitempty"` // what the machine decides: precision
	Key      string            `json:"key,omitempty"`
	Parent   string            `json:"parent,omitempty"` // of a part of a composite step

	Hardware *plan.Equipment `json:"hardware,omitempty"`
}

// plannedAll is what plan --json prints.
type plannedAll struct {
	Steps    []plannedStep  `json:"steps"`
	Unset    []string       `json:"unset,omitempty"`    // variables that engine run needs a value of
	Hardware *hardware.Need `json:"hardware,omitempty"` // of all steps that train, if the pipeline names hardware
}

func (p *project) printPlan(made *plan.Plan, asJSON, detailed bool) error {
	if asJSON {
		if err := p.app.printJSON(planned(made)); err != nil {
			return err
		}
	} else if err := ui.Plan(p.app.out, made); err != nil {
		return err
	}
	if err := warnMemory(p.app.err, p.device, made); err != nil {
		return err
	}
	if held := made.Require(); held.HasErrors() {
		if err := p.show(held); err != nil {
			return err
		}
		return &exitError{code: exitGate}
	}
	if detailed && made.Busy() {
		return &exitError{code: exitBusy}
	}
	return nil
}

// planned is the plan for programs to read.
func planned(made *plan.Plan) plannedAll {
	all := plannedAll{Steps: make([]plannedStep, 0, len(made.Steps)), Unset: made.Program.Unset}
	for _, s := range made.Steps {
		after := make([]string, 0, len(s.After))
		for _, address := range s.After {
			after = append(after, address.String())
		}
		parent := ""
		if s.Parent != nil {
			parent = s.Parent.Name()
		}
		all.Steps = append(all.Steps, plannedStep{
			s.Name(), s.Action, s.Reason, after, s.Estimate, s.Seconds, s.Resumes, s.Machine, s.Key, parent, s.Equipment,
		})
	}
	if made.Hardware != nil {
		all.Hardware = &made.Need
	}
	return all
}
