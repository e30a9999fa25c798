package hardware

import (
	"errors"
	"math"
	"strings"
	"testing"

	"athanor/steps"
)

// llama405 is the shape of Llama 3 405B, in training on sequences of 8,192.
var llama405 = steps.Estimate{
	Parameters: 405_853_388_800, Tokens: 1e12, FLOPs: 2.5e24,
	Facts: map[string]float64{
		"vocab_size": 128256, "dim": 16384, "ffn": 53248, "n_layer": 126, "n_head": 128, "n_kv_head": 8, "head_dim": 128,
	},
	Training: &steps.Training{Context: 8192, Trained: 1},
}

func config(change func(*Config)) Config {
	c := Config{
		GPU: "h100-80gb", GPUs: 16384, Utilization: 0.4,
		layout: layout{Tensor: 8, Pipeline: 16, Context: 1, Sharding: "gradients", Recompute: "selective", Sequences: 1},
	}
	change(&c)
	return c
}

func need(t *testing.T, c Config, e steps.Estimate) Need {
	t.Helper()
	s, err := c.For("pretrain.base", "")
	if err != nil {
		t.Fatal(err)
	}
	n, ok := s.Need(e)
	if !ok || n.Memory == nil {
		t.Fatalf("no need: %+v", n)
	}
	return n
}

// 126 layers and two ends make 16 groups of 8: the paper took a layer off each end for this (section 3.3.2).
func TestMemoryOfTheFullestGPU(t *testing.T) {
	const (
		layer  = 2*16384*128*(128+8) + 3*16384*53248 + 2*16384
		kept   = 2*(2*16384+2*1024+2*16384+2*53248) + 4*128
		tokens = 8192 / 8
	)
	n := need(t, config(func(*Config) {}), llama405)
	weights := 8.0 * layer / 8
	want := Memory{
		Weights: 2 * weights, Gradients: 4 * weights / 128, Optimizer: 12 * weights / 128,
		Activations: tokens * 8 * 16 * kept,
	}
	want.Total = want.Weights + want.Gradients + want.Optimizer + want.Activations
	want.Fits = true
	if *n.Memory != want {
		t.Errorf("memory %+v, not %+v", *n.Memory, want)
	}
}

func TestWhatChangesMemory(t *testing.T) {
	base := need(t, config(func(*Config) {}), llama405).Memory
	for _, test := range []struct {
		name   string
		change func(*Config)
		part   func(*Memory) float64
		factor float64
	}{
		{"context", func(c *Config) { c.Context = 4 }, func(m *Memory) float64 { return m.Activations }, 1. / 4},
		{"sequences", func(c *Config) { c.Sequences = 3 }, func(m *Memory) float64 { return m.Activations }, 3},
		{"tensor", func(c *Config) { c.Tensor = 16 }, func(m *Memory) float64 { return m.Weights }, 1. / 2},
		{"no sharding", func(c *Config) { c.Sharding = "none" }, func(m *Memory) float64 { return m.Optimizer }, 128},
		{"optimizer", func(c *Config) { c.Sharding = "optimizer" }, func(m *Memory) float64 { return m.Gradients }, 128},
		{"optimizer's own", func(c *Config) { c.Sharding = "optimizer" }, func(m *Memory) float64 { return m.Optimizer }, 1},
	} {
		got := need(t, config(test.change), llama405).Memory
		if f := test.part(got) / test.part(base); math.Abs(f-test.factor) > 1e-9 {
			t.Errorf("%s: %g times as much, not %g", test.name, f, test.factor)
		}
	}
	none := need(t, config(func(c *Config) { c.Recompute = "none" }), llama405).Memory
	full := need(t, config(func(c *Config) { c.Recompute = "full" }), llama405).Memory
	if !(none.Activations > base.Activations && base.Activations > full.Activations) {
		t.Errorf("activations: none %g, selective %g, full %g", none.Activations, base.Activations, full.Activations)
	}
	if need(t, config(func(c *Config) { c.Tensor, c.Pipeline = 1, 1 }), llama405).Memory.Fits {
		t.Error("405B on one GPU fits")
	}
}

func TestPolicyAndCritic(t *testing.T) {
	e := llama405
	e.Training = &steps.Training{Context: 8192, Trained: 2, Frozen: 2}
	one, two := need(t, config(func(*Config) {}), llama405).Memory, need(t, config(func(*Config) {}), e).Memory
	if two.Weights != 4*one.Weights || two.Optimizer != 2*one.Optimizer {
		t.Errorf("four models, two of them trained: %+v, one: %+v", two, one)
	}
}

func TestAdapters(t *testing.T) {
	e := llama405
	e.Training = &steps.Training{Context: 8192, Trained: 1, Adapters: llama405.Parameters / 1000}
	whole, some := need(t, config(func(*Config) {}), llama405).Memory, need(t, config(func(*Config) {}), e).Memory
	if f := some.Optimizer / whole.Optimizer; math.Abs(1000*f-1) > 1e-6 || some.Weights != whole.Weights {
		t.Errorf("adapters of a thousandth: optimizer %g times as much, weights %g and %g", f, some.Weights, whole.Weights)
	}
}

func TestHoursAndCost(t *testing.T) {
	price, flops, memory := 2.0, 1e12, 1e12
	c := Config{GPU: "mine", GPUs: 10, FLOPs: &flops, Memory: &memory, Utilization: 0.5, Price: &price,
		layout: layout{Tensor: 1, Pipeline: 1, Context: 1, Sharding: "none", Recompute: "none", Sequences: 1}}
	e := llama405
	e.FLOPs = 0.5e12 * 3600 * 7
	if n := need(t, c, e); n.GPUHours != 7 || n.Hours != 0.7 || n.Cost != 14 || n.SixND != 6*405_853_388_800*1e12 {
		t.Errorf("%+v", n)
	}
	if _, ok := new(Setup).Need(steps.Estimate{Parameters: 5}); ok {
		t.Error("what does not train needs GPUs")
	}
}

// Copies of the model for which a batch has no sequence wait: their hours are paid.
func TestIdleCopies(t *testing.T) {
	e := llama405
	hours := func(batch int64) Need {
		e.Training = &steps.Training{Context: 8192, Trained: 1, BatchTokens: batch}
		return need(t, config(func(*Config) {}), e)
	}
	enough, half := hours(128*8192), hours(64*8192) // for 128 copies
	if enough.Busy != 1 || half.Busy != 0.5 || math.Abs(half.GPUHours/enough.GPUHours-2) > 1e-9 || math.Abs(half.Hours/enough.Hours-2) > 1e-9 {
		t.Errorf("with a batch for all copies %+v, for half of them %+v", enough, half)
	}
}

func TestMistakes(t *testing.T) {
	three := 3
	for _, test := range []struct {
		change func(*Config)
		path   string
		says   string
	}{
		{func(c *Config) { c.GPU = "h100" }, "gpu", "h100-80gb"},
		{func(c *Config) { c.GPUs = 1000 }, "gpus", "multiple of 128"},
		{func(c *Config) { c.Steps = []Step{{Address: "x.y"}, {Address: "a.b", Context: &three}} }, "step[1]", "multiple of 384"},
	} {
		c := config(test.change)
		bad := (*ConfigError)(nil)
		if err := c.Check(); !errors.As(err, &bad) || bad.Path != test.path || !strings.Contains(bad.Message, test.says) {
			t.Errorf("Check = %v; it should blame %s and say %q", bad, test.path, test.says)
		}
	}
}

func TestTheNearestStepBlockHolds(t *testing.T) {
	two, four := 2, 4
	c := config(func(c *Config) {
		c.Steps = []Step{{Address: "extend_context.long", Context: &two}, {Address: `extend_context.long["1024"]`, Context: &four}}
	})
	for address, want := range map[string]int{`extend_context.long["512"]`: 2, `extend_context.long["1024"]`: 4} {
		if s, err := c.For(address, "extend_context.long"); err != nil || s.Context != want {
			t.Errorf("%s has context_parallel %d (%v)", address, s.Context, err)
		}
	}
}
