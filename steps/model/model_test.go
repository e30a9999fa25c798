package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/llm"
)

// tokenizer is a folder with a tokenizer of 260 tokens: bytes and four special ones.
const tokenizer = "../chat/testdata/tokenizer"

// spec returns the spec of a block; attributes that it does not mention are null, as the engine has them.
func spec(t *testing.T, block string) *steps.Spec {
	t.Helper()
	config := map[string]any{}
	typ := reflect.TypeFor[Config]()
	for i := range typ.NumField() {
		config[typ.Field(i).Tag.Get("json")] = nil
	}
	if err := json.Unmarshal([]byte(block), &config); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return &steps.Spec{Address: "model.base", Type: "model", Config: data, Seed: 1, Dir: t.TempDir(), WorkDir: t.TempDir()}
}

// withTokenizer adds a tokenizer to a block.
func withTokenizer(t *testing.T, block string) string {
	t.Helper()
	path, err := filepath.Abs(tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	artifact := `{"tokenizer": {"kind": "tokenizer", "digest": "0", "path": "` + path + `"}`
	if block == `{}` {
		return artifact + `}`
	}
	return artifact + `, ` + strings.TrimPrefix(block, `{`)
}

// runStep runs the step and returns the folder of its model and its values.
func runStep(t *testing.T, s *steps.Spec) (string, map[string]any, error) {
	t.Helper()
	var events bytes.Buffer
	rt, err := steps.NewRuntime(s, &events)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Do(t.Context(), &Type); err != nil {
		return "", nil, err
	}
	lines := strings.Split(strings.TrimSpace(events.String()), "\n")
	var last steps.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		t.Fatal(err)
	}
	return last.Outputs["model"], last.Values, nil
}

func TestRun(t *testing.T) {
	dir, values, err := runStep(t, spec(t, withTokenizer(t, `{"n_layer": 2, "dim": 96, "n_kv_head": 1}`)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := llm.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	begin, pad := int32(256), int32(259)
	want := llm.Config{
		VocabSize: 260, HiddenSize: 96, IntermediateSize: 256, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 48, RMSNormEps: 1e-5, RopeTheta: 500000, MaxPositionEmbeddings: 8192, InitializerRange: 0.02,
		BOSTokenID: &begin, EOSTokenIDs: []int32{257}, PadTokenID: &pad, DType: "float32",
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("the configuration is %+v, want %+v", c, want)
	}
	wantValues := map[string]any{"parameters": float64(want.Parameters()), "n_layer": 2.0, "dim": 96.0, "vocab_size": 260.0}
	if !reflect.DeepEqual(values, wantValues) {
		t.Errorf("values %v, want %v", values, wantValues)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		if !equalFiles(t, filepath.Join(dir, name), filepath.Join(tokenizer, name)) {
			t.Errorf("%s is not the tokenizer's", name)
		}
	}
}

// TestSeed: one seed, the same bytes; another, other weights.
func TestSeed(t *testing.T) {
	var weights []string
	for _, seed := range []uint64{1, 1, 2} {
		s := spec(t, withTokenizer(t, `{"preset": "tiny"}`))
		s.Seed = seed
		dir, _, err := runStep(t, s)
		if err != nil {
			t.Fatal(err)
		}
		weights = append(weights, filepath.Join(dir, "model.safetensors"))
	}
	if !equalFiles(t, weights[0], weights[1]) {
		t.Error("one seed gives two models")
	}
	if equalFiles(t, weights[0], weights[2]) {
		t.Error("two seeds give one model")
	}
}

// TestFrom starts from a folder that transformers wrote in bfloat16 and adds a tokenizer to it.
// TestMuP: the hidden matrices and the final norm are those of a model without it, times √(base/dim) and base/dim.
func TestMuP(t *testing.T) {
	var models []*llm.Model
	for _, block := range []string{`{"preset": "tiny"}`, `{"preset": "tiny", "mup": {"base_dim": 16}}`} {
		dir, _, err := runStep(t, spec(t, withTokenizer(t, block)))
		if err != nil {
			t.Fatal(err)
		}
		m, err := llm.Load(ref.Open(), dir)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	for i, p := range models[0].Params() {
		want := 1.0
		switch {
		case p.Name == "model.norm.weight":
			want = 0.25
		case p.Decay:
			want = 0.5
		}
		plain, scaled := ref.Float64(p.Weight), ref.Float64(models[1].Params()[i].Weight)
		for j := range plain {
			if math.Abs(scaled[j]-want*plain[j]) > 1e-7 {
				t.Fatalf("%s: weight %d is %g, want %g times %g", p.Name, j, scaled[j], want, plain[j])
			}
		}
	}
}

func TestFrom(t *testing.T) {
	from := filepath.Join(t.TempDir(), "from")
	if err := os.CopyFS(from, os.DirFS("../internal/llm/testdata/bfloat16")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(from, os.DirFS(tokenizer)); err != nil {
		t.Fatal(err)
	}
	s := spec(t, `{"from": "from"}`)
	s.Dir = filepath.Dir(from)
	read, err := Type.Files(s)
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		if i >= len(read) || read[i] != filepath.Join(from, name) {
			t.Fatalf("it reads %v", read)
		}
	}
	if err := Type.Check(s); err != nil {
		t.Fatal(err)
	}
	dir, values, err := runStep(t, s)
	if err != nil {
		t.Fatal(err)
	}
	c, err := llm.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.DType != "float32" || c.VocabSize != 37 || values["vocab_size"] != 37.0 || !slices.Equal(c.EOSTokenIDs, []int32{2}) {
		t.Errorf("the configuration is %+v, the values are %v", c, values)
	}
	if !equalFiles(t, filepath.Join(dir, "tokenizer.json"), filepath.Join(tokenizer, "tokenizer.json")) {
		t.Error("the tokenizer is lost")
	}
}

func equalFiles(t *testing.T, a, b string) bool {
	t.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := os.ReadFile(b)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(x, y)
}

func TestEstimate(t *testing.T) {
	upstream := map[string]steps.Estimate{"tokenizer": {Facts: map[string]float64{"vocab_size": 4096}}}
	planned := `"tokenizer": {"kind": "tokenizer", "digest": ""}`
	cases := []struct {
		block      string
		parameters int64
		facts      map[string]float64 // some of them
	}{
		{`{"preset": "llama3-8b"}`, 8_030_261_248, map[string]float64{"vocab_size": 128256, "n_kv_head": 8, "head_dim": 128}},
		{`{"preset": "llama3-70b"}`, 70_553_706_496, map[string]float64{"n_layer": 80}},
		{`{"preset": "llama3-405b"}`, 405_853_388_800, map[string]float64{"dim": 16384, "tied": 0}},
		{`{"preset": "llama3.2-1b"}`, 1_235_814_400, map[string]float64{"tied": 1}}, // as its model card counts
		{`{"preset": "llama3.2-3b"}`, 3_212_749_824, map[string]float64{"head_dim": 128}},
		{`{"preset": "mini", ` + planned + `}`, 3_148_224, map[string]float64{"vocab_size": 4096, "n_head": 6}},
		{`{"preset": "mini", "dim": 256, ` + planned + `}`, 0, map[string]float64{"n_head": 4, "n_kv_head": 4, "ffn": 704, "n_layer": 6}},
		{`{"preset": "mini", "n_head": 4, "n_layer": 3, ` + planned + `}`, 0, map[string]float64{"n_kv_head": 4, "n_layer": 3}},
		{`{"n_layer": 1, "dim": 64, "vocab_size": 10, "max_context": 99}`, 0, map[string]float64{"n_head": 1, "ffn": 192, "max_context": 99}},
	}
	for _, test := range cases {
		in := &steps.EstimateInput{Spec: spec(t, test.block)}
		if strings.Contains(test.block, planned) {
			in.Upstream = upstream
		}
		e, err := Type.Estimate(in)
		if err != nil {
			t.Errorf("%s: %v", test.block, err)
			continue
		}
		if test.parameters != 0 && e.Parameters != test.parameters {
			t.Errorf("%s: %d parameters, want %d", test.block, e.Parameters, test.parameters)
		}
		for name, want := range test.facts {
			if e.Facts[name] != want {
				t.Errorf("%s: %s is %v, want %v", test.block, name, e.Facts[name], want)
			}
		}
	}

	// What is not known yet is no estimate rather than a wrong one.
	for _, block := range []string{`{"dim": 64, "vocab_size": 10}`, `{"n_layer": 1, "dim": 64, ` + planned + `}`} {
		s := spec(t, block)
		if strings.Contains(block, "vocab_size") {
			var config map[string]any
			if err := s.Decode(&config); err != nil {
				t.Fatal(err)
			}
			delete(config, "n_layer") // depends on a step that has not run
			s.Config, _ = json.Marshal(config)
		}
		if e, err := Type.Estimate(&steps.EstimateInput{Spec: s}); err == nil {
			t.Errorf("%s: estimated %+v", block, e)
		}
	}
}

// TestErrors: each block is refused with the attribute to blame and a remedy.
func TestErrors(t *testing.T) {
	cases := []struct {
		block, path, want string
	}{
		{`{"n_layer": 2, "dim": 64}`, "tokenizer", "needs a tokenizer"},
		{`{"dim": 64, "vocab_size": 9}`, "n_layer", "needs n_layer, or a preset"},
		{`{"n_layer": 2, "vocab_size": 9}`, "dim", "needs dim, or a preset"},
		{`{"n_layer": 2, "dim": 64, "vocab_size": 9, "n_head": 5}`, "n_head", "The nearest possible n_head: 4 or 8"},
		{`{"n_layer": 2, "dim": 64, "vocab_size": 9, "n_head": 64}`, "n_head", "whole and even. The nearest possible n_head: 32"},
		{`{"n_layer": 2, "dim": 64, "vocab_size": 9, "n_head": 8, "n_kv_head": 3}`, "n_kv_head", "The nearest possible n_kv_head: 2 or 4"},
		{`{"n_layer": 2, "dim": 63, "vocab_size": 9}`, "dim", "dim 63 is odd"},
		{`{"n_layer": 2, "dim": 63, "vocab_size": 9, "n_head": 3}`, "n_head", "Make dim even"},
		{`{"n_layer": 2, "dim": 64, "vocab_size": 9, "rope_theta": 0}`, "rope_theta", "must be more than 1"},
		{`{"n_layer": 2, "dim": 64, "vocab_size": 9, "rms_norm_eps": 0}`, "rms_norm_eps", "must be more than 0"},
		{`{"from": "x", "dim": 64}`, "dim", "leave dim out"},
		{`{"from": "x", "mup": {"base_dim": 8}}`, "mup", "leave mup out"},
		{`{"from": "nowhere"}`, "from", "no model folder"},
	}
	for _, test := range cases {
		checkBlame(t, test.block, Type.Check(spec(t, test.block)), test.path, test.want)
	}

	small := withTokenizer(t, `{"n_layer": 1, "dim": 8, "vocab_size": 100}`)
	_, _, err := runStep(t, spec(t, small))
	checkBlame(t, small, err, "vocab_size", "the tokenizer has 260 tokens")
	foreign, err := filepath.Abs("../internal/llm/testdata/untied")
	if err != nil {
		t.Fatal(err)
	}
	other := withTokenizer(t, `{"from": "`+foreign+`"}`)
	_, _, err = runStep(t, spec(t, other))
	checkBlame(t, other, err, "tokenizer", "the model of `from` knows 37")
	_, err = Type.Files(spec(t, `{"from": "nowhere"}`))
	checkBlame(t, "files of nowhere", err, "from", "has no weights")
}

func checkBlame(t *testing.T, block string, err error, path, want string) {
	t.Helper()
	var blame *steps.AttributeError
	switch {
	case !errors.As(err, &blame):
		t.Errorf("%s: %v", block, err)
	case blame.Path != path || !strings.Contains(blame.Error(), want):
		t.Errorf("%s: %q blames %q, want %q and %q in the message", block, blame, blame.Path, path, want)
	}
}
