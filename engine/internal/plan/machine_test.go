package plan

import (
	"context"
	"errors"
	"strings"
	"testing"

	"athanor/steps"
)

var workType = steps.Type{
	Name: "work", Doc: "Depends on the machine.", Version: 1,
	Config: struct {
		How string `json:"how" default:"\"auto\"" one_of:"auto,well,fast" hcl:"machine" doc:"How."`
	}{},
	Run: func(context.Context, *steps.Runtime) error { return nil },
}

// TestMachine: the key holds what "auto" stands for, and what the machine cannot do is an error at its line.
func TestMachine(t *testing.T) {
	st := state(t)
	plan := func(text string, offers ...string) (*Plan, string) {
		p, diags, err := Make(program(t, t.TempDir(), text), st, Options{
			Types: []steps.Type{textType, workType},
			Offers: func(attribute string) ([]string, error) {
				if attribute != "how" {
					return nil, errors.New("asked for " + attribute)
				}
				return offers, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return p, diags.Error()
	}
	key := func(text string, offers ...string) string {
		p, problem := plan(text, offers...)
		if p == nil {
			t.Fatal(problem)
		}
		return p.Steps[0].Key
	}
	fast, well := key(`work "a" {}`, "fast", "well"), key(`work "a" {}`, "well")
	if fast == well {
		t.Error("machines that offer different things share a key")
	}
	if got := key(`work "a" { how = "well" }`, "fast", "well"); got != well {
		t.Error("the key of what auto stands for differs from that of the same written out")
	}
	p, _ := plan(`work "a" {}`, "fast", "well")
	if got := p.Steps[0].Machine["how"]; got != "fast" {
		t.Errorf("the plan says %q", got)
	}
	if _, problem := plan("\n\nwork \"a\" { how = \"fast\" }", "well"); !strings.Contains(problem, `p.hcl:3,`) || !strings.Contains(problem, `offers well alone`) {
		t.Errorf("what the machine does not offer: %s", problem)
	}
}
