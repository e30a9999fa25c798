package llm

import (
	"errors"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/ref"
)

// TestLossBackward: forward and backward of the head at once have the bits that they have one after the other.
func TestLossBackward(t *testing.T) {
	processor, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close()
	c := tiny(true)
	s := randomStream(c.VocabSize, 1, 5, 40, 1, 31)
	gradients := func(backward func(m *Model, logp, lse []float64) error) (logp []float64, all [][]float32) {
		m, err := New(processor, c)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		logp, lse := make([]float64, s.Len()), make([]float64, s.Len())
		if err := errors.Join(m.Init(1), m.Training(s.Len()), m.Forward(s), backward(m, logp, lse)); err != nil {
			t.Fatal(err)
		}
		for _, p := range m.Params() {
			g := make([]float32, p.Grad.Len())
			processor.Read(g, p.Grad)
			all = append(all, g)
		}
		return logp, all
	}
	apartLogp, apart := gradients(func(m *Model, logp, lse []float64) error {
		err := m.LogProbs(logp, lse, s, 1)
		d := slices.Repeat([]float64{-0.1}, s.Len())
		return errors.Join(err, m.Backward(s, 1, d, lse))
	})
	togetherLogp, together := gradients(func(m *Model, logp, lse []float64) error {
		done, err := m.LossBackward(logp, lse, s, 1, func(_ int, _, lse float64) (float64, float64) { return -0.1, lse })
		if !done {
			t.Error("the CPU cannot do both at once")
		}
		return err
	})
	if !slices.Equal(apartLogp, togetherLogp) || !slices.EqualFunc(apart, together, slices.Equal[[]float32]) {
		t.Error("the bits differ")
	}
	m := newModel(t, c, s.Len())
	if done, err := m.LossBackward(nil, nil, s, 1, nil); done || err != nil {
		t.Errorf("the specification does both at once: %v, %v", done, err)
	}
}

// TestPrecision: in bfloat16 the CPU's loss and gradients are those of the specification with rounded factors, and these
// are near those without rounding, but others. What a model samples does not depend on it.
func TestPrecision(t *testing.T) {
	processor, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close()
	c := Config{
		VocabSize: 97, HiddenSize: 48, IntermediateSize: 80, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 12, RMSNormEps: 1e-5, RopeTheta: 1e4, MaxPositionEmbeddings: 128, InitializerRange: 0.2, TieWordEmbeddings: true,
	}
	s := randomStream(c.VocabSize, 1, 5, 60, 1, 31)
	run := func(dev gpu.Device, p gpu.Precision) (loss float64, gradient []float64, answers [][]int32) {
		m, err := New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if err := errors.Join(m.Init(1), m.Training(s.Len()), m.SetPrecision(p)); err != nil {
			t.Fatal(err)
		}
		answers, err = m.Generate(t.Context(), [][]int32{{1, 2}, {3}}, Sampling{MaxTokens: 12, Temperature: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		loss = crossEntropyBackward(t, m, s, supervised(s))
		for _, p := range m.Params() {
			g := make([]float32, p.Grad.Len())
			dev.Read(g, p.Grad)
			for _, v := range g {
				gradient = append(gradient, float64(v))
			}
		}
		return loss, gradient, answers
	}
	exactLoss, exact, said := run(ref.Open(), gpu.Float32)
	roundedLoss, rounded, _ := run(ref.Open(), gpu.BFloat16)
	if e := relative(rounded, exact); e < 1e-3 || e > 5e-2 {
		t.Errorf("rounding changes the gradient by %.1e of the largest", e)
	}
	if e := relative([]float64{roundedLoss}, []float64{exactLoss}); e == 0 || e > 1e-2 {
		t.Errorf("the loss is %v, and %v with rounding", exactLoss, roundedLoss)
	}
	if !slices.Contains(processor.Precisions(), gpu.BFloat16) {
		t.Skip("this processor has no products of bfloat16")
	}
	loss, gradient, answers := run(processor, gpu.BFloat16)
	if e := relative(gradient, rounded); e > 5e-3 {
		t.Errorf("the gradient is %.1e of the largest away from the specification's", e)
	}
	if e := relative([]float64{loss}, []float64{roundedLoss}); e > 1e-4 {
		t.Errorf("the loss is %v, and %v by the specification", loss, roundedLoss)
	}
	for i, a := range answers {
		if !slices.Equal(a, said[i]) {
			t.Errorf("the answer %v, and %v in float32", a, said[i])
		}
	}
}
