package dsl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// eval evaluates a rule: whether it holds, perhaps unknown, and its message if it does not.
func (r *rule) eval(s *scope) (cty.Value, string, hcl.Diagnostics) {
	unknown := cty.UnknownVal(cty.Bool)
	if r.broken {
		return unknown, "", nil
	}
	if diags := s.localErrors(r.refs); diags.HasErrors() {
		return unknown, "", diags
	}
	ctx := s.context(r.refs)
	v, diags := r.condition.Value(ctx)
	if diags.HasErrors() {
		return unknown, "", s.explain(diags)
	}
	if addr, ok := skippedIn(v); ok {
		return unknown, "", hcl.Diagnostics{s.skippedError(r.condition.Range(), addr)}
	}
	v, _ = v.UnmarkDeep()
	holds, err := convert.Convert(v, cty.Bool)
	if err != nil || holds.IsNull() {
		return unknown, "", hcl.Diagnostics{Error(r.condition.Range(), "The condition is not true or false",
			fmt.Sprintf("condition must be true or false; this is %s.", describe(v)))}
	}
	if r.message == nil {
		return holds, "The condition is false.", nil
	}
	m, diags := r.message.Value(ctx)
	if diags.HasErrors() {
		return unknown, "", s.explain(diags)
	}
	m, _ = m.UnmarkDeep()
	message, err := convert.Convert(m, cty.String)
	if err != nil {
		return unknown, "", hcl.Diagnostics{Error(r.message.Range(), "Wrong type",
			fmt.Sprintf("error_message must be a string; this is %s.", describe(m)))}
	}
	if !message.IsKnown() || message.IsNull() {
		return holds, "The condition is false.", nil
	}
	return holds, message.AsString(), nil
}

// values lists what the references in a condition stand for: "self.loss is 3.2".
func (s *scope) values(e hclsyntax.Expression, ctx *hcl.EvalContext) string {
	var lines []string
	for _, t := range e.Variables() {
		v, diags := t.TraverseAbs(ctx)
		if diags.HasErrors() {
			continue
		}
		if value := shown(v); value != "" {
			lines = append(lines, fmt.Sprintf("%s is %s", text(t), value))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), ", ")
}

// A Requirement is a require block of a step.
type Requirement struct {
	Condition string    // as it is written
	Holds     cty.Value // bool, unknown while something that it refers to is
	Message   string    // what is wrong, if it does not hold
}

// Requirements evaluates the step's require blocks with what is known. A condition that cannot be evaluated is unknown.
func (st *Step) Requirements(known Known) []Requirement {
	s := *st.program.scope(known, nil)
	s.each, s.self = st.each, st
	var all []Requirement
	for _, r := range st.block.rules {
		if r.broken {
			continue
		}
		found := Requirement{Holds: cty.UnknownVal(cty.Bool)}
		place := r.condition.Range()
		found.Condition = strings.Join(strings.Fields(string(place.SliceBytes(st.program.source.texts[place.Filename]))), " ")
		if holds, message, bad := r.eval(&s); !bad.HasErrors() && holds.IsKnown() {
			found.Holds = holds
			if holds.False() {
				found.Message = message
			}
		}
		all = append(all, found)
	}
	return all
}

// CheckRequire evaluates the step's require blocks, with its own outputs among what is known, and returns one error
// for each that does not hold. What is not known yet is not an error.
func (st *Step) CheckRequire(known Known) hcl.Diagnostics {
	return sorted(st.checkRequire(st.program.scope(known, nil), true))
}

// checkRequire evaluates the require blocks. Before a run, only what makes a condition impossible to evaluate is an
// error.
func (st *Step) checkRequire(shared *scope, ran bool) hcl.Diagnostics {
	s := *shared
	s.each, s.self = st.each, st
	var diags hcl.Diagnostics
	for _, r := range st.block.rules {
		holds, message, bad := r.eval(&s)
		diags = append(diags, notOn(bad, st.block.badPlaces())...)
		if !ran || !holds.IsKnown() || holds.True() {
			continue
		}
		if values := s.values(r.condition, s.context(r.refs)); values != "" {
			message += "\n\nHere " + values + "."
		}
		diags = append(diags, Error(r.condition.Range(), "A requirement does not hold", message))
	}
	return diags
}
