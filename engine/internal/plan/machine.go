package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
)

// # What the machine decides
//
// The key of a step names no device, and the same recipe may run on several kinds of machine. Where a result depends on
// what the machine can do, an attribute says so (hcl:"machine"): its value "auto" stands for the best that the machine
// offers, and is replaced before anything is made of the configuration. So the key, the worker and the reason of a later
// plan see what it stood for, and no machine is served a result that it would not have made.

// auto is the value that the machine decides.
const auto = "auto"

// offer lists what the machine can do about an attribute. It is asked once.
func (p *Predictor) offer(attribute string) ([]string, error) {
	if p.plan.options.Offers == nil {
		return nil, nil
	}
	list, asked := p.offers[attribute]
	if !asked {
		var err error
		if list, err = p.plan.options.Offers(attribute); err != nil {
			return nil, err
		}
		p.offers[attribute] = list
	}
	return list, nil
}

// settle replaces "auto".
func (p *Predictor) settle(attribute, value string) (string, error) {
	if value != auto {
		return value, nil
	}
	list, err := p.offer(attribute)
	if err != nil || len(list) == 0 {
		return value, err
	}
	return list[0], nil
}

// askMachine sets what the machine decides about a step, and says what the recipe asks for that it cannot do.
func (p *Predictor) askMachine(s *Step) (hcl.Diagnostics, error) {
	fields, err := p.fieldsOf(s.Type)
	if err != nil {
		return nil, err
	}
	s.Machine = nil
	var diags hcl.Diagnostics
	for _, f := range fields {
		if !f.Machine {
			continue
		}
		v := s.Instance.Config.GetAttr(f.Name)
		if !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
			continue
		}
		value, err := p.settle(f.Name, v.AsString())
		if err != nil {
			return nil, err
		}
		offers, err := p.offer(f.Name)
		if err != nil {
			return nil, err
		}
		if len(offers) > 0 && !slices.Contains(offers, value) {
			diags = append(diags, dsl.Error(s.Where(f.Name), "Not offered by this machine",
				fmt.Sprintf("%s: %s is %q, and the device of this machine offers %s alone. Write %s = %q for the best that each machine has, or run the step on another.",
					s.Name(), f.Name, value, strings.Join(offers, " and "), f.Name, auto)))
			continue
		}
		if s.Machine == nil {
			s.Machine = map[string]string{}
		}
		s.Machine[f.Name] = value
	}
	return diags, nil
}
