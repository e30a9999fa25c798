package plan

import (
	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/steps"
)

// Validate lets the step types check every configuration that is known without running anything. It reads no state and
// no data.
func Validate(program *dsl.Program, types []steps.Type) (hcl.Diagnostics, error) {
	p := newPlan(program, State{}, Options{Types: withoutFiles(types)})
	diags, err := p.match()
	if err != nil {
		return diags, err
	}
	for _, s := range p.Steps {
		instance, more := s.Program.Eval(dsl.Known{})
		diags = append(diags, more...)
		if more.HasErrors() {
			continue
		}
		s.Instance = instance
		if instance.When.IsKnown() && instance.When.False() {
			continue
		}
		more, err := p.Predictor.checkEarly(s)
		if err != nil {
			return diags, err
		}
		diags = append(diags, more...)
	}
	return diags, nil
}

// withoutFiles leaves out what reads the disk.
func withoutFiles(types []steps.Type) []steps.Type {
	out := append([]steps.Type(nil), types...)
	for i := range out {
		out[i].Files = nil
	}
	return out
}
