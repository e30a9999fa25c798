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

// deepest is how many local values are looked into one behind the other: choices among choices multiply.
const deepest = 3

// artifacts evaluates an attribute that holds an artifact, or a list or map of them. A step may stand for its one
// output of the right kind. The expression is looked into, so that a choice which cannot be made yet is checked in
// both branches, and an error underlines the element that is wrong.
func (d *decoder) artifacts(t cty.Type, e hclsyntax.Expression, ctx *hcl.EvalContext, at place) cty.Value {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return d.artifacts(t, e.Expression, ctx, at)
	case *hclsyntax.ScopeTraversalExpr:
		if l := d.scope.p.localOf(e.Traversal); l != nil && !l.cyclic && at.depth < deepest {
			if _, diags := d.scope.local(l.name); !diags.HasErrors() {
				at.depth++
				return d.artifacts(t, l.expr, d.scope.context(l.refs), at)
			}
		}
	case *conditional:
		if v, ok := d.choice(t, e, ctx, at); ok {
			return v
		}
	case *hclsyntax.TupleConsExpr:
		if t.IsListType() {
			return d.artifactTuple(t, e, ctx, at)
		}
	}
	v, diags := e.Value(ctx)
	if diags.HasErrors() {
		if !d.trial {
			d.diags = append(d.diags, d.scope.explain(diags)...)
		}
		return cty.UnknownVal(t)
	}
	return d.artifactsIn(v, t, e, at)
}

// choice follows the branch of a conditional that is taken, or tries both while that is not known.
func (d *decoder) choice(t cty.Type, c *conditional, ctx *hcl.EvalContext, at place) (cty.Value, bool) {
	condition, diags := c.Condition.Value(ctx)
	condition, marks := condition.UnmarkDeep()
	b, err := convert.Convert(condition, cty.Bool)
	if diags.HasErrors() || err != nil || b.IsNull() {
		return cty.NilVal, false // evaluating the whole gives the message
	}
	if b.IsKnown() {
		chosen := c.TrueResult
		if b.False() {
			chosen = c.FalseResult
		}
		return d.artifacts(t, chosen, ctx, at.on(chosen)), true
	}
	trial := *d
	trial.trial = true
	trial.inst = newInstance(d.inst.Step) // what a branch notes about artifacts holds only if it is taken
	for _, branch := range []hclsyntax.Expression{c.TrueResult, c.FalseResult} {
		trial.artifacts(t, branch, ctx, at.on(branch))
	}
	d.diags = trial.diags
	unknown := cty.UnknownVal(t)
	d.waitFor(unknown, marks, c.Condition)
	return unknown, true
}

func (d *decoder) artifactTuple(t cty.Type, e *hclsyntax.TupleConsExpr, ctx *hcl.EvalContext, at place) cty.Value {
	d.checkBounds(float64(len(e.Exprs)), "length", at)
	if len(e.Exprs) == 0 {
		return cty.ListValEmpty(t.ElementType())
	}
	elements := make([]cty.Value, len(e.Exprs))
	for i, inner := range e.Exprs {
		here := at.element(fmt.Sprint(i), inner)
		elements[i] = d.artifacts(t.ElementType(), inner, ctx, here)
		elements[i] = d.notNull(elements[i], here)
	}
	return cty.ListVal(elements)
}

// notNull reports a null among the elements of a list or map.
func (d *decoder) notNull(v cty.Value, at place) cty.Value {
	if !v.IsNull() {
		return v
	}
	if !d.trial {
		d.errorf(at.where, "Null in a list", "%s has no value. Leave the element out.", at.name())
	}
	return cty.UnknownVal(v.Type())
}

// artifactsIn takes the artifacts out of a value that has been evaluated.
func (d *decoder) artifactsIn(v cty.Value, t cty.Type, e hclsyntax.Expression, at place) cty.Value {
	if !t.IsListType() && !t.IsMapType() {
		return d.artifact(v, t, e, at)
	}
	if addr, ok := skippedIn(v); ok && v.IsNull() {
		return d.skipped(addr, t, at)
	}
	v, marks := v.Unmark()
	switch from := v.Type(); {
	case v.IsNull():
		return cty.NullVal(t)
	case !v.IsKnown() && (from == cty.DynamicPseudoType || from.IsCollectionType()):
		d.waitFor(v, marks, e)
		return cty.UnknownVal(t)
	case t.IsListType() && (from.IsTupleType() || from.IsListType() || from.IsSetType()):
	case t.IsMapType() && from.IsMapType():
	case t.IsMapType() && from.IsObjectType() && d.scope.stepIn(e) == nil:
	default:
		d.errorf(at.where, "Wrong type", "%s expects %s; %s", at.name(), withArticle(typeName(t)), d.listRemedy(v, t, e))
		return cty.UnknownVal(t)
	}
	d.checkBounds(float64(v.LengthInt()), "length", at)
	list, entries := []cty.Value{}, map[string]cty.Value{}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if v.Type().IsSetType() {
			key = cty.NumberIntVal(int64(len(list)))
		}
		here := at.element(keyText(key), nil)
		element = d.notNull(d.artifact(element.WithMarks(marks), t.ElementType(), e, here), here)
		if t.IsMapType() {
			entries[key.AsString()] = element
		} else {
			list = append(list, element)
		}
	}
	switch {
	case t.IsMapType() && len(entries) == 0:
		return cty.MapValEmpty(t.ElementType())
	case t.IsMapType():
		return cty.MapVal(entries)
	case len(list) == 0:
		return cty.ListValEmpty(t.ElementType())
	default:
		return cty.ListVal(list)
	}
}

// listRemedy says how to write a list or map of artifacts.
func (d *decoder) listRemedy(v cty.Value, t cty.Type, e hclsyntax.Expression) string {
	text := strings.TrimSpace(string(e.Range().SliceBytes(d.scope.p.source.texts[e.Range().Filename])))
	instances := v.Type().IsObjectType() && d.scope.blockIn(e) != nil && d.scope.blockIn(e).forEach != nil
	switch {
	case t.IsListType() && instances:
		return fmt.Sprintf("%s has one value per key. Write values(%s).", text, text)
	case t.IsListType() && (v.Type().IsObjectType() || isArtifactType(v.Type())):
		return fmt.Sprintf("%s is one. Write [%s].", text, text)
	default:
		return fmt.Sprintf("this is %s.", describe(v))
	}
}

// artifact takes one artifact of a kind out of a value: the artifact itself, or the only such output of a step.
func (d *decoder) artifact(v cty.Value, t cty.Type, e hclsyntax.Expression, at place) cty.Value {
	if addr, ok := skippedIn(v); ok && v.IsNull() {
		return d.skipped(addr, t, at)
	}
	v, marks := v.Unmark()
	switch from := v.Type(); {
	case v.IsNull():
		return cty.NullVal(t)
	case from.Equals(t):
		d.note(v, marks, e, at)
		return v
	case from.IsObjectType():
		var outputs []string
		for name, of := range from.AttributeTypes() {
			if of.Equals(t) {
				outputs = append(outputs, name)
			}
		}
		if len(outputs) == 1 { // of an unknown object it is unknown
			return d.artifact(v.GetAttr(outputs[0]).WithMarks(marks), t, e, at)
		}
		slices.Sort(outputs)
		d.wrongKind(v, marks, t, e, outputs, at)
	case from == cty.DynamicPseudoType:
		d.note(cty.UnknownVal(t), marks, e, at)
	default:
		d.wrongKind(v, marks, t, e, nil, at)
	}
	return cty.UnknownVal(t)
}

func (d *decoder) skipped(addr Address, t cty.Type, at place) cty.Value {
	if !d.trial {
		d.diags = append(d.diags, d.scope.skippedError(at.where, addr))
	}
	return cty.UnknownVal(t)
}

// note remembers where an artifact comes from, for Instance.Upstream and Instance.Sources.
func (d *decoder) note(v cty.Value, marks cty.ValueMarks, e hclsyntax.Expression, at place) {
	d.waitFor(v, marks, e)
	if _, ok := d.inst.ranges[at.path]; !ok {
		d.inst.ranges[at.path] = at.where
	}
	known, ok := AsArtifact(v)
	if ok {
		d.inst.upstream[at.path] = known
	}
	if from, one := fromIn(marks); one {
		d.inst.sources[at.path] = from.addr
	} else if from, err := ParseAddress(known.Step); ok && err == nil {
		d.inst.sources[at.path] = from
	} else if steps := d.scope.stepsIn(e); len(steps) == 1 {
		d.inst.sources[at.path] = steps[0]
	}
}

// wrongKind reports an artifact, or a step, of another kind than its attribute wants.
func (d *decoder) wrongKind(v cty.Value, marks cty.ValueMarks, t cty.Type, e hclsyntax.Expression, outputs []string, at place) {
	want := t.FriendlyName()
	_, deep := v.UnmarkDeep()
	from, one := fromIn(marks, deep)
	step := d.scope.p.Step(from.addr)
	if !one || step == nil {
		step = d.scope.stepIn(e)
	}
	b := d.scope.blockIn(e)
	switch {
	case b != nil && b.forEach != nil && v.Type().IsObjectType() && len(outputs) == 0 && (step == nil || !isOutputs(v, step)):
		d.diags = append(d.diags, relate(Error(at.where, "A key is missing", fmt.Sprintf(
			"%s expects %s; %s has for_each, so it has one per key. Write %s[\"KEY\"].",
			at.name(), withArticle(want), b.address, b.address)), b.header(), b.address.String()+" is declared here"))
	case step == nil || !isArtifactType(v.Type()) && !v.Type().IsObjectType():
		d.errorf(at.where, "Wrong type", "%s expects %s; %s is %s.%s", at.name(), withArticle(want), d.named(e), describe(v),
			d.givers(want))
	case len(outputs) > 1:
		for i := range outputs {
			outputs[i] = step.Address.String() + "." + outputs[i]
		}
		d.diags = append(d.diags, relate(Error(at.where, "More than one artifact fits", fmt.Sprintf(
			"%s expects %s, and %s has several. Write one of %s.", at.name(), withArticle(want), step.Address,
			strings.Join(outputs, ", "))), step.Range, step.Address.String()+" is declared here"))
	default:
		d.diags = append(d.diags, relate(Error(at.where, "Wrong kind of artifact", fmt.Sprintf(
			"%s expects %s; %s is %s.%s", at.name(), withArticle(want), step.Address, nature(v, step),
			d.givers(want))), step.Range, step.Address.String()+" is declared here"))
	}
}

// isOutputs reports whether a value is the object of a step's outputs.
func isOutputs(v cty.Value, step *Step) bool {
	return len(step.Type.Outputs) > 0 && v.Type().HasAttribute(step.Type.Outputs[0].Name)
}

// nature says what a step, or an output of it, is: "a dataset", "a step without artifacts".
func nature(v cty.Value, step *Step) string {
	if isArtifactType(v.Type()) {
		return withArticle(v.Type().FriendlyName())
	}
	var kinds []string
	for _, o := range step.Type.Outputs {
		if isArtifactType(o.Type) && !slices.Contains(kinds, withArticle(o.Type.FriendlyName())) {
			kinds = append(kinds, withArticle(o.Type.FriendlyName()))
		}
	}
	if len(kinds) == 0 {
		return "a step without artifacts"
	}
	return strings.Join(kinds, " and ")
}

// named is how a message speaks of an expression: a reference by its text, others as "this".
func (d *decoder) named(e hclsyntax.Expression) string {
	if t, ok := e.(*hclsyntax.ScopeTraversalExpr); ok {
		return text(t.Traversal)
	}
	return "this"
}

// givers lists some steps that would fit where an artifact of a kind is expected.
func (d *decoder) givers(kind string) string {
	const enough = 5
	var names []string
	for _, s := range d.scope.p.Steps {
		for _, o := range s.Type.Outputs {
			fits := o.Type.Equals(ArtifactType(kind)) && s.block != d.inst.Step.block
			if fits && len(names) < enough && !slices.Contains(names, s.Address.String()) {
				names = append(names, s.Address.String())
			}
		}
	}
	if len(names) == 0 {
		return fmt.Sprintf(" No other step of this pipeline gives %s.", withArticle(kind))
	}
	return fmt.Sprintf(" Steps that give %s: %s.", withArticle(kind), strings.Join(names, ", "))
}
