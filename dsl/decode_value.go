package dsl

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// value evaluates an attribute that is no artifact and converts it to the type of its field.
func (d *decoder) value(e hclsyntax.Expression, at place) cty.Value {
	v, diags := e.Value(d.ctx)
	if diags.HasErrors() {
		d.diags = append(d.diags, d.scope.explain(diags)...)
		return cty.UnknownVal(at.field.Type)
	}
	if addr, ok := skippedIn(v); ok {
		d.diags = append(d.diags, d.scope.skippedError(at.where, addr))
		return cty.UnknownVal(at.field.Type)
	}
	v, marks := v.UnmarkDeep()
	converted, err := convert.Convert(v, at.field.Type)
	if err != nil {
		d.errorf(at.where, "Wrong type", "%s must be %s; %s", at.name(), withArticle(typeName(at.field.Type)),
			d.mismatch(v, e, err))
		return cty.UnknownVal(at.field.Type)
	}
	d.waitFor(converted, marks, e)
	if !converted.IsNull() {
		d.check(converted, at.field.goType, e, at)
	}
	return converted
}

// mismatch says what a value is that is not what its attribute wants.
func (d *decoder) mismatch(v cty.Value, e hclsyntax.Expression, err error) string {
	step := d.scope.stepIn(e)
	if step == nil || !v.Type().IsObjectType() {
		text := fmt.Sprintf("this is %s.", describe(v))
		if path := (cty.PathError{}); errors.As(err, &path) && len(path.Path) > 0 {
			text = fmt.Sprintf("at %s, %v.", formatPath(path.Path), path)
		}
		return text
	}
	var outputs []string
	for _, o := range step.Type.Outputs {
		outputs = append(outputs, step.Address.String()+"."+o.Name)
	}
	return fmt.Sprintf("%s is a step. Write one of its outputs: %s.", step.Address, strings.Join(outputs, ", "))
}

// check holds a value against the bounds of its field. What is unknown is checked once it is known.
func (d *decoder) check(v cty.Value, t reflect.Type, e hclsyntax.Expression, at place) {
	if !v.IsKnown() {
		return
	}
	if v.IsNull() {
		d.errorf(at.where, "Null in a list", "%s has no value. Leave the element out.", at.name())
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch ty := v.Type(); {
	case ty == cty.String:
		d.checkString(v.AsString(), at)
	case ty == cty.Number:
		d.checkNumber(v.AsBigFloat(), t, at)
	case ty.IsListType() || ty.IsMapType():
		d.checkBounds(float64(v.LengthInt()), "length", at)
		if t.Kind() == reflect.Array && v.LengthInt() != t.Len() {
			d.errorf(at.where, "Wrong number of elements", "%s takes %d; it has %d.", at.name(), t.Len(), v.LengthInt())
		}
		elements, _ := e.(*hclsyntax.TupleConsExpr)
		unbounded := *at.field // the bounds are those of the length
		unbounded.min, unbounded.max = nil, nil
		at.field = &unbounded
		for it := v.ElementIterator(); it.Next(); {
			key, element := it.Element()
			var inner hclsyntax.Expression
			if i, ok := intKey(key); ok && elements != nil && i < len(elements.Exprs) {
				inner = elements.Exprs[i]
			}
			d.check(element, t.Elem(), inner, at.element(keyText(key), inner))
		}
	}
}

func intKey(key cty.Value) (int, bool) {
	if key.Type() != cty.Number {
		return 0, false
	}
	i, _ := key.AsBigFloat().Int64()
	return int(i), true
}

func keyText(key cty.Value) string {
	if i, ok := intKey(key); ok {
		return fmt.Sprint(i)
	}
	return fmt.Sprintf("%q", key.AsString())
}

func (d *decoder) checkString(s string, at place) {
	of := at.field.OneOf
	if len(of) > 0 && !slices.Contains(of, s) {
		d.errorf(at.where, "Not one of the choices", "%s cannot be %q.%s", at.name(), s, didYouMean(s, of, "choices"))
	}
	if len(of) == 0 {
		d.checkBounds(float64(len(s)), "length", at)
	}
}

func (d *decoder) checkNumber(v *big.Float, t reflect.Type, at place) {
	switch {
	case v.IsInf():
		d.errorf(at.where, "Not a finite number", "%s is infinite: a number in it is too large, or something is divided by 0.", at.name())
		return
	case isInteger(t):
		if !v.IsInt() {
			d.errorf(at.where, "Not a whole number", "%s must be a whole number; it is %s.", at.name(), numberText(v))
			return
		}
		if !fits(v, t) {
			d.errorf(at.where, "Number out of range", "%s must be %s; it is %s.", at.name(), rangeOf(t), numberText(v))
			return
		}
	case t.Kind() == reflect.Float64 || t.Kind() == reflect.Float32:
		if f, _ := v.Float64(); math.IsInf(f, 0) {
			d.errorf(at.where, "Number out of range", "%s is %s, more than a 64-bit number holds.", at.name(), v.Text('g', 10))
			return
		}
	}
	f, _ := v.Float64()
	d.checkBounds(f, "", at)
}

func fits(v *big.Float, t reflect.Type) bool {
	if v.MantExp(nil) > 65 { // before a number like 1e999999 is written out
		return false
	}
	n, _ := v.Int(nil)
	if t.Kind() >= reflect.Uint {
		return n.IsUint64() && !reflect.Zero(t).OverflowUint(n.Uint64())
	}
	return n.IsInt64() && !reflect.Zero(t).OverflowInt(n.Int64())
}

// rangeOf says which whole numbers a Go type holds.
func rangeOf(t reflect.Type) string {
	if t.Kind() >= reflect.Uint {
		return fmt.Sprintf("between 0 and %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	}
	most := int64(math.MaxInt64) >> (64 - t.Bits())
	return fmt.Sprintf("between %d and %d", -most-1, most)
}

// checkBounds holds a number, or the length of something, against min and max.
func (d *decoder) checkBounds(v float64, what string, at place) {
	f := at.field
	if (f.min == nil || v >= *f.min) && (f.max == nil || v <= *f.max) {
		return
	}
	subject, shown := at.name(), numberText(big.NewFloat(v))
	if what != "" {
		subject = "the " + what + " of " + subject
	}
	var limits string
	switch {
	case f.Min != "" && f.Max != "":
		limits = fmt.Sprintf("between %s and %s", f.Min, f.Max)
	case f.Min != "":
		limits = "at least " + f.Min
	default:
		limits = "at most " + f.Max
	}
	d.errorf(at.where, "Out of bounds", "%s must be %s; it is %s.", capitalized(subject), limits, shown)
}

func capitalized(s string) string {
	if strings.HasPrefix(s, "the ") {
		return "T" + s[1:]
	}
	return s
}

// waitFor notes the steps whose outputs an unknown value waits for.
func (d *decoder) waitFor(v cty.Value, marks cty.ValueMarks, e hcl.Expression) {
	if v.IsWhollyKnown() {
		return
	}
	found := false
	for mark := range marks {
		switch m := mark.(type) {
		case waitMark:
			d.inst.waitsFor(m.addr)
			found = true
		case unsetMark:
			d.inst.needs(m.name)
			found = true
		}
	}
	if found {
		return
	}
	// Some functions drop the marks; then every step and variable that the expression refers to may be the one.
	for _, name := range d.scope.p.unsetIn(e) {
		d.inst.needs(name)
	}
	for _, addr := range d.scope.stepsIn(e) {
		if !d.scope.has(addr) {
			d.inst.waitsFor(addr)
		}
	}
}
