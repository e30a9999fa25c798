package dsl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// MarshalOptions say what MarshalConfig writes.
type MarshalOptions struct {
	Key          bool               // leave out fields marked free or path
	AllowUnknown bool               // leave out unknown parts; without it they are an error
	Artifact     func(Artifact) any // what stands for an artifact; {"kind", "digest"} when nil

	// Machine decides what is written for the value of an attribute that depends on the machine; the value itself when nil.
	Machine func(attribute, value string) (string, error)
}

// errUnknown says that a part of a value is not known.
var errUnknown = errors.New("not known yet")

// MarshalConfig writes the value of a configuration ([Instance.Config]) as canonical JSON: the same value gives the
// same bytes. Names are sorted, there are no spaces, attributes that are null are left out. The JSON decodes into the
// struct that the fields come from: whole numbers are written as such, others as the shortest text that gives the same
// float64.
func MarshalConfig(v cty.Value, fields []Field, o MarshalOptions) ([]byte, error) {
	m := &marshaler{o: o}
	object, err := m.block(v, fields)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out) // sorts the keys of maps
	enc.SetEscapeHTML(false)
	if err := enc.Encode(object); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return bytes.TrimRight(out.Bytes(), "\n"), nil
}

type marshaler struct{ o MarshalOptions }

// left reports an unknown part that may be left out.
func (m *marshaler) left(err error) bool { return m.o.AllowUnknown && errors.Is(err, errUnknown) }

func (m *marshaler) block(v cty.Value, fields []Field) (map[string]any, error) {
	if !v.IsKnown() {
		return nil, errUnknown
	}
	out := map[string]any{}
	for _, f := range fields {
		part := v.GetAttr(f.Name)
		if m.o.Key && (f.Free || f.Path) || part.IsKnown() && part.IsNull() {
			continue
		}
		value, err := m.field(part, f)
		if m.left(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out[f.Name] = value
	}
	return out, nil
}

func (m *marshaler) field(v cty.Value, f Field) (any, error) {
	switch {
	case f.Machine && m.o.Machine != nil && v.IsKnown() && !v.IsNull():
		return m.o.Machine(f.Name, v.AsString())
	case !f.Block:
		return m.value(v, f.goType)
	case !f.Repeated:
		return m.block(v, f.Fields)
	case !v.IsKnown():
		return nil, errUnknown
	}
	blocks := []any{}
	for _, element := range v.AsValueSlice() {
		b, err := m.block(element, f.Fields)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// value writes the value of an attribute. T is its Go type, or nil inside an attribute of any type.
func (m *marshaler) value(v cty.Value, t reflect.Type) (any, error) {
	if !v.IsKnown() {
		return nil, errUnknown
	}
	if v.IsNull() {
		return nil, nil
	}
	if t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch ty := v.Type(); {
	case isArtifactType(ty):
		a, _ := AsArtifact(v)
		if m.o.Artifact != nil {
			return m.o.Artifact(a), nil
		}
		return map[string]string{"kind": a.Kind, "digest": a.Digest}, nil
	case ty == cty.String:
		return v.AsString(), nil
	case ty == cty.Bool:
		return v.True(), nil
	case ty == cty.Number:
		return number(v.AsBigFloat(), t), nil
	case ty.IsListType() || ty.IsTupleType() || ty.IsSetType():
		return m.list(v, inner(t))
	case ty.IsMapType() || ty.IsObjectType():
		return m.entries(v, inner(t))
	default:
		return nil, fmt.Errorf("%s cannot be written", withArticle(typeName(ty)))
	}
}

// list is unknown as a whole when one element is: a shorter list would say something else.
func (m *marshaler) list(v cty.Value, t reflect.Type) (any, error) {
	out := []any{}
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		value, err := m.value(element, t)
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

// entries is a map, unknown as a whole like a list.
func (m *marshaler) entries(v cty.Value, t reflect.Type) (any, error) {
	out := map[string]any{}
	for it := v.ElementIterator(); it.Next(); {
		key, element := it.Element()
		value, err := m.value(element, t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key.AsString(), err)
		}
		out[key.AsString()] = value
	}
	return out, nil
}

func inner(t reflect.Type) reflect.Type {
	if t == nil || !slices.Contains([]reflect.Kind{reflect.Slice, reflect.Array, reflect.Map}, t.Kind()) {
		return nil
	}
	return t.Elem()
}

// number is a number as JSON: whole where the Go type wants that, or where nothing is lost by it.
func number(v *big.Float, t reflect.Type) any {
	whole := v.IsInt() && v.MantExp(nil) <= 64
	if whole && (t == nil || isInteger(t) || t.Kind() == reflect.Interface) {
		return json.Number(v.Text('f', 0))
	}
	f, _ := v.Float64()
	if t != nil && t.Kind() == reflect.Float32 {
		f32, _ := v.Float32()
		return f32
	}
	return f
}
