package dsl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// skippedIn finds the null of a skipped step in a value. What a recipe makes of it, a comparison with null for
// instance, is fine.
func skippedIn(v cty.Value) (Address, bool) {
	plain, marked := v.UnmarkDeepWithPaths()
	for _, m := range marked {
		part, err := m.Path.Apply(plain)
		if err != nil || !part.IsNull() {
			continue
		}
		for mark := range m.Marks {
			if s, ok := mark.(skipMark); ok {
				return s.addr, true
			}
		}
	}
	return Address{}, false
}

func (s *scope) skippedError(r hcl.Range, addr Address) *hcl.Diagnostic {
	st := s.p.steps[addr]
	return relate(Error(r, "A skipped step is used", fmt.Sprintf(
		"%s is skipped because its when is false, so it has no outputs. Use it only where the same condition holds: with a when here, or as %s.",
		addr, "CONDITION ? "+addr.String()+" : OTHER")), st.Range, addr.String()+" is declared here")
}

// explain completes HCL's own messages: with what was probably meant, and with the reason why a value is null.
func (s *scope) explain(diags hcl.Diagnostics) hcl.Diagnostics {
	out := make(hcl.Diagnostics, 0, len(diags))
	for _, d := range diags {
		if d.Subject != nil && strings.Contains(d.Summary+d.Detail, "null") {
			if skipped := s.skippedAmong(d.Expression); skipped != nil {
				out = append(out, s.skippedError(d.Expression.Range(), *skipped))
				continue
			}
		}
		if before, _, panicked := strings.Cut(d.Detail, "panic in function implementation"); panicked {
			d.Detail = before + "it cannot take these arguments." // without the stack
		}
		if d.Summary == "Unsupported attribute" && d.EvalContext != nil {
			s.explainAttribute(d)
		}
		out = append(out, d)
	}
	return out
}

func (s *scope) skippedAmong(e hcl.Expression) *Address {
	if s.loose {
		return nil
	}
	for _, a := range s.stepsIn(e) {
		if v, ran := s.known[a.String()]; ran && v.IsNull() {
			return &a
		}
	}
	return nil
}

// explainAttribute adds the attributes that there are.
func (s *scope) explainAttribute(d *hcl.Diagnostic) {
	var v cty.Value
	var steps hcl.Traversal
	switch e := d.Expression.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		v, steps = d.EvalContext.Variables[e.Traversal.RootName()], e.Traversal[1:]
	case *hclsyntax.RelativeTraversalExpr:
		v, _ = e.Source.Value(d.EvalContext)
		steps = e.Traversal
	}
	for _, step := range steps {
		if v == cty.NilVal {
			return
		}
		attr, ok := step.(hcl.TraverseAttr)
		v, _ = v.Unmark()
		if ok && v.Type().IsObjectType() && !v.Type().HasAttribute(attr.Name) {
			names := slices.Sorted(maps.Keys(v.Type().AttributeTypes()))
			d.Summary = "Unknown attribute"
			d.Detail = fmt.Sprintf("There is no attribute %q here.%s", attr.Name, didYouMean(attr.Name, names, "attributes"))
			return
		}
		next, diags := step.TraversalStep(v)
		if diags.HasErrors() {
			return
		}
		v = next
	}
}
