package train

import (
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps/internal/llm"
)

func TestGroups(t *testing.T) {
	none, half := 0.0, 0.5
	config := AdamW{WeightDecay: 0.1, Groups: []Group{
		{Match: []string{"model.embed_tokens.*", "*norm.weight"}, LR: 0.5, Decay: &half},
		{Match: []string{"*.mlp.*"}, LR: 2},
		{Match: []string{"*.1.mlp.up_proj.weight", "lm_head.weight"}, LR: 3, Decay: &none}, // the first is taken by the group before
	}}
	m := newModel(t, ref.Open())
	if err := m.Training(8); err != nil {
		t.Fatal(err)
	}
	want := map[string][2]float64{
		"model.embed_tokens.weight": {0.5, 0.5}, "model.norm.weight": {0.5, 0.5}, "model.layers.0.input_layernorm.weight": {0.5, 0.5},
		"model.layers.0.self_attn.q_proj.weight": {1, 0.1}, "model.layers.1.mlp.up_proj.weight": {2, 0.1}, "lm_head.weight": {3, 0},
	}
	check := func(name string, want map[string][2]float64) {
		opt, err := newOptimizer(m.Device(), m.Params(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer opt.close()
		opt.update(0.01, 1)
		seen := 0
		for i, p := range m.Params() {
			w, ok := want[p.Name]
			if !ok {
				continue
			}
			seen++
			if a := opt.tensors[i]; a.LR != 0.01*w[0] || a.Decay != w[1] {
				t.Errorf("%s, %s: learning rate %g, decay %g, want %g and %g", name, p.Name, a.LR, a.Decay, 0.01*w[0], w[1])
			}
		}
		if seen != len(want) {
			t.Errorf("only %d of %d tensors are there", seen, len(want))
		}
	}
	check("groups", want)
	if i, err := config.Unmatched(m.Params()); i != -1 || err != nil {
		t.Errorf("group %d: %v", i, err)
	}

	config.MuP = &llm.MuP{Base: 4, Dim: 16}
	check("groups and MuP", map[string][2]float64{
		"model.embed_tokens.weight": {0.5, 0.5}, "model.norm.weight": {0.125, 2}, "model.layers.0.input_layernorm.weight": {0.5, 0.5},
		"model.layers.0.self_attn.q_proj.weight": {0.25, 0.4}, "model.layers.1.mlp.up_proj.weight": {0.5, 0.4}, "lm_head.weight": {3, 0},
	})

	for pattern, part := range map[string]string{"model.layer.*": "no weight", "[": "pattern", "*.mlp.gate_proj.weight": "earlier group"} {
		config.Groups[2].Match = []string{pattern}
		if i, err := config.Unmatched(m.Params()); i != 2 || err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: group %d: %v", pattern, i, err)
		}
	}
}
