package llm

import (
	"testing"

	"athanor/gpu/cpu"
)

// benchmarked is a model of 3 million parameters on the CPU.
func benchmarked(b *testing.B) *Model {
	b.Helper()
	dev, err := cpu.Open(0)
	if err != nil {
		b.Fatal(err)
	}
	m, err := New(dev, Config{
		VocabSize: 4096, HiddenSize: 192, IntermediateSize: 512, NumHiddenLayers: 6, NumAttentionHeads: 6, NumKeyValueHeads: 2,
		HeadDim: 32, RMSNormEps: 1e-5, RopeTheta: 5e5, TieWordEmbeddings: true, MaxPositionEmbeddings: 512, InitializerRange: 0.02,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := m.Init(1); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		m.Close()
		if err := dev.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}

// BenchmarkTraining is one forward and backward over 2,048 tokens in documents of 256.
func BenchmarkTraining(b *testing.B) {
	m := benchmarked(b)
	s := randomStream(m.Config.VocabSize, 1, 256, 256, 256, 256, 256, 256, 256, 256)
	if err := m.Training(s.Len()); err != nil {
		b.Fatal(err)
	}
	logp, lse := make([]float64, s.Len()), make([]float64, s.Len())
	for b.Loop() {
		if err := m.Forward(s); err != nil {
			b.Fatal(err)
		}
		if err := m.LogProbs(logp, lse, s, 1); err != nil {
			b.Fatal(err)
		}
		if err := m.Backward(s, 1, logp, nil); err != nil {
			b.Fatal(err)
		}
	}
	perSecond := float64(s.Len()) * float64(b.N) / b.Elapsed().Seconds()
	b.ReportMetric(perSecond, "tokens/s")
	b.ReportMetric(perSecond*m.Config.FLOPsPerToken(256)/1e9, "GFLOP/s")
}

// BenchmarkDecoding draws 64 tokens for each of 16 prompts.
func BenchmarkDecoding(b *testing.B) {
	m := benchmarked(b)
	prompts := make([][]int32, 16)
	for i := range prompts {
		prompts[i] = []int32{int32(i), 2, 3, 4}
	}
	for b.Loop() {
		if _, err := m.Generate(b.Context(), prompts, Sampling{MaxTokens: 64, Temperature: 1, TopP: 0.95}, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(16*64*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
