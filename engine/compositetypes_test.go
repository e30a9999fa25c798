package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"athanor/dsl"
	"athanor/steps"
	"athanor/steps/catalog"
)

// compositeTypes are composite step types for the scripts: children side by side, and children in a row.
var compositeTypes = []steps.Type{sweepType, relayType}

// sweep counts as far as each of several numbers says, and adds up.

type sweepConfig struct {
	Data  steps.Artifact `json:"data" kind:"dataset" optional:"true" doc:"Where to start from."`
	To    []int          `json:"to" min:"1" doc:"How far to count, once for each number."`
	Scale float64        `json:"scale" default:"1" doc:"Multiplies the sum. No child knows it."`
	Every int            `json:"checkpoint_every" hcl:"free" default:"10" doc:"Steps between checkpoints."`
	Delay string         `json:"delay" hcl:"free" default:"\"0s\"" doc:"Time that a step takes."`
	Facts bool           `json:"facts" default:"false" doc:"Count one further than the estimate of the data says as well."`
}

var sweepCountType = steps.Type{
	Name: "sweep.count", Doc: "Counts.", Version: 1, Config: countConfig{}, Outputs: countType.Outputs, Estimate: countType.Estimate,
	Check: func(s *steps.Spec) error {
		var c countConfig
		if err := s.Decode(&c); err != nil {
			return err
		}
		if c.To == 666 {
			return steps.Blame("to", "%d is no number to count to", c.To)
		}
		return nil
	},
	Run: func(ctx context.Context, rt *steps.Runtime) error {
		var c countConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		if c.To == 13 {
			return errors.New("13 is unlucky")
		}
		return runCount(ctx, rt)
	},
}

var sweepType = steps.Type{
	Name: "sweep", Doc: "Counts several times.", Version: 1, Config: sweepConfig{},
	Outputs: []steps.Output{
		{Name: "report", Type: "report", Doc: "Who counted how far."},
		{Name: "sum", Type: "number", Doc: "All together."},
	},
	Children: []*steps.Type{&sweepCountType},
	Expand: func(in *steps.EstimateInput) ([]steps.Child, error) {
		var c sweepConfig
		if err := in.Spec.Decode(&c); err != nil {
			return nil, err
		}
		to := c.To
		if c.Facts {
			size, ok := in.Upstream["data"].Facts["vocab_size"]
			if !ok {
				return nil, fmt.Errorf("the size of the vocabulary: %w", steps.ErrNotYet)
			}
			to = append(to, int(size)+1)
		}
		var children []steps.Child
		for i, n := range to {
			if n < 0 {
				return nil, steps.Blame(fmt.Sprintf("to[%d]", i), "nobody counts to %d", n)
			}
			children = append(children, steps.Child{
				Name: strconv.Itoa(n), Type: &sweepCountType, Path: fmt.Sprintf("to[%d]", i),
				Config: countConfig{To: n, Data: c.Data, Every: c.Every, Delay: c.Delay},
			})
		}
		return children, nil
	},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c sweepConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		sum, report := 0.0, ""
		for _, child := range rt.Spec().Children {
			var values struct{ Total float64 }
			if err := child.Decode(&values); err != nil {
				return err
			}
			figures, err := os.ReadFile(filepath.Join(child.Artifacts["model"].Path, "trajectory.jsonl"))
			if err != nil {
				return err
			}
			sum += values.Total
			report += fmt.Sprintf("%s: %g, %d lines\n", child.Name, values.Total, strings.Count(string(figures), "\n"))
		}
		rt.Set("sum", c.Scale*sum)
		return writeOutput(rt, "report", "report.md", report)
	},
}

// relay hands a text from stage to stage, each of which adds to it.

type relayConfig struct {
	Data   steps.Artifact `json:"data" kind:"dataset" doc:"The first text."`
	Stages []relayStage   `json:"stage" hcl:"block" min:"1" doc:"What to add."`
}

type relayStage struct {
	Add string `json:"add" doc:"The text; the white space around it does not count."`
}

type relayStageConfig struct {
	Data steps.Artifact `json:"data" kind:"dataset"`
	relayStage
}

var relayStageType = steps.Type{
	Name: "relay.stage", Doc: "Adds to a text.", Version: 1, Config: relayStageConfig{},
	Outputs: []steps.Output{{Name: "data", Type: "dataset", Doc: "The text."}},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c relayStageConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(c.Data.Path, "text.txt"))
		if err != nil {
			return err
		}
		if c.Add == "gate" {
			return &steps.GateError{Path: "add", Message: "0.5 was wanted and 0.25 was reached"}
		}
		rt.Log("adding %q", c.Add)
		return writeOutput(rt, "data", "text.txt", string(text)+strings.TrimSpace(c.Add))
	},
}

var relayType = steps.Type{
	Name: "relay", Doc: "Adds to a text in stages.", Version: 1, Config: relayConfig{},
	Outputs:  []steps.Output{{Name: "data", Type: "dataset", Doc: "The text."}, {Name: "length", Type: "number", Doc: "Its length."}},
	Children: []*steps.Type{&relayStageType},
	Expand: func(in *steps.EstimateInput) ([]steps.Child, error) {
		var c relayConfig
		if err := in.Spec.Decode(&c); err != nil {
			return nil, err
		}
		var children []steps.Child
		for i, s := range c.Stages {
			child := steps.Child{Name: fmt.Sprint(i + 1), Type: &relayStageType, Path: fmt.Sprintf("stage[%d]", i), Config: relayStageConfig{c.Data, s}}
			children = append(children, child)
			c.Data = child.Output("data")
		}
		return children, nil
	},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		all := rt.Spec().Children
		text, err := os.ReadFile(filepath.Join(all[len(all)-1].Artifacts["data"].Path, "text.txt"))
		if err != nil {
			return err
		}
		rt.Set("length", len(text))
		return writeOutput(rt, "data", "text.txt", string(text))
	},
}

// TestChildTypes holds the step types to what the contract says of children.
func TestChildTypes(t *testing.T) {
	for _, typ := range catalog.Types {
		if (typ.Expand != nil) != (len(typ.Children) > 0) {
			t.Errorf("%s: Expand and Children go together", typ.Name)
		}
		for _, child := range typ.Children {
			if !strings.HasPrefix(child.Name, typ.Name+".") || child.Expand != nil {
				t.Errorf("%s: the child type %s has a name outside of it, or children of its own", typ.Name, child.Name)
			}
			if fields, err := dsl.Fields(child.Config); err != nil || len(fields) == 0 {
				t.Errorf("%s: %v", child.Name, err)
			}
		}
	}
}
