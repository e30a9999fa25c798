package llm

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// TestGradient compares every element of every gradient with central differences, for a loss that weighs each
// log-probability and each log-sum-exp at random, at a temperature that is not 1.
func TestGradient(t *testing.T) {
	cases := map[string]func(c *Config){
		"untied": func(c *Config) {},
		"tied":   func(c *Config) { c.TieWordEmbeddings = true },
		"one head for each query": func(c *Config) {
			c.NumKeyValueHeads = c.NumAttentionHeads
		},
		"one head for all queries": func(c *Config) { c.NumKeyValueHeads = 1 },
		"yarn": func(c *Config) { // its attention factor scales the rotation, and so its backward
			factor := 4.0
			c.RopeScaling = &RopeScaling{RopeType: "yarn", Factor: &factor, OriginalMaxPositionEmbeddings: 8}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			c := tiny(false)
			change(&c)
			checkGradient(t, c)
		})
	}
}

func checkGradient(t *testing.T, c Config) {
	const temperature, step = 0.7, 1e-4
	s := randomStream(c.VocabSize, 3, 4, 1, 5)
	m := newModel(t, c, s.Len()+3) // room to spare: rows beyond the stream must not matter
	random := rand.New(rand.NewPCG(5, 6))
	dLogp, dLSE := make([]float64, s.Len()), make([]float64, s.Len())
	for i := range dLogp {
		dLogp[i], dLSE[i] = random.NormFloat64(), random.NormFloat64()
		if s.Targets[i] == gpu.NoTarget {
			dLogp[i], dLSE[i] = 0, 0
		}
	}
	loss := func() float64 {
		logp, lse := forward(t, m, s, temperature)
		var sum float64
		for i := range logp {
			sum += dLogp[i]*logp[i] + dLSE[i]*lse[i]
		}
		return sum
	}
	loss()
	m.ZeroGrad()
	if err := m.Backward(s, temperature, dLogp, dLSE); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		w := ref.Float64(p.Weight)
		want := make([]float64, len(w))
		for i, v := range w {
			w[i] = v + step
			ref.WriteFloat64(p.Weight, w)
			above := loss()
			w[i] = v - step
			ref.WriteFloat64(p.Weight, w)
			want[i] = (above - loss()) / (2 * step)
			w[i] = v
		}
		ref.WriteFloat64(p.Weight, w)
		if e := relative(ref.Float64(p.Grad), want); e > 1e-5 {
			t.Errorf("%s: gradient and central differences differ by %.1e of the largest", p.Name, e)
		}
	}
}

// TestPitfall04GradientAccumulation: eight documents of unequal lengths give the same gradients in one stream and in
// eight, when the loss is normalised by the supervised tokens of all.
func TestPitfall04GradientAccumulation(t *testing.T) {
	c := tiny(true)
	lengths := []int{3, 9, 1, 6, 2, 7, 5, 4}
	all := &gpu.Stream{}
	all.Reset()
	var parts []*gpu.Stream
	for i, n := range lengths {
		s := randomStream(c.VocabSize, uint64(i), n)
		parts = append(parts, s)
		all.Append(s.IDs, s.Targets, 0)
	}
	total := supervised(all)

	together := newModel(t, c, all.Len())
	together.ZeroGrad()
	lossTogether := crossEntropyBackward(t, together, all, total)

	apart := newModel(t, c, all.Len())
	apart.ZeroGrad()
	var lossApart float64
	for _, s := range parts {
		lossApart += crossEntropyBackward(t, apart, s, total)
	}
	if e := relative([]float64{lossApart}, []float64{lossTogether}); e > 1e-12 {
		t.Errorf("loss %v apart, %v together", lossApart, lossTogether)
	}
	for i, p := range together.Params() {
		got, want := ref.Float64(apart.Params()[i].Grad), ref.Float64(p.Grad)
		if e := relative(got, want); e > 1e-10 {
			t.Errorf("%s: gradients differ by %.1e of the largest", p.Name, e)
		}
	}
}

// TestPitfall11DocumentsDoNotAttend: changing one document of a stream changes no log-probability of the others, and
// each document's are those that it has alone.
func TestPitfall11DocumentsDoNotAttend(t *testing.T) {
	c := tiny(false)
	a, b, d := randomStream(c.VocabSize, 1, 6), randomStream(c.VocabSize, 2, 9), randomStream(c.VocabSize, 3, 4)
	other := randomStream(c.VocabSize, 4, 6)
	m := newModel(t, c, 19)
	pack := func(streams ...*gpu.Stream) []float64 {
		packed := &gpu.Stream{}
		packed.Reset()
		for _, s := range streams {
			packed.Append(s.IDs, s.Targets, 0)
		}
		logp, _ := forward(t, m, packed, 1)
		return logp
	}
	first, second, alone := pack(a, b, d), pack(other, b, d), pack(b)
	if fmt.Sprint(first[:6]) == fmt.Sprint(second[:6]) {
		t.Error("changing a document does not even change its own log-probabilities")
	}
	for i := range first[6:] {
		if first[6+i] != second[6+i] {
			t.Errorf("token %d after the changed document: log-probability %v became %v", i, first[6+i], second[6+i])
		}
	}
	for i, want := range alone {
		if first[6+i] != want {
			t.Errorf("token %d: log-probability %v in a stream, %v alone", i, first[6+i], want)
		}
	}
}
