package plan

import (
	"encoding/json"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"athanor/dsl"
	"athanor/engine/internal/store"
	"athanor/steps"
)

// OutputType is the language's type of an output.
func OutputType(o steps.Output) (cty.Type, error) {
	if o.IsKind() {
		return dsl.ArtifactType(o.Type), nil
	}
	t, ok := map[string]cty.Type{
		"number": cty.Number, "string": cty.String, "bool": cty.Bool,
		"list(number)": cty.List(cty.Number), "list(string)": cty.List(cty.String), "map(number)": cty.Map(cty.Number),
	}[o.Type]
	if !ok {
		return cty.NilType, fmt.Errorf("output %s has the type %q, which the language does not know", o.Name, o.Type)
	}
	return t, nil
}

// Language describes step types to the language.
func Language(types []steps.Type) ([]dsl.Type, error) {
	out := make([]dsl.Type, 0, len(types))
	for _, t := range types {
		d := dsl.Type{Name: t.Name, Doc: t.Doc, Config: t.Config}
		for _, o := range t.Outputs {
			ct, err := OutputType(o)
			if err != nil {
				return nil, fmt.Errorf("step type %s: %w", t.Name, err)
			}
			d.Outputs = append(d.Outputs, dsl.Output{Name: o.Name, Doc: o.Doc, Type: ct})
		}
		out = append(out, d)
	}
	return out, nil
}

// outputs is a stored result as the language sees it: an object with one attribute per output.
func outputs(s *Step, made *store.Action) (cty.Value, error) {
	types := map[string]cty.Type{}
	attrs := map[string]cty.Value{}
	for _, o := range s.Type.Outputs {
		if o.IsKind() {
			have, ok := made.Outputs[o.Name]
			if !ok || have.Kind != o.Type {
				return cty.NilVal, fmt.Errorf("it has no %s called %q", o.Type, o.Name)
			}
			attrs[o.Name] = dsl.ArtifactVal(dsl.Artifact{Kind: have.Kind, Digest: have.Digest, Step: s.Name(), Output: o.Name})
			continue
		}
		t, err := OutputType(o)
		if err != nil {
			return cty.NilVal, err
		}
		types[o.Name] = t
	}
	if len(types) > 0 {
		var have map[string]json.RawMessage // decoding into cty makes null of what is not there
		if err := json.Unmarshal(made.Values, &have); err != nil {
			return cty.NilVal, fmt.Errorf("its values: %w", err)
		}
		for _, o := range s.Type.Outputs {
			if _, ok := have[o.Name]; !ok && !o.IsKind() {
				return cty.NilVal, fmt.Errorf("it has no value called %q", o.Name)
			}
		}
		values, err := ctyjson.Unmarshal(made.Values, cty.Object(types))
		if err != nil {
			return cty.NilVal, fmt.Errorf("its values: %w", err)
		}
		for name, v := range values.AsValueMap() {
			attrs[name] = v
		}
	}
	return cty.ObjectVal(attrs), nil
}
