package dsl_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
)

// TestUnmarshalConfig reads back what MarshalConfig writes.
func TestUnmarshalConfig(t *testing.T) {
	for _, config := range []any{
		pretrainConfig{
			Model: ref{"model", "m"}, Data: ref{"tokens", "t"}, Extra: []ref{{"dataset", "x"}}, ByName: map[string]ref{"k": {"dataset", "y"}},
			Tokens: 1 << 60, Labels: map[string]string{"a": "b"}, Any: []any{1.5, "x"},
		},
		datasetConfig{Files: []filesBlock{{Include: []string{"a", "b"}, Per: "line"}, {}}, Holdout: 0.1},
		mixtureConfig{Tokenizer: ref{"tokenizer", "t"}, Parts: []partBlock{{Name: "a", Data: ref{"dataset", "d"}}}},
	} {
		fields, err := dsl.Fields(config)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		places := map[string]string{}
		v, err := dsl.UnmarshalConfig(text, fields, func(path, kind string, raw json.RawMessage) (cty.Value, error) {
			var r ref
			if err := json.Unmarshal(raw, &r); err != nil || r.Kind == "" {
				return cty.NullVal(dsl.ArtifactType(kind)), err
			}
			places[path] = r.Digest
			return dsl.ArtifactVal(dsl.Artifact{Kind: kind, Digest: r.Digest}), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		again, err := dsl.MarshalConfig(v, fields, dsl.MarshalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(config))
		if err := json.Unmarshal(again, got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), config) {
			t.Errorf("%+v became %+v (%v)", config, got.Elem(), err)
		}
		if _, ok := config.(pretrainConfig); ok {
			want := map[string]string{"model": "m", "data": "t", "extra[0]": "x", `by_name["k"]`: "y"}
			if !reflect.DeepEqual(places, want) {
				t.Errorf("artifacts at %v, want %v", places, want)
			}
		}
	}
	fields, err := dsl.Fields(filterBlock{})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`[]`, `{"min_chars": "x"}`, `{"no": 1}`} {
		if v, err := dsl.UnmarshalConfig([]byte(bad), fields, nil); err == nil {
			t.Errorf("%s is read as %#v", bad, v)
		}
	}
}

// TestPlaced: every artifact of a configuration says where it stands, those that do not exist yet as well.
func TestPlaced(t *testing.T) {
	program := mustLoad(t, "testdata/good/quickstart.hcl")
	instance, diags := program.Step(dsl.Address{Type: "mixture", Name: "web"}).Eval(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	v, err := instance.Placed()
	if err != nil || !v.IsWhollyKnown() {
		t.Fatalf("%#v %v", v, err)
	}
	tokenizer, _ := dsl.AsArtifact(v.GetAttr("tokenizer"))
	part, _ := dsl.AsArtifact(v.GetAttr("part").Index(cty.NumberIntVal(1)).GetAttr("data"))
	for place, a := range map[string]dsl.Artifact{"tokenizer": tokenizer, "part[1].data": part} {
		if a.Place != place || a.Digest != "" {
			t.Errorf("%s: %+v", place, a)
		}
		if _, ok := instance.Sources()[a.Place]; !ok {
			t.Errorf("%s is no source of the instance: %v", a.Place, instance.Sources())
		}
	}
}

func TestDerivedRange(t *testing.T) {
	program := mustLoad(t, "testdata/good/quickstart.hcl")
	instance, _ := program.Step(dsl.Address{Type: "mixture", Name: "web"}).Eval(nil)
	d := instance.Derive("part[1]")
	for _, test := range []struct {
		path      string
		line, col int
	}{
		{"", 45, 3},
		{"weight", 47, 5},         // of the part
		{"tokenizer", 43, 3},      // of the whole block
		{"max_epochs", 45, 3},     // not written: the part
		{"nothing.at.all", 45, 3}, // the part asks for it
		{"part", 45, 3},           // the part is more exact than the first of them
		{"part[0].data", 44, 17},
	} {
		if r := d.Range(test.path); r.Start.Line != test.line || r.Start.Column != test.col {
			t.Errorf("%q: %v, want line %d column %d", test.path, r, test.line, test.col)
		}
	}
	other := dsl.Address{Type: "dataset", Name: "code"}
	d.Use("x", other, nil)
	d.Use("y", dsl.Address{Type: "dataset", Name: "a"}, &dsl.Artifact{Kind: "dataset", Digest: "1"})
	if len(d.Waits) != 1 || d.Waits[0] != other || d.Upstream()["y"].Digest != "1" || len(d.Sources()) != 2 {
		t.Errorf("waits for %v, has %v of %v", d.Waits, d.Upstream(), d.Sources())
	}
	if len(instance.Sources()) != 3 {
		t.Errorf("the instance itself has changed: %v", instance.Sources())
	}
}
