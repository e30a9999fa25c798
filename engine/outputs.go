package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"athanor/dsl"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/store"
	"athanor/engine/internal/ui"
)

// output is one output of the pipeline, evaluated with what is known.
type output struct {
	name string
	text string
	json any
}

// outputs evaluates the pipeline's outputs. Those that depend on steps without a result are left out. Diagnostics are
// about outputs that cannot be evaluated, such as those of a step that turned out to be skipped.
func (p *project) outputs(made *plan.Plan) ([]output, hcl.Diagnostics, error) {
	known := made.Predictor.Known()
	var list []output
	var bad hcl.Diagnostics
	for _, o := range p.program.Outputs {
		ready := true
		for _, need := range o.Needs {
			_, ok := known[need.String()]
			ready = ready && ok
		}
		if !ready {
			continue
		}
		v, diags := o.Eval(known)
		bad = append(bad, diags...)
		if diags.HasErrors() {
			continue
		}
		if !v.IsWhollyKnown() {
			continue
		}
		data, err := valueJSON(p.state.Store, v)
		if err != nil {
			return nil, bad, fmt.Errorf("output %s: %w", o.Name, err)
		}
		list = append(list, output{o.Name, valueText(p.state.Store, v), data})
	}
	return list, bad, nil
}

func (p *project) printOutputs(list []output) error {
	if len(list) == 0 {
		return nil
	}
	rows := make([][]string, len(list))
	for i, o := range list {
		rows[i] = []string{"  " + o.name, "= " + o.text}
	}
	return p.app.printf("\nOutputs:\n%s", ui.Columns(rows))
}

// valueText writes a value as it would stand in a recipe, and an artifact as the folder to open.
func valueText(s *store.Store, v cty.Value) string {
	if v.IsNull() {
		return "null"
	}
	if a, ok := dsl.AsArtifact(v); ok {
		path, err := s.Path(a.Digest)
		if err != nil {
			return fmt.Sprintf("%s (%v)", a.Kind, err)
		}
		return path
	}
	t := v.Type()
	switch {
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		var parts []string
		for _, e := range v.AsValueSlice() {
			parts = append(parts, valueText(s, e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case t.IsObjectType() || t.IsMapType():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			name := k.AsString()
			if !hclsyntax.ValidIdentifier(name) {
				name = strconv.Quote(name)
			}
			parts = append(parts, name+" = "+valueText(s, e))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case t == cty.Number:
		n := v.AsBigFloat()
		if exponent := n.MantExp(nil); n.IsInt() && exponent <= 64 {
			return n.Text('f', 0) // 1500000 and not 1.5e+06
		}
		f, _ := n.Float64()
		return strconv.FormatFloat(f, 'g', -1, 64)
	case t == cty.String:
		return strconv.Quote(v.AsString())
	}
	return fmt.Sprint(v.True())
}

// valueJSON is a value for programs. An artifact is an object with kind, digest and path.
func valueJSON(s *store.Store, v cty.Value) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	if a, ok := dsl.AsArtifact(v); ok {
		return artifactJSON(s, a.Kind, a.Digest)
	}
	t := v.Type()
	switch {
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		list := []any{}
		for _, e := range v.AsValueSlice() {
			item, err := valueJSON(s, e)
			if err != nil {
				return nil, err
			}
			list = append(list, item)
		}
		return list, nil
	case t.IsObjectType() || t.IsMapType():
		object := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			item, err := valueJSON(s, e)
			if err != nil {
				return nil, err
			}
			object[k.AsString()] = item
		}
		return object, nil
	}
	if t == cty.Number && v.AsBigFloat().IsInf() {
		return v.AsBigFloat().String(), nil // "+Inf", as in metrics: JSON has no such number
	}
	raw, err := ctyjson.Marshal(v, t)
	return json.RawMessage(raw), err
}

// artifact is an artifact as --json prints it.
type artifact struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
	Path   string `json:"path"`
}

func artifactJSON(s *store.Store, kind, digest string) (artifact, error) {
	path, err := s.Path(digest)
	return artifact{kind, digest, path}, err
}
