package llm

import (
	"math"
	"math/rand/v2"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// tiny is a model that is small enough for central differences: grouped queries, heads wider than D/H.
func tiny(tied bool) Config {
	return Config{
		VocabSize: 11, HiddenSize: 8, IntermediateSize: 12, NumHiddenLayers: 2, NumAttentionHeads: 4, NumKeyValueHeads: 2,
		HeadDim: 4, RMSNormEps: 1e-5, RopeTheta: 100, TieWordEmbeddings: tied, MaxPositionEmbeddings: 32,
		InitializerRange: 0.3, EOSTokenIDs: []int32{2},
	}
}

// newModel returns an initialised model on ref, ready to train.
func newModel(t *testing.T, c Config, maxTokens int) *Model {
	t.Helper()
	m, err := New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.Init(1); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range m.Params() {
		if len(p.Shape) == 1 { // norms that are not 1 everywhere
			w := make([]float64, p.Weight.Len())
			for i := range w {
				w[i] = 1 + 0.2*random.NormFloat64()
			}
			ref.WriteFloat64(p.Weight, w)
		}
	}
	if err := m.Training(maxTokens); err != nil {
		t.Fatal(err)
	}
	return m
}

// randomStream returns segments of the given lengths; about one token in six has no target.
func randomStream(vocab int, seed uint64, lengths ...int) *gpu.Stream {
	random := rand.New(rand.NewPCG(seed, 7))
	s := &gpu.Stream{}
	s.Reset()
	for _, n := range lengths {
		ids, targets := make([]int32, n), make([]int32, n)
		for i := range ids {
			ids[i] = int32(random.IntN(vocab))
			targets[i] = int32(random.IntN(vocab))
			if random.IntN(6) == 0 {
				targets[i] = gpu.NoTarget
			}
		}
		s.Append(ids, targets, 0)
	}
	return s
}

func supervised(s *gpu.Stream) int {
	n := 0
	for _, t := range s.Targets {
		if t != gpu.NoTarget {
			n++
		}
	}
	return n
}

// forward returns the log-probabilities of a stream.
func forward(t *testing.T, m *Model, s *gpu.Stream, temperature float64) (logp, lse []float64) {
	t.Helper()
	logp, lse = make([]float64, s.Len()), make([]float64, s.Len())
	if err := m.Forward(s); err != nil {
		t.Fatal(err)
	}
	if err := m.LogProbs(logp, lse, s, temperature); err != nil {
		t.Fatal(err)
	}
	return logp, lse
}

// crossEntropyBackward adds the gradient of −Σ logp / total and returns that loss.
func crossEntropyBackward(t *testing.T, m *Model, s *gpu.Stream, total int) float64 {
	t.Helper()
	logp, _ := forward(t, m, s, 1)
	var loss float64
	coefficients := make([]float64, s.Len())
	for i, target := range s.Targets {
		if target != gpu.NoTarget {
			loss -= logp[i] / float64(total)
			coefficients[i] = -1 / float64(total)
		}
	}
	if err := m.Backward(s, 1, coefficients, nil); err != nil {
		t.Fatal(err)
	}
	return loss
}

// relative is |got-want| over the largest absolute value of want.
func relative(got, want []float64) float64 {
	var largest, worst float64
	for _, w := range want {
		largest = max(largest, math.Abs(w))
	}
	for i, w := range want {
		d := math.Abs(got[i] - w)
		if d != d {
			return math.Inf(1)
		}
		worst = max(worst, d)
	}
	if largest == 0 {
		return worst
	}
	return worst / largest
}
