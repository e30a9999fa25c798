package plan

import (
	"slices"

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
	_, more := settings(program)
	diags = append(diags, more...)
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
	more, err = p.validateChildren()
	return append(diags, more...), err
}

// validateChildren expands the composite steps that can be, and checks the children.
func (p *Plan) validateChildren() (hcl.Diagnostics, error) {
	var diags hcl.Diagnostics
	for _, s := range slices.Clone(p.Steps) {
		if s.Type.Expand == nil || s.Instance == nil || s.Instance.When.IsKnown() && s.Instance.When.False() {
			continue
		}
		more, err := p.Predictor.expand(s)
		diags = append(diags, more...)
		if err != nil {
			return diags, err
		}
		for _, c := range s.Children {
			more, err := p.Predictor.checkEarly(c)
			diags = append(diags, more...)
			if err != nil {
				return diags, err
			}
		}
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
