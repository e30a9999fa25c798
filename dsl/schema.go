package dsl

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// A Field is one attribute or nested block of a configuration struct.
type Field struct {
	Name     string
	Doc      string
	Type     cty.Type // of its value in [Instance.Config]; for a repeated block that of one element
	Kind     string   // of artifact, "" for others
	Default  string   // HCL expression, "" when there is none
	Required bool
	Block    bool // written as a block
	Repeated bool // a block that may stand any number of times
	Label    bool // the label of the enclosing block
	Path     bool // names files: the names are not in the key
	Free     bool // does not change the result: not in the key
	Machine  bool // a string of which "auto" stands for what the machine does best
	OneOf    []string
	Min, Max string  // bounds of a number, or of a length; "" when there are none
	Fields   []Field // of a block

	value    cty.Value    // of Default; cty.NilVal when there is none
	goType   reflect.Type // of an attribute, without its pointer
	min, max *float64
}

// fieldsByType remembers the answer of Fields: the same few structs are asked for again and again.
var fieldsByType sync.Map // reflect.Type → []Field

// Fields reads the schema of a configuration struct from its tags:
//
//	json:"name"            the name in the recipe and in the JSON
//	doc:"…"                one sentence
//	default:"1e-5"         an HCL expression; the attribute may be left out
//	kind:"model"           an artifact of that kind
//	hcl:"block"            a nested block: a struct is one with its defaults when absent, a pointer one or none, a slice any number
//	hcl:"label"            a label of the enclosing block
//	hcl:"path"             file names: not in the key
//	hcl:"free"             does not change the result: not in the key
//	hcl:"machine"          a string of which "auto" stands for what the machine does best ([MarshalOptions].Machine)
//	one_of:"a,b"           the values that a string, or each string of a list, may have
//	min:"0" max:"1"        bounds of a number, or of the length of a string, list, map or of the number of blocks
//	optional:"true"        may be left out
//
// A pointer, a map, a slice without min and an any may be left out too; then they are null. A list or map of artifacts
// may be left out only when it says so: forgetting what to work on is a mistake. An embedded struct lends its fields.
// The error is a mistake in the struct, not in a recipe.
func Fields(config any) ([]Field, error) {
	t := reflect.TypeOf(config)
	if t == nil {
		return nil, nil
	}
	return fieldsOf(t)
}

func fieldsOf(t reflect.Type) ([]Field, error) {
	if known, ok := fieldsByType.Load(t); ok {
		return known.([]Field), nil
	}
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("a configuration is a struct, not %s", t)
	}
	var fields []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous && sf.Tag.Get("json") == "" && sf.Type.Kind() == reflect.Struct {
			embedded, err := fieldsOf(sf.Type)
			if err != nil {
				return nil, err
			}
			fields = append(fields, embedded...)
			continue
		}
		if !sf.IsExported() || sf.Tag.Get("json") == "-" {
			continue
		}
		f, err := fieldOf(sf)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t, sf.Name, err)
		}
		if slices.ContainsFunc(fields, func(g Field) bool { return g.Name == f.Name }) {
			return nil, fmt.Errorf("%s.%s: a second field named %q", t, sf.Name, f.Name)
		}
		fields = append(fields, f)
	}
	fieldsByType.Store(t, fields)
	return fields, nil
}

func fieldOf(sf reflect.StructField) (Field, error) {
	tag := sf.Tag
	f := Field{Doc: tag.Get("doc"), Kind: tag.Get("kind"), Default: tag.Get("default")}
	f.Name, _, _ = strings.Cut(tag.Get("json"), ",")
	if !hclsyntax.ValidIdentifier(f.Name) {
		return f, fmt.Errorf("the json tag %q is not an HCL name", f.Name)
	}
	for _, word := range strings.FieldsFunc(tag.Get("hcl"), func(r rune) bool { return r == ',' }) {
		switch word {
		case "block":
			f.Block = true
		case "label":
			f.Label = true
		case "path":
			f.Path = true
		case "free":
			f.Free = true
		case "machine":
			f.Machine = true
		default:
			return f, fmt.Errorf("the hcl tag says %q; it may say block, label, path, free or machine", word)
		}
	}
	if of := tag.Get("one_of"); of != "" {
		f.OneOf = strings.Split(of, ",")
	}
	var err error
	if f.Min, f.min, err = bound(tag.Get("min")); err != nil {
		return f, err
	}
	if f.Max, f.max, err = bound(tag.Get("max")); err != nil {
		return f, err
	}
	t, optional := sf.Type, tag.Get("optional") == "true"
	if t.Kind() == reflect.Pointer {
		t, optional = t.Elem(), true
	}
	if f.Block {
		return f, f.describeBlock(t, optional)
	}
	return f, f.describeAttribute(t, optional)
}

func bound(s string) (string, *float64, error) {
	if s == "" {
		return "", nil, nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return "", nil, fmt.Errorf("the bound %q is not a number", s)
	}
	return s, &v, nil
}

func (f *Field) describeBlock(t reflect.Type, optional bool) error {
	if t.Kind() == reflect.Slice {
		f.Repeated = true
		t = t.Elem()
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
	}
	fields, err := fieldsOf(t)
	if err != nil {
		return err
	}
	f.Fields = fields
	f.Type = objectType(fields)
	switch {
	case f.Repeated:
		f.Required = f.min != nil && *f.min > 0
	case !optional:
		// The block may be left out when everything in it may.
		f.Required = slices.ContainsFunc(fields, func(g Field) bool { return g.Required })
		if !f.Required {
			f.value = f.defaults()
		}
	}
	return nil
}

// defaults is the value of a block that is left out.
func (f *Field) defaults() cty.Value {
	values := map[string]cty.Value{}
	for _, g := range f.Fields {
		values[g.Name] = g.absent()
	}
	return cty.ObjectVal(values)
}

// absent is the value of a field that is left out.
func (f *Field) absent() cty.Value {
	switch {
	case f.value != cty.NilVal:
		return f.value
	case f.Repeated:
		return cty.EmptyTupleVal
	default:
		return cty.NullVal(f.Type)
	}
}

func (f *Field) describeAttribute(t reflect.Type, optional bool) error {
	f.goType = t
	var err error
	if f.Type, err = attributeType(t, f.Kind); err != nil {
		return err
	}
	switch isString := t.Kind() == reflect.String; {
	case f.Label && !isString:
		return fmt.Errorf("a label is a string, not %s", t)
	case f.Machine && !isString:
		return fmt.Errorf("what the machine decides is a string, not %s", t)
	}
	if (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) && (f.min == nil || *f.min <= 0) && f.Kind == "" {
		optional = true
	}
	if t.Kind() == reflect.Interface {
		optional = true
	}
	f.Required = !optional && f.Default == ""
	if f.Default == "" {
		return nil
	}
	v := cty.StringVal(f.Default) // a plain word is meant as a string: default:"cosine"
	expr, diags := hclsyntax.ParseExpression([]byte(f.Default), "default", hcl.InitialPos)
	if !diags.HasErrors() {
		var evaluated cty.Value
		if evaluated, diags = expr.Value(nil); !diags.HasErrors() {
			v = evaluated
		}
	}
	if diags.HasErrors() && f.Type != cty.String {
		return fmt.Errorf("the default %q: %w", f.Default, diags)
	}
	if f.value, err = convert.Convert(v, f.Type); err != nil {
		return fmt.Errorf("the default %q: %w", f.Default, err)
	}
	return nil
}

// attributeType is the cty type of a Go type. With a kind, the innermost type stands for an artifact of that kind.
func attributeType(t reflect.Type, kind string) (cty.Type, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return attributeType(t.Elem(), kind)
	case reflect.Slice, reflect.Array:
		elem, err := attributeType(t.Elem(), kind)
		return cty.List(elem), err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return cty.NilType, fmt.Errorf("the keys of a map are strings, not %s", t.Key())
		}
		elem, err := attributeType(t.Elem(), kind)
		return cty.Map(elem), err
	}
	if kind != "" {
		return ArtifactType(kind), nil
	}
	switch {
	case t.Kind() == reflect.String:
		return cty.String, nil
	case t.Kind() == reflect.Bool:
		return cty.Bool, nil
	case isInteger(t), t.Kind() == reflect.Float64, t.Kind() == reflect.Float32:
		return cty.Number, nil
	case t.Kind() == reflect.Interface:
		return cty.DynamicPseudoType, nil
	default:
		return cty.NilType, fmt.Errorf("an attribute cannot be %s: a struct needs hcl:\"block\" or a kind", t)
	}
}

func isInteger(t reflect.Type) bool { return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 }

// objectType is the type of the value of a block. A repeated block in it may have any number of elements, which no
// object type can say.
func objectType(fields []Field) cty.Type {
	attrs := map[string]cty.Type{}
	for _, f := range fields {
		attrs[f.Name] = f.Type
		if f.Repeated {
			attrs[f.Name] = cty.DynamicPseudoType
		}
	}
	return cty.Object(attrs)
}
