package dsl

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Placed is the configuration with an artifact at every place that is to hold one: those that do not exist yet have no
// digest. Each says its place, so that whoever takes the configuration apart can say which artifact goes where.
func (i *Instance) Placed() (cty.Value, error) {
	return cty.Transform(i.Config, func(path cty.Path, v cty.Value) (cty.Value, error) {
		if !isArtifactType(v.Type()) || v.IsKnown() && v.IsNull() {
			return v, nil
		}
		a := Artifact{Kind: v.Type().FriendlyName()}
		if known, ok := AsArtifact(v); ok {
			a = known
		}
		a.Place = formatPath(path)
		return ArtifactVal(a), nil
	})
}

// Derive returns an instance of the same step with another configuration: a part of the work that the step stands for.
// The attribute or block at place asks for it. It waits for nothing and has no artifacts until [Instance.Use].
func (i *Instance) Derive(place string) *Instance {
	d := *i
	d.Config, d.Waits, d.Unset, d.place = cty.NilVal, nil, nil, place
	d.upstream, d.sources = map[string]Artifact{}, map[string]Address{}
	return &d
}

// Use notes that the artifact at a path comes from a step. Without an artifact, the instance waits for it.
func (i *Instance) Use(path string, from Address, a *Artifact) {
	i.sources[path] = from
	if a != nil {
		i.upstream[path] = *a
		return
	}
	i.waitsFor(from)
	slices.SortFunc(i.Waits, compareByText)
}

// Artifacts turns what the JSON of a configuration says of an artifact into its value: known, unknown, or null where
// an optional one is left out.
type Artifacts func(path, kind string, raw json.RawMessage) (cty.Value, error)

// UnmarshalConfig is the reverse of [MarshalConfig]: the value of a configuration whose JSON has every attribute. What
// is null or missing becomes null; defaults are not filled in.
func UnmarshalConfig(raw []byte, fields []Field, artifacts Artifacts) (cty.Value, error) {
	return unmarshalBlock(raw, fields, "", artifacts)
}

func unmarshalBlock(raw []byte, fields []Field, path string, artifacts Artifacts) (cty.Value, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return cty.NilVal, err
	}
	values := map[string]cty.Value{}
	for _, f := range fields {
		v, err := unmarshalField(object[f.Name], f, path+f.Name, artifacts)
		if err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", f.Name, err)
		}
		values[f.Name] = v
		delete(object, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		return cty.NilVal, fmt.Errorf("there is no attribute %q", name)
	}
	return cty.ObjectVal(values), nil
}

func unmarshalField(raw json.RawMessage, f Field, path string, artifacts Artifacts) (cty.Value, error) {
	switch {
	case f.Repeated:
		var blocks []json.RawMessage
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &blocks); err != nil {
				return cty.NilVal, err
			}
		}
		elements := make([]cty.Value, len(blocks))
		for i, block := range blocks {
			var err error
			if elements[i], err = unmarshalBlock(block, f.Fields, fmt.Sprintf("%s[%d].", path, i), artifacts); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.TupleVal(elements), nil
	case len(raw) == 0 || string(raw) == "null":
		return cty.NullVal(f.Type), nil
	case f.Block:
		return unmarshalBlock(raw, f.Fields, path+".", artifacts)
	case f.Kind != "":
		return unmarshalArtifacts(raw, f.Type, f.Kind, path, artifacts)
	case f.Type == cty.DynamicPseudoType:
		t, err := ctyjson.ImpliedType(raw)
		if err != nil {
			return cty.NilVal, err
		}
		return ctyjson.Unmarshal(raw, t)
	}
	return ctyjson.Unmarshal(raw, f.Type)
}

// unmarshalArtifacts reads an artifact, or a list or map of them.
func unmarshalArtifacts(raw json.RawMessage, t cty.Type, kind, path string, artifacts Artifacts) (cty.Value, error) {
	switch {
	case t.IsListType():
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return cty.NilVal, err
		}
		values := make([]cty.Value, len(list))
		for i, element := range list {
			var err error
			if values[i], err = unmarshalArtifacts(element, t.ElementType(), kind, fmt.Sprintf("%s[%d]", path, i), artifacts); err != nil {
				return cty.NilVal, err
			}
		}
		if len(values) == 0 {
			return cty.ListValEmpty(t.ElementType()), nil
		}
		return cty.ListVal(values), nil
	case t.IsMapType():
		var entries map[string]json.RawMessage
		if err := json.Unmarshal(raw, &entries); err != nil {
			return cty.NilVal, err
		}
		values := map[string]cty.Value{}
		for key, element := range entries {
			var err error
			if values[key], err = unmarshalArtifacts(element, t.ElementType(), kind, fmt.Sprintf("%s[%q]", path, key), artifacts); err != nil {
				return cty.NilVal, err
			}
		}
		if len(values) == 0 {
			return cty.MapValEmpty(t.ElementType()), nil
		}
		return cty.MapVal(values), nil
	}
	return artifacts(path, kind, raw)
}
