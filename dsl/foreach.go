package dsl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// forEach evaluates the for_each of a block: a map or object, whose keys become the keys of the steps, or a list or
// set of distinct strings.
func (p *Program) forEach(b *stepBlock) ([]eachValue, hcl.Diagnostics) {
	refs, diags := p.resolve(b.forEach, allowed{where: "for_each"})
	diags = append(diags, p.stepsBehind(refs)...)
	if diags.HasErrors() {
		return nil, diags
	}
	s := p.scope(nil, nil)
	if diags := s.localErrors(refs); diags.HasErrors() {
		return nil, nil // reported where the local value is
	}
	ctx := s.context(refs)
	v, diags := b.forEach.Value(ctx)
	if diags.HasErrors() {
		return nil, s.explain(diags)
	}
	v, _ = v.UnmarkDeep()
	where := b.forEach.Range()
	t := v.Type()
	switch {
	case v.IsNull():
		return nil, hcl.Diagnostics{Error(where, "for_each is null", "for_each must be a map or a list of strings; it is null.")}
	case !v.IsKnown():
		return nil, hcl.Diagnostics{Error(where, "for_each is not known",
			"for_each must be known before any step runs. Use variables, local values and functions here.")}
	case t.IsMapType() || t.IsObjectType():
		var each []eachValue
		for it := v.ElementIterator(); it.Next(); {
			key, value := it.Element()
			each = append(each, eachValue{key: key.AsString(), value: value})
		}
		return each, nil
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		return eachString(v, where)
	default:
		return nil, hcl.Diagnostics{Error(where, "Wrong type",
			fmt.Sprintf("for_each must be a map or a list of strings; this is %s.", describe(v)))}
	}
}

func eachString(v cty.Value, where hcl.Range) ([]eachValue, hcl.Diagnostics) {
	var each []eachValue
	seen := map[string]bool{}
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		if element.Type() != cty.String || element.IsNull() || !element.IsKnown() {
			return nil, hcl.Diagnostics{Error(where, "Wrong type", fmt.Sprintf(
				"for_each takes a map, or a list of strings: its elements become the keys of the steps. One element is %s. "+
					"Write a map from keys to values, or convert the elements with tostring.", describe(element)))}
		}
		key := element.AsString()
		if seen[key] {
			return nil, hcl.Diagnostics{Error(where, "Duplicate key",
				fmt.Sprintf("for_each names %q twice, and every key makes one step. Remove one, or use distinct(…).", key))}
		}
		seen[key] = true
		each = append(each, eachValue{key: key, value: element})
	}
	return each, nil
}

// stepsBehind reports the steps that a for_each would need through local values.
func (p *Program) stepsBehind(refs []ref) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, r := range refs {
		if r.kind != localRef {
			continue
		}
		for _, l := range p.localsOf(r) {
			if len(l.steps) == 0 {
				continue
			}
			diags = append(diags, relate(Error(r.where, "for_each depends on a step", fmt.Sprintf(
				"for_each must be known before any step runs, and local.%s depends on the output of %s. Use variables, local values and functions here.",
				l.name, l.steps[0].address)), l.where, "local."+l.name+" is declared here"))
			break
		}
	}
	return diags
}
