package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
)

func (a *app) whyCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "why ADDRESS [PIPELINE]",
		Short:             "Explain why a step would run, or why it is cached",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeAddress,
		RunE: func(_ *cobra.Command, args []string) error {
			path, rest := takePipeline(args, 1)
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				step, err := oneStep(made, rest[0])
				if err != nil {
					return err
				}
				return p.why(step, asJSON)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// explanation is a step as why --json prints it.
type explanation struct {
	Address  string                    `json:"address"`
	Action   plan.Action               `json:"action"`
	Reason   string                    `json:"reason"`
	Key      string                    `json:"key,omitempty"`
	Inputs   map[string]explainedInput `json:"inputs"`
	Material *plan.Material            `json:"material,omitempty"`
	MadeBy   int64                     `json:"run,omitempty"` // number of the run that used this result last
}

type explainedInput struct {
	Step   string `json:"step"`
	Kind   string `json:"kind,omitempty"`
	Digest string `json:"digest,omitempty"` // absent while it is not known
}

func (p *project) explain(s *plan.Step) (*explanation, error) {
	e := &explanation{
		Address: s.Name(), Action: s.Action, Reason: s.Reason, Key: s.Key, Material: s.Material,
		Inputs: map[string]explainedInput{},
	}
	if s.Instance != nil {
		known := s.Instance.Upstream()
		for path, from := range s.Instance.Sources() {
			e.Inputs[path] = explainedInput{Step: from.String(), Kind: known[path].Kind, Digest: known[path].Digest}
		}
	}
	last, err := p.state.Journal.Last(p.program.Name, p.program.Path(), s.Name())
	if err != nil {
		return nil, err
	}
	if last != nil && last.Key == s.Key {
		e.MadeBy = last.Run
	}
	if e.Action == plan.Cached {
		e.Reason = "everything that it depends on is as it was when its result was made"
	}
	return e, nil
}

func (p *project) why(s *plan.Step, asJSON bool) error {
	e, err := p.explain(s)
	if err != nil {
		return err
	}
	if asJSON {
		return p.app.printJSON(e)
	}
	words := map[plan.Action]string{
		plan.Cached: "is cached", plan.Run: "will run", plan.Deferred: "is deferred", plan.Skipped: "is skipped",
	}
	rows := [][]string{}
	if e.Key != "" {
		rows = append(rows, []string{"  key", e.Key})
	}
	if s.Made != nil && s.Action == plan.Cached {
		rows = append(rows, []string{"  made", fmt.Sprintf("%s, in %s", s.Made.Created.Local().Format("2006-01-02 15:04:05"), ui.Duration(s.Made.Seconds))})
	}
	for _, path := range sortedNames(e.Inputs) {
		in := e.Inputs[path]
		text := in.Step + " (not known yet)"
		if in.Digest != "" {
			text = fmt.Sprintf("%s (%s %.12s)", in.Step, in.Kind, in.Digest)
		}
		rows = append(rows, []string{"  " + path, text})
	}
	if m := e.Material; m != nil {
		rows = append(rows, []string{"  version", fmt.Sprintf("%d of step type %s", m.Version, m.Type)}, []string{"  seed", fmt.Sprint(m.Seed)})
		if n := len(m.Read()); n > 0 {
			rows = append(rows, []string{"  files", fmt.Sprint(n)})
		}
		rows = append(rows, []string{"  config", string(m.Config)})
	}
	return p.app.printf("%s %s: %s.\n\n%s", e.Address, words[e.Action], e.Reason, ui.Columns(rows))
}
