package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"github.com/spf13/cobra"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
)

func (a *app) showCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [ADDRESS] [PIPELINE]",
		Short: "Show a step's results and figures, or the pipeline's outputs",
		Long: `With an address (TYPE.NAME), shows what the step has made: its artifacts with their folders, its values, its latest
figures. Without one, shows the state of every step and the pipeline's outputs.`,
		Args:              cobra.MaximumNArgs(2),
		ValidArgsFunction: a.completeAddress,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && isPath(args[0]) {
				args = []string{args[0], ""}
			}
			path, rest := takePipeline(args, 1)
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				if len(rest) == 0 || rest[0] == "" {
					return p.showAll(made, asJSON)
				}
				step, err := oneStep(made, rest[0])
				if err != nil {
					return err
				}
				return p.showStep(step, asJSON)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// shownStep is a step as show --json prints it.
type shownStep struct {
	Address   string              `json:"address"`
	Key       string              `json:"key"`
	State     journal.State       `json:"state"`
	Artifacts map[string]artifact `json:"artifacts"`
	Values    map[string]any      `json:"values"`
	Metrics   []json.RawMessage   `json:"metrics"` // as recorded: one object per optimizer step or the like
}

func (p *project) describe(s *plan.Step) (*shownStep, error) {
	state, err := p.stateOf(s)
	if err != nil {
		return nil, err
	}
	out := &shownStep{
		Address: s.Name(), Key: s.Key, State: state,
		Artifacts: map[string]artifact{}, Values: map[string]any{}, Metrics: []json.RawMessage{},
	}
	if s.Action == plan.Cached {
		for name, o := range s.Made.Outputs {
			if out.Artifacts[name], err = artifactJSON(p.state.Store, o.Kind, o.Digest); err != nil {
				return nil, err
			}
		}
		if err := json.Unmarshal(s.Made.Values, &out.Values); err != nil {
			return nil, fmt.Errorf("the values of %s: %w", s.Name(), err)
		}
	}
	if s.Key != "" {
		out.Metrics, err = readMetrics(filepath.Join(p.state.Store.WorkDir(s.Key), "metrics.jsonl"))
	}
	return out, err
}

// stateOf says where a step stands: done if its result is there, else what the latest run says about the same key.
func (p *project) stateOf(s *plan.Step) (journal.State, error) {
	switch s.Action {
	case plan.Cached:
		return journal.Done, nil
	case plan.Skipped:
		return journal.Skipped, nil
	}
	record, run, err := p.latest(s.Name())
	if err != nil || record == nil || record.Key != s.Key || s.Key == "" {
		return journal.Pending, err
	}
	switch {
	case record.State == journal.Running && runStatus(*run) != "running":
		return journal.Interrupted, nil // the engine was killed
	case record.State == journal.Running, record.State == journal.Failed, record.State == journal.Interrupted:
		return record.State, nil
	}
	return journal.Pending, nil
}

// latest finds the newest record of a step, in whatever state.
func (p *project) latest(address string) (*journal.StepRecord, *journal.Run, error) {
	const far = 50 // runs to look back
	runs, err := p.state.Journal.RunsOf(p.program.Name, p.program.Path(), far)
	if err != nil {
		return nil, nil, err
	}
	for _, run := range runs {
		records, err := p.state.Journal.Steps(run.ID)
		if err != nil {
			return nil, nil, err
		}
		for _, r := range records {
			if r.Address == address && r.Key != "" {
				return &r, &run, nil
			}
		}
	}
	return nil, nil, nil
}

// readMetrics reads the recorded figures. The last line may be half written.
func readMetrics(path string) ([]json.RawMessage, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return []json.RawMessage{}, nil
	}
	if err != nil {
		return nil, err
	}
	list := []json.RawMessage{}
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); json.Valid(line) {
			list = append(list, json.RawMessage(line))
		}
	}
	return list, nil
}

func (p *project) showStep(s *plan.Step, asJSON bool) error {
	d, err := p.describe(s)
	if err != nil {
		return err
	}
	if asJSON {
		return p.app.printJSON(d)
	}
	rows := [][]string{{"step", d.Address}, {"state", string(d.State)}}
	if d.Key != "" {
		rows = append(rows, []string{"key", d.Key})
	}
	if s.Action != plan.Cached && s.Reason != "" {
		rows = append(rows, []string{"to do", fmt.Sprintf("%s (%s)", s.Action, s.Reason)})
	}
	for _, name := range sortedNames(d.Artifacts) {
		rows = append(rows, []string{name, d.Artifacts[name].Kind + " " + d.Artifacts[name].Path})
	}
	for _, name := range sortedNames(d.Values) {
		text, err := json.Marshal(d.Values[name])
		if err != nil {
			return err
		}
		rows = append(rows, []string{name, string(text)})
	}
	if n := len(d.Metrics); n > 0 {
		rows = append(rows, []string{"figures", fmt.Sprintf("%s (the last of %d)", d.Metrics[n-1], n)})
	}
	return p.app.printf("%s", ui.Columns(rows))
}

func (p *project) showAll(made *plan.Plan, asJSON bool) error {
	outputs, diags, err := p.outputs(made)
	if err != nil {
		return err
	}
	if len(diags) > 0 {
		if err := p.show(diags); err != nil {
			return err
		}
	}
	if asJSON {
		list := []*shownStep{}
		for _, s := range made.Steps {
			d, err := p.describe(s)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		values := map[string]any{}
		for _, o := range outputs {
			values[o.name] = o.json
		}
		return p.app.printJSON(map[string]any{"pipeline": p.program.Name, "steps": list, "outputs": values})
	}
	var rows [][]string
	for _, s := range made.Steps {
		state, err := p.stateOf(s)
		if err != nil {
			return err
		}
		rows = append(rows, []string{s.Name(), string(state)})
	}
	if err := p.app.printf("%s\n\n%s", p.program.Name, ui.Columns(rows)); err != nil {
		return err
	}
	return p.printOutputs(outputs)
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
