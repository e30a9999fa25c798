package train

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"athanor/gpu/cpu"
	"athanor/steps/internal/llm"
)

// wide is a model of a width; heads keep their size.
func wide(dim, base int, tied bool) llm.Config {
	return llm.Config{
		VocabSize: 256, HiddenSize: dim, IntermediateSize: 2 * dim, NumHiddenLayers: 2, NumAttentionHeads: dim / 16, NumKeyValueHeads: dim / 16,
		HeadDim: 16, RMSNormEps: 1e-5, RopeTheta: 10000, MaxPositionEmbeddings: 64, InitializerRange: 0.05, TieWordEmbeddings: tied, MuPBase: base,
	}
}

// change trains a model of a width for a few steps and returns the root mean square of the change of its logits and of
// its trunk after the last layer, normalised.
func change(t *testing.T, dim int, mup, tied bool) (logits, trunk float64) {
	t.Helper()
	const base, steps = 32, 4
	dev, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	config, adamW := wide(dim, 0, tied), AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-12}
	if mup {
		config.MuPBase, adamW.MuP = base, &llm.MuP{Base: base, Dim: dim}
	}
	m, err := llm.New(dev, config)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Init(11); err != nil {
		t.Fatal(err)
	}
	source := &Packed{Loader: counting(), Context: 20, Micro: 80}
	batches, err := source.Next(80)
	if err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(dev, m, CrossEntropy{}, adamW, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	before := activations(t, m, batches[0])
	for range steps {
		if _, err := trainer.Step(batches, 1e-2); err != nil {
			t.Fatal(err)
		}
	}
	after := activations(t, m, batches[0])
	return difference(before[0], after[0]), difference(before[1], after[1])
}

// activations returns the logits of some tokens, and what the head reads of them without the final norm's weight: a
// second model whose head passes on the width's first elements shows it.
func activations(t *testing.T, m *llm.Model, b *Batch) [2][]float32 {
	t.Helper()
	var out [2][]float32
	rows := []int{1, 5, 9, 13, 17, 30, 40, 60}
	read := func(m *llm.Model) []float32 {
		if err := m.Forward(&b.Stream); err != nil {
			t.Fatal(err)
		}
		values := make([]float32, len(rows)*m.Config.VocabSize)
		if err := m.Logits(values, rows...); err != nil {
			t.Fatal(err)
		}
		return values
	}
	out[0] = read(m)
	config := m.Config
	config.TieWordEmbeddings = false
	probe, err := llm.New(m.Device(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer probe.Close()
	if err := probe.Inference(80); err != nil {
		t.Fatal(err)
	}
	for i, p := range probe.Params() {
		values := make([]float32, p.Weight.Len())
		switch p.Name {
		case "lm_head.weight":
			for j := range min(config.VocabSize, config.HiddenSize) {
				values[j*config.HiddenSize+j] = 1
			}
		case "model.norm.weight":
			for j := range values {
				values[j] = 1
			}
		default:
			m.Device().Read(values, m.Params()[i].Weight)
		}
		m.Device().Write(p.Weight, values)
	}
	width := min(config.VocabSize, config.HiddenSize)
	for row := range rows {
		all := read(probe)
		out[1] = append(out[1], all[row*config.VocabSize:row*config.VocabSize+width]...)
	}
	return out
}

func difference(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		d := float64(a[i]) - float64(b[i])
		sum += d * d
	}
	return math.Sqrt(sum / float64(len(a)))
}

// TestMuPCoordinateCheck is the check of the paper's appendix D.1: over widths, what a few steps change in the
// activations neither grows nor vanishes. Without the parametrization it grows.
func TestMuPCoordinateCheck(t *testing.T) {
	widths := []int{32, 64, 128, 256}
	for _, tied := range []bool{false, true} {
		for _, mup := range []bool{true, false} {
			var logits, trunk []float64
			for _, dim := range widths {
				l, h := change(t, dim, mup, tied)
				logits, trunk = append(logits, l), append(trunk, h)
			}
			name := fmt.Sprintf("tied %v, MuP %v", tied, mup)
			t.Logf("%s: logits %.3f, trunk %.3f", name, logits, trunk)
			last := len(widths) - 1
			for figure, values := range map[string][]float64{"logits": logits, "trunk": trunk} {
				growth := values[last] / values[0]
				if mup && (growth > 1.4 || growth < 1/1.4) {
					t.Errorf("%s: the change of the %s grows by %.2f from width %d to %d: %.3f", name, figure, growth, widths[0], widths[last], values)
				}
			}
			if growth := logits[last] / logits[0]; !mup && growth < 2 {
				t.Errorf("%s: the change of the logits grows by %.2f only: the check would see nothing", name, growth)
			}
		}
	}
}

func TestMuPAtItsBaseChangesNothing(t *testing.T) {
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	var all []string
	for _, base := range []int{0, 32} {
		m, err := llm.New(dev, wide(32, base, false))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Init(1); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, p := range m.Params() {
			values := make([]float32, p.Weight.Len())
			dev.Read(values, p.Weight)
			fmt.Fprint(&b, values)
			u := llm.MuP{Base: 32, Dim: 32}
			if u.LR(p) != 1 || u.Decay(p) != 1 {
				t.Errorf("%s: %g, %g", p.Name, u.LR(p), u.Decay(p))
			}
		}
		if one, err := m.NormIsOne(); !one || err != nil {
			t.Errorf("the norm: %v, %v", one, err)
		}
		all = append(all, b.String())
		m.Close()
	}
	if all[0] != all[1] {
		t.Error("other initial weights")
	}
}
