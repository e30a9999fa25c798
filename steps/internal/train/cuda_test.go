//go:build cuda || cudaemu

package train

import (
	"cmp"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/cuda"
	"athanor/steps/internal/llm"
)

// TestGPUTrainsLikeTheCPU takes ten optimizer steps on the CPU and on the GPU or the emulated one, in float32 and with tensors in
// bfloat16, and compares losses and weights.
func TestGPUTrainsLikeTheCPU(t *testing.T) {
	processor, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close()
	card, err := cuda.Open(0)
	if err != nil {
		t.Skip(err)
	}
	defer card.Close()
	losses, weights := trainTen(t, processor, gpu.Float32)
	for _, c := range []struct {
		precision    gpu.Precision
		loss, weight float64 // how far off they may be: of the loss, and of the greatest change of a weight
	}{{gpu.Float32, 1e-5, 2e-3}, {gpu.BFloat16, 1e-2, 0.5}} {
		gotLosses, gotWeights := trainTen(t, card, c.precision)
		for i, want := range losses {
			if off := math.Abs(gotLosses[i]-want) / want; !(off <= c.loss) {
				t.Errorf("%s: the loss of step %d is %v, the CPU has %v", c.precision, i+1, gotLosses[i], want)
			}
		}
		var most, change float64
		for i, w := range weights[1] {
			most = max(most, math.Abs(float64(gotWeights[1][i]-w)))
			change = max(change, math.Abs(float64(w-weights[0][i])))
		}
		if !(most <= c.weight*change) {
			t.Errorf("%s: a weight is %g off where the greatest change is %g", c.precision, most, change)
		}
		if losses[9] > 0.9*losses[0] {
			t.Errorf("ten steps learned next to nothing: the loss went from %v to %v", losses[0], losses[9])
		}
	}
}

// trainTen returns the losses, and the weights before and after.
func trainTen(t *testing.T, dev gpu.Device, p gpu.Precision) (losses []float64, weights [2][]float32) {
	t.Helper()
	m, err := llm.New(dev, tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Init(3); err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrecision(p); err != nil {
		t.Fatal(err)
	}
	trainer, err := NewTrainer(dev, m, CrossEntropy{}, AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1}, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer trainer.Close()
	source := Packed{Loader: counting(), Context: 12, Micro: 40}
	weights[0] = trained(m)
	for range 10 {
		batches, err := source.Next(40)
		if err != nil {
			t.Fatal(err)
		}
		r, err := trainer.Step(batches, 1e-2)
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, r.Loss)
	}
	weights[1] = trained(m)
	return losses, weights
}

// TestGPUSamplesLikeTheHost: what the GPU draws where the logits are is what the host draws from them when they are copied, and
// the log-probabilities are those of training at the same temperature (TestPitfall13 in package llm).
func TestGPUSamplesLikeTheHost(t *testing.T) {
	card, err := cuda.Open(0)
	if err != nil {
		t.Skip(err)
	}
	defer card.Close()
	for _, c := range []struct {
		precision gpu.Precision
		how       llm.Sampling
		gap       float64 // between sampling and training
	}{
		{gpu.Float32, llm.Sampling{Temperature: 1.3}, 1e-5},
		{gpu.BFloat16, llm.Sampling{Temperature: 1}, 2e-2},
		{gpu.Float32, llm.Sampling{Temperature: 0.8, TopK: 7, TopP: 0.9}, -1}, // training knows no top-k
		{gpu.Float32, llm.Sampling{}, 1e-5},
	} {
		c.how.MaxTokens, c.how.Seed = 12, 3
		answers, sampled, trained := sampleOn(t, card, c.precision, c.how)
		onHost, hostSampled, _ := sampleOn(t, struct{ gpu.Device }{card}, c.precision, c.how)
		if !reflect.DeepEqual(answers, onHost) {
			t.Errorf("%s, %+v: the GPU draws %v, the host %v", c.precision, c.how, answers, onHost)
			continue
		}
		for i, logp := range sampled {
			if math.Abs(logp-hostSampled[i]) > 1e-9 {
				t.Errorf("%s, %+v: token %d has log-probability %v on the GPU, %v on the host", c.precision, c.how, i, logp, hostSampled[i])
			}
			if c.gap > 0 && math.Abs(logp-trained[i]) > c.gap {
				t.Errorf("%s, %+v: token %d has log-probability %v when sampled, %v in training", c.precision, c.how, i, logp, trained[i])
			}
		}
	}
}

// sampleOn returns answers to two prompts, the log-probabilities that came with their tokens, and those that training
// computes for the tokens.
func sampleOn(t *testing.T, dev gpu.Device, p gpu.Precision, how llm.Sampling) (answers [][]int32, sampled, trained []float64) {
	t.Helper()
	m, err := llm.New(dev, tiny)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := errors.Join(m.Init(3), m.SetPrecision(p)); err != nil {
		t.Fatal(err)
	}
	prompts, logp := [][]int32{{1, 4, 2}, {7}}, [2][]float64{}
	answers, err = m.Generate(t.Context(), prompts, how, func(seq int, _ int32, p float64) error {
		logp[seq] = append(logp[seq], p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, prompt := range prompts {
		text := slices.Concat(prompt, answers[i])
		s := &gpu.Stream{}
		s.Append(text, append(slices.Clone(text[1:]), gpu.NoTarget), 0)
		again := make([]float64, len(text))
		if err := errors.Join(m.Inference(len(text)), m.Forward(s), m.LogProbs(again, nil, s, cmp.Or(how.Temperature, 1))); err != nil {
			t.Fatal(err)
		}
		sampled, trained = append(sampled, logp[i]...), append(trained, again[len(prompt)-1:len(text)-1]...)
	}
	return answers, sampled, trained
}

// trained is all weights as they are saved.
func trained(m *llm.Model) []float32 {
	var all []float32
	for _, p := range m.Params() {
		w := make([]float32, p.Weight.Len())
		p.Read(m.Device(), w, 0)
		all = append(all, w...)
	}
	return all
}
