package dsl_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"athanor/dsl"

	"github.com/zclconf/go-cty/cty"
)

func TestFields(t *testing.T) {
	fields, err := dsl.Fields(pretrainConfig{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range fields {
		got[f.Name] = fmt.Sprint(f.Type.FriendlyName(), " required=", f.Required, " default=", f.Default, " block=", f.Block, " free=", f.Free, " kind=", f.Kind)
	}
	for name, want := range map[string]string{
		"model":            "model required=true default= block=false free=false kind=model",
		"extra":            "list of dataset required=false default= block=false free=false kind=dataset",
		"by_name":          "map of dataset required=false default= block=false free=false kind=dataset",
		"reward":           "model required=false default= block=false free=false kind=model",
		"tokens":           "number required=false default=1000000 block=false free=false kind=",
		"optimizer":        "object required=false default= block=true free=false kind=",
		"labels":           "map of string required=false default= block=false free=false kind=",
		"any":              "dynamic required=false default= block=false free=false kind=",
		"checkpoint_every": "number required=false default=500 block=false free=true kind=",
	} {
		if got[name] != want {
			t.Errorf("%s: got %s, want %s", name, got[name], want)
		}
	}
	if fields[0].Doc != "Where the weights come from." {
		t.Errorf("doc %q", fields[0].Doc)
	}
}

func TestFieldsEmbedded(t *testing.T) {
	type common struct {
		Every int `json:"every" default:"5"`
	}
	type config struct {
		common
		Name string `json:"name"`
		Skip func() `json:"-"`
	}
	type exported struct {
		Common struct {
			X int `json:"x"`
		} `json:"common" hcl:"block"`
	}
	fields, err := dsl.Fields(config{})
	if err != nil || len(fields) != 2 || fields[0].Name != "every" || fields[1].Name != "name" {
		t.Errorf("%v %v", fields, err)
	}
	if fields, err := dsl.Fields(exported{}); err != nil || !fields[0].Required {
		t.Errorf("a block with a required attribute is required: %v %v", fields, err)
	}
}

func TestMistakesInStructs(t *testing.T) {
	for _, test := range []struct {
		config any
		want   string
	}{
		{3, "a configuration is a struct, not int"},
		{struct{ X int }{}, `the json tag "" is not an HCL name`},
		{struct {
			X int `json:"a b"`
		}{}, `the json tag "a b" is not an HCL name`},
		{struct {
			X int `json:"x" hcl:"blck"`
		}{}, `the hcl tag says "blck"`},
		{struct {
			X int `json:"x" default:"[1]"`
		}{}, `the default "[1]"`},
		{struct {
			X int `json:"x" default:"1 +"`
		}{}, `the default "1 +"`},
		{struct {
			X int `json:"x" min:"low"`
		}{}, `the bound "low" is not a number`},
		{struct {
			X map[int]int `json:"x"`
		}{}, "the keys of a map are strings, not int"},
		{struct {
			X struct{} `json:"x"`
		}{}, "a struct needs hcl:\"block\" or a kind"},
		{struct {
			X chan int `json:"x"`
		}{}, "an attribute cannot be chan int"},
		{struct {
			X int `json:"x" hcl:"label"`
		}{}, "a label is a string, not int"},
		{struct {
			X int `json:"x" hcl:"machine"`
		}{}, "what the machine decides is a string, not int"},
		{struct {
			mixtureConfig
			Parts int `json:"part"`
		}{}, `a second field named "part"`},
		{struct {
			X struct {
				Y complex128 `json:"y"`
			} `json:"x" hcl:"block"`
		}{}, "an attribute cannot be complex128"},
	} {
		if _, err := dsl.Fields(test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%T: %v, want %q", test.config, err, test.want)
		}
	}
	for _, config := range []any{
		struct {
			When bool `json:"when"`
		}{},
		struct {
			Retry struct{} `json:"retry" hcl:"block"`
		}{},
		struct {
			Name string `json:"name" hcl:"label"`
		}{},
	} {
		write(t, map[string]string{"a.hcl": "bad \"a\" {}\n"})
		source, _ := dsl.Parse("a.hcl")
		_, diags := source.Load(dsl.Options{Types: []dsl.Type{{Name: "bad", Config: config}}})
		if !diags.HasErrors() || !strings.Contains(diags[0].Detail, "the configuration cannot") {
			t.Errorf("%T: %v", config, diags)
		}
	}
}

// numbers is one of each Go number.
type numbers struct {
	F   float64   `json:"f" optional:"true"`
	F32 float32   `json:"f32" optional:"true"`
	I   int64     `json:"i" optional:"true"`
	U   uint64    `json:"u" optional:"true"`
	I8  int8      `json:"i8" optional:"true"`
	Any any       `json:"any"`
	Fs  []float64 `json:"fs"`
}

func configOf(t *testing.T, config any, body string) (*dsl.Instance, []dsl.Field, string) {
	t.Helper()
	write(t, map[string]string{"a.hcl": "step \"a\" {\n" + body + "\n}\n"})
	source, diags := dsl.Parse("a.hcl")
	program, more := source.Load(dsl.Options{Types: []dsl.Type{{Name: "step", Config: config}}})
	if program == nil {
		return nil, nil, render(t, source, append(diags, more...))
	}
	i, _ := program.Steps[0].Eval(nil)
	fields, err := dsl.Fields(config)
	if err != nil {
		t.Fatal(err)
	}
	return i, fields, ""
}

// TestNumbers holds that a number in a recipe is the number that Go reads from the same text.
func TestNumbers(t *testing.T) {
	for _, text := range []string{
		"3e-3", "0.1", "0.95", "1e-5", "1e22", "1e23", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e308",
		"123456789.123456789", "0.30000000000000004", "9007199254740993", "4.35", "0.000001", "1e21", "100",
	} {
		want, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatal(err)
		}
		i, fields, printed := configOf(t, numbers{}, "f = "+text+"\nfs = ["+text+"]")
		if i == nil {
			t.Error(printed)
			continue
		}
		out, err := dsl.MarshalConfig(i.Config, fields, dsl.MarshalOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var got numbers
		if err := json.Unmarshal(out, &got); err != nil || got.F != want || got.Fs[0] != want {
			t.Errorf("%s gives %s: %v", text, out, err)
		}
	}
}

func TestWholeNumbers(t *testing.T) {
	for _, test := range []struct{ body, want string }{
		{"i = 9223372036854775807", `{"i":9223372036854775807}`},
		{"i = -9223372036854775808", `{"i":-9223372036854775808}`},
		{"u = 18446744073709551615", `{"u":18446744073709551615}`},
		{"i = 2e3 * 1.5", `{"i":3000}`},
		{"i8 = -128", `{"i8":-128}`},
		{"f32 = 0.1", `{"f32":0.1}`},
		{"f = 1", `{"f":1}`},
		{"f = 1e3", `{"f":1000}`},
		{"any = 18446744073709551615", `{"any":18446744073709551615}`},
		{"any = { b = [1, 2.50, true, null, \"<&>\"], a = {} }", `{"any":{"a":{},"b":[1,2.5,true,null,"<&>"]}}`},
		{"fs = []", `{"fs":[]}`},
		{"fs = null", `{}`},
		{"fs = [1, \"2\"]", `{"fs":[1,2]}`},
		{"i = 9223372036854775808", "i must be between -9223372036854775808 and 9223372036854775807"},
		{"u = -1", "u must be between 0 and 18446744073709551615; it is -1."},
		{"i8 = 128", "i8 must be between -128 and 127; it is 128."},
		{"i = 1e400", "i must be between"},
		{"f = 1e400", "more than a 64-bit number holds"},
		{"fs = [1, 1e400]", "more than a 64-bit number holds"},
		{"i = 1 / 3", "i must be a whole number; it is 0.3333333333333333."},
		{"f = 1 / 0", "f is infinite"},
	} {
		i, fields, got := configOf(t, numbers{}, test.body)
		if i != nil {
			out, err := dsl.MarshalConfig(i.Config, fields, dsl.MarshalOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got = string(out); got != test.want {
				t.Errorf("%s: got %s, want %s", test.body, got, test.want)
			}
		} else if !strings.Contains(strings.Join(strings.Fields(got), " "), test.want) {
			t.Errorf("%s: want %q in\n%s", test.body, test.want, got)
		}
	}
}

func TestMarshalForTheKey(t *testing.T) {
	program := mustLoad(t, "testdata/good/quickstart.hcl")
	known := dsl.Known{}
	instances := map[string]*dsl.Instance{}
	for _, s := range inOrder(program) {
		i, diags := s.Eval(known)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		instances[s.Address.String()] = i
		known[s.Address.String()] = pretend(t, s, known)
	}
	key := dsl.MarshalOptions{Key: true, Artifact: func(a dsl.Artifact) any { return a.Digest }}
	for address, want := range map[string]string{
		// neither the file names nor what is free
		"dataset.code":  `{"files":[{"per":"file"}],"filter":{"min_chars":100},"holdout":0.01}`,
		"evaluate.step": `{"model":"#dpo.aligned/model"}`,
	} {
		if got := marshal(t, instances[address], key); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	a, _ := dsl.ParseAddress("model.base")
	i, _ := program.Step(a).Eval(nil)
	fields, _ := dsl.Fields(i.Step.Type.Config)
	if _, err := dsl.MarshalConfig(i.Config, fields, dsl.MarshalOptions{}); err == nil || !strings.Contains(err.Error(), "n_layer: not known yet") &&
		!strings.Contains(err.Error(), "dim: not known yet") {
		t.Errorf("an unknown value is written: %v", err)
	}
}

// TestDecodes holds that the JSON of a configuration fills the struct that it was declared with.
func TestDecodes(t *testing.T) {
	program := mustLoad(t, "testdata/good/alignment.hcl")
	known := dsl.Known{}
	for _, s := range inOrder(program) {
		i, _ := s.Eval(known)
		known[s.Address.String()] = pretend(t, s, known)
		config := reflect.New(reflect.TypeOf(s.Type.Config))
		if err := json.Unmarshal([]byte(marshal(t, i, dsl.MarshalOptions{})), config.Interface()); err != nil {
			t.Errorf("%s: %v", s.Address, err)
		}
		if p, ok := config.Interface().(*pretrainConfig); ok && s.Address.Type == "pretrain" {
			if p.Optimizer.LR != 3e-3 || p.Optimizer.Betas != [2]float64{0.9, 0.95} || p.Tokens != 60 || p.Model.Kind != "model" || p.Reward.Kind != "" {
				t.Errorf("%+v", p)
			}
		}
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]dsl.Address{
		"dataset.code":          {Type: "dataset", Name: "code"},
		`sft.chat["small"]`:     {Type: "sft", Name: "chat", Key: "small", Keyed: true},
		`sft.chat[""]`:          {Type: "sft", Name: "chat", Keyed: true},
		`a.b["x\"y.z[1]"]`:      {Type: "a", Name: "b", Key: `x"y.z[1]`, Keyed: true},
		`scaling_law.a-b["é€"]`: {Type: "scaling_law", Name: "a-b", Key: "é€", Keyed: true},
		`a.b["]["]["x"]`:        {Type: "a", Name: "b", Key: "][", Keyed: true, Child: "x"},
	} {
		got, err := dsl.ParseAddress(text)
		if err != nil || got != want || got.String() != text {
			t.Errorf("%s: %+v %v", text, got, err)
		}
	}
	if got, err := dsl.ParseAddress("sft.chat[small]"); err != nil || got.Key != "small" {
		t.Errorf("without quotes: %+v %v", got, err)
	}
	// The only key of a part of a composite step is written like that of for_each.
	part := dsl.Address{Type: "sweep", Name: "size", Child: "1e12/6x192"}
	if got, err := dsl.ParseAddress("sweep.size[1e12/6x192]"); err != nil || got.String() != part.String() {
		t.Errorf("a part: %+v %v", got, err)
	}
	if got, err := dsl.ParseAddress("sweep.size[a][b]"); err != nil || got.Key != "a" || got.Child != "b" {
		t.Errorf("two keys: %+v %v", got, err)
	}
	for _, bad := range []string{"", "a", "a.", ".b", "a.b.c", "a.b[", `a.b["x]`, `a.b["x"`, "a b.c", `a.b[x]y`, "a.b[x][]", "a.b[x][y][z]", "a.b[x]]"} {
		if got, err := dsl.ParseAddress(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestArtifacts(t *testing.T) {
	a := dsl.Artifact{Kind: "model", Digest: "d", Step: "model.a", Output: "model"}
	if got, ok := dsl.AsArtifact(dsl.ArtifactVal(a)); !ok || got != a {
		t.Errorf("got %+v", got)
	}
	for _, v := range []cty.Value{cty.StringVal("x"), cty.UnknownVal(dsl.ArtifactType("model")), cty.NullVal(dsl.ArtifactType("model")), cty.DynamicVal} {
		if _, ok := dsl.AsArtifact(v); ok {
			t.Errorf("%#v is no artifact", v)
		}
	}
	if !dsl.ArtifactType("model").Equals(dsl.ArtifactType("model")) || dsl.ArtifactType("model").Equals(dsl.ArtifactType("report")) {
		t.Error("a kind has one type of its own")
	}
	other := a
	other.Step = "model.b"
	if !dsl.ArtifactVal(a).RawEquals(dsl.ArtifactVal(other)) {
		t.Error("where an artifact comes from is not part of what it is")
	}
}
