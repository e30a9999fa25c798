package llm

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func llama(layers, dim, ffn, heads, kvHeads, vocab int) Config {
	return Config{
		VocabSize: vocab, HiddenSize: dim, IntermediateSize: ffn, NumHiddenLayers: layers, NumAttentionHeads: heads,
		NumKeyValueHeads: kvHeads, HeadDim: dim / heads, RMSNormEps: 1e-5, RopeTheta: 500000, MaxPositionEmbeddings: 8192,
		InitializerRange: 0.02,
	}
}

// TestParameters holds the count to the published models (arXiv 2407.21783, table 3) and to the tensors of a folder.
func TestParameters(t *testing.T) {
	cases := map[string]struct {
		config Config
		want   int64
	}{
		"8B":   {llama(32, 4096, 14336, 32, 8, 128256), 8_030_261_248},
		"70B":  {llama(80, 8192, 28672, 64, 8, 128256), 70_553_706_496},
		"405B": {llama(126, 16384, 53248, 128, 8, 128256), 405_853_388_800},
	}
	for name, test := range cases {
		if got := test.config.Parameters(); got != test.want {
			t.Errorf("%s: %d parameters, want %d", name, got, test.want)
		}
		for _, tied := range []bool{false, true} {
			c := test.config
			c.TieWordEmbeddings = tied
			var sum int64
			for _, tensor := range c.tensors() {
				sum += int64(tensor.len())
			}
			if got := c.Parameters(); got != sum {
				t.Errorf("%s, tied %v: %d parameters, %d in its tensors", name, tied, got, sum)
			}
		}
	}
}

// TestFLOPsPerToken holds the count to one done by hand: D 8, F 12, H 4, G 2, E 4, V 11, L 2.
func TestFLOPsPerToken(t *testing.T) {
	const matrices = 2*(8*16+8*8+8*8+16*8+3*8*12) + 11*8
	const attention = 12 * 2 * 4 * 4 * 100 / 2
	for _, tied := range []bool{true, false} { // the head is counted once in either case, the table never
		if got := tiny(tied).FLOPsPerToken(100); got != 6*matrices+attention {
			t.Errorf("%v FLOPs per token, want %v", got, 6*matrices+attention)
		}
	}
}

// TestConfigRoundTrip: what is written is read back, by us; transformers reads it in testdata/check_folder.py.
func TestConfigRoundTrip(t *testing.T) {
	for name, c := range written() {
		dir := t.TempDir()
		if err := c.Write(dir); err != nil {
			t.Fatal(err)
		}
		got, err := ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		c.DType = "float32"
		if !reflect.DeepEqual(got, c) {
			t.Errorf("%s: read back %+v, wrote %+v", name, got, c)
		}
	}
}

// TestOlderConfig reads what releases of transformers before 5 wrote, and what they left out.
func TestOlderConfig(t *testing.T) {
	dir := t.TempDir()
	text := `{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 100, "hidden_size": 32,
		"intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4, "hidden_act": "silu",
		"rope_scaling": {"type": "linear", "factor": 2.0}, "torch_dtype": "float16", "eos_token_id": 7}`
	if err := os.WriteFile(filepath.Join(dir, configName), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	factor := 2.0
	want := Config{
		VocabSize: 100, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 1, NumAttentionHeads: 4, NumKeyValueHeads: 4,
		HeadDim: 8, RMSNormEps: 1e-6, RopeTheta: 10000, RopeScaling: &RopeScaling{OldType: "linear", Factor: &factor},
		MaxPositionEmbeddings: 2048, InitializerRange: 0.02, EOSTokenIDs: []int32{7}, DType: "float16",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestValidate(t *testing.T) {
	half := 0.5
	cases := map[string]struct {
		change func(c *Config)
		want   string
	}{
		"fine":       {func(c *Config) {}, ""},
		"layers":     {func(c *Config) { c.NumHiddenLayers = 0 }, "num_hidden_layers is 0"},
		"groups":     {func(c *Config) { c.NumKeyValueHeads = 3 }, "no multiple of num_key_value_heads 3"},
		"odd head":   {func(c *Config) { c.HeadDim = 5 }, "head_dim 5 is odd"},
		"eps":        {func(c *Config) { c.RMSNormEps = 0 }, "rms_norm_eps"},
		"theta":      {func(c *Config) { c.RopeTheta = -1 }, "rope_theta"},
		"scaling":    {func(c *Config) { c.RopeScaling = &RopeScaling{RopeType: "dynamic"} }, `"dynamic" is not supported`},
		"factor":     {func(c *Config) { c.RopeScaling = &RopeScaling{RopeType: "linear", Factor: &half} }, "factor"},
		"no factor":  {func(c *Config) { c.RopeScaling = &RopeScaling{RopeType: "linear"} }, "factor"},
		"negative σ": {func(c *Config) { c.InitializerRange = -1 }, "initializer_range"},
	}
	for name, test := range cases {
		c := tiny(false)
		test.change(&c)
		err := c.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
