package llm

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/safetensors"
)

var folderFlag = flag.String("folder", "", "write the folders of TestPitfall15WrittenFolders here, for testdata/check_folder.py")

// written are the folders that transformers has been seen to load.
func written() map[string]Config {
	base := Config{
		VocabSize: 37, HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 4,
		HeadDim: 4, RMSNormEps: 1e-5, RopeTheta: 500000, MaxPositionEmbeddings: 32, InitializerRange: 0.3,
		EOSTokenIDs: []int32{2},
	}
	begin, pad, factor := int32(1), int32(0), 4.0
	untied, tied, grouped, scaled := base, base, base, base
	untied.BOSTokenID, untied.PadTokenID = &begin, &pad
	tied.TieWordEmbeddings = true
	grouped.NumKeyValueHeads, grouped.HeadDim, grouped.EOSTokenIDs = 2, 6, []int32{2, 3}
	scaled.HeadDim = 16
	scaled.RopeScaling = &RopeScaling{
		RopeType: "llama3", Factor: &factor, OriginalMaxPositionEmbeddings: 8, LowFreqFactor: 1, HighFreqFactor: 4,
	}
	return map[string]Config{"untied": untied, "tied": tied, "grouped": grouped, "scaled": scaled}
}

// TestPitfall15WrittenFolders holds our folders to the bytes that transformers has loaded, and our numbers to its numbers.
func TestPitfall15WrittenFolders(t *testing.T) {
	root := *folderFlag
	if root == "" {
		root = t.TempDir()
	}
	var record map[string]struct {
		Files      map[string]string
		Parameters int64
		IDs        []int32
		Answer     []int32
		Logits     []float64
	}
	readJSON(t, filepath.Join("testdata", "written.json"), &record)
	for name, c := range written() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(root, name)
			if err := os.MkdirAll(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := WriteInitial(t.Context(), dir, c, 42); err != nil {
				t.Fatal(err)
			}
			want := record[name]
			if got := digests(t, dir); !reflect.DeepEqual(got, want.Files) {
				t.Errorf("the folder's digests are %v, transformers has loaded %v: see testdata/check_folder.py", got, want.Files)
			}
			if got := c.Parameters(); got != want.Parameters {
				t.Errorf("%d parameters, transformers counts %d", got, want.Parameters)
			}
			m, err := Load(ref.Open(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			s := &gpu.Stream{}
			none := make([]int32, len(want.IDs))
			for i := range none {
				none[i] = gpu.NoTarget
			}
			s.Append(want.IDs, none, 0)
			if err := m.Inference(s.Len()); err != nil {
				t.Fatal(err)
			}
			compareLogits(t, m, s, want.Logits)
			answers, err := m.Generate(t.Context(), [][]int32{want.IDs}, Sampling{MaxTokens: 8, Stop: c.EOSTokenIDs}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(answers[0], want.Answer) {
				t.Errorf("greedy answer %v, transformers gives %v", answers[0], want.Answer)
			}
		})
	}
}

func readJSON(t *testing.T, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

func digests(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		got[e.Name()] = hex.EncodeToString(sum[:])
	}
	return got
}

// TestFolderWithoutDevice: the folder written without a device is the one that Init and Save write, and converting a
// folder is the same as loading and saving it.
func TestFolderWithoutDevice(t *testing.T) {
	direct, saved, converted := t.TempDir(), t.TempDir(), t.TempDir()
	c := tiny(false)
	if err := WriteInitial(t.Context(), direct, c, 7); err != nil {
		t.Fatal(err)
	}
	m, err := New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Init(7); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(saved); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), converted, direct); err != nil {
		t.Fatal(err)
	}
	want := digests(t, direct)
	if got := digests(t, saved); !reflect.DeepEqual(got, want) {
		t.Errorf("New, Init and Save write %v, WriteInitial %v", got, want)
	}
	if got := digests(t, converted); !reflect.DeepEqual(got, want) {
		t.Errorf("Convert writes %v from %v", got, want)
	}
}

// TestConvertKeepsBytes: float32 weights written by transformers come out byte for byte.
func TestConvertKeepsBytes(t *testing.T) {
	for _, name := range []string{"untied", "tied"} {
		dir := t.TempDir()
		if _, err := Convert(t.Context(), dir, filepath.Join("testdata", name)); err != nil {
			t.Fatal(err)
		}
		got, want := digests(t, dir)[weightsName], digests(t, filepath.Join("testdata", name))[weightsName]
		if got != want {
			t.Errorf("%s: %s is %s, transformers wrote %s", name, weightsName, got, want)
		}
	}
}

// TestInit: other seeds give other weights, the same tensor of a deeper model has the same random numbers, and the
// standard deviations are those that are promised.
func TestInit(t *testing.T) {
	c := tiny(false)
	c.HiddenSize, c.IntermediateSize = 64, 96
	list := c.tensors()
	draw := func(c Config, i int, seed uint64) []float32 {
		dst := make([]float32, list[i].len())
		if err := c.initial(list[i], seed)(dst); err != nil {
			t.Fatal(err)
		}
		return dst
	}
	deep := c
	deep.NumHiddenLayers = 8
	for i, tensor := range list {
		a := draw(c, i, 1)
		same := reflect.DeepEqual(a, draw(c, i, 2))
		if want := tensor.role == roleNorm; same != want {
			t.Errorf("%s: seeds 1 and 2 give the same weights: %v", tensor.name, same)
		}
		ratio := float64(draw(deep, i, 1)[0] / a[0])
		want := 1.0
		if tensor.role == roleResidual {
			want = 0.5 // √(2·2) / √(2·8)
		}
		if d := ratio/want - 1; d > 1e-6 || d < -1e-6 {
			t.Errorf("%s: the first weight of 8 layers is %v of that of 2, want %v", tensor.name, ratio, want)
		}
		var squares float64
		for _, v := range a {
			squares += float64(v) * float64(v)
		}
		variance := map[role]float64{roleNorm: 1, roleEmbedding: 0.09, roleMatrix: 0.09, roleResidual: 0.09 / 4}[tensor.role]
		if got := squares / float64(len(a)); got < 0.85*variance || got > 1.15*variance {
			t.Errorf("%s: mean square %v, want about %v", tensor.name, got, variance)
		}
	}
}

// TestLoadErrors breaks a folder in one way at a time.
func TestLoadErrors(t *testing.T) {
	c := tiny(true)
	weights := func(change func(list []tensor) []tensor) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			var list []safetensors.Tensor
			for _, s := range change(c.tensors()) {
				list = append(list, safetensors.Tensor{Name: s.name, Shape: s.shape, Read: c.initial(s, 1)})
			}
			if err := safetensors.Write(filepath.Join(dir, weightsName), list); err != nil {
				t.Fatal(err)
			}
		}
	}
	config := func(old, new string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) { replaceIn(t, filepath.Join(dir, configName), old, new) }
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := map[string]struct {
		breaks func(t *testing.T, dir string)
		want   string // in the message
	}{
		"missing tensor": {weights(func(l []tensor) []tensor { return l[1:] }), "missing tensors: model.embed_tokens.weight"},
		"extra tensor": {weights(func(l []tensor) []tensor {
			return append(l, tensor{name: "model.layers.0.self_attn.q_proj.bias", shape: []int{16}})
		}), "tensors that a Llama does not have: model.layers.0.self_attn.q_proj.bias"},
		"shape": {weights(func(l []tensor) []tensor {
			l[0].shape = []int{12, 8}
			return l
		}), "model.embed_tokens.weight is [12 8] where config.json makes it [11 8]"},
		"no config":     {remove(configName), "no model folder"},
		"no weights":    {remove(weightsName), "has no weights"},
		"another model": {config(`"llama"`, `"qwen2"`), `model_type "qwen2" is not supported`},
		"another head":  {config(`LlamaForCausalLM`, `LlamaForTokenClassification`), "LlamaForTokenClassification is not supported"},
		"activation":    {config(`"silu"`, `"gelu"`), `hidden_act "gelu"`},
		"bias":          {config(`"attention_bias": false`, `"attention_bias": true`), "attention_bias"},
		"rope":          {config(`"rope_scaling": null`, `"rope_scaling": {"rope_type": "longrope"}`), `type "longrope" is not supported`},
		"partial rope":  {config(`"rope_scaling": null`, `"rope_parameters": {"partial_rotary_factor": 0.5}`), "partial_rotary_factor 0.5"},
		"damaged json":  {config(`{`, `[`), "config.json"},
		"impossible":    {config(`"num_key_value_heads": 2`, `"num_key_value_heads": 3`), "no multiple of num_key_value_heads 3"},
		"cut short": {func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, weightsName), 4000); err != nil {
				t.Fatal(err)
			}
		}, "cut short"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := WriteInitial(t.Context(), dir, c, 1); err != nil {
				t.Fatal(err)
			}
			test.breaks(t, dir)
			m, err := Load(ref.Open(), dir)
			if err == nil {
				m.Close()
				t.Fatal("loaded without an error")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %q, want %q in it", err, test.want)
			}
		})
	}
}

func replaceIn(t *testing.T, path, old, new string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		t.Fatalf("%s has no %s", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), old, new, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
}
