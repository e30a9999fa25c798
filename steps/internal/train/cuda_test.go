//go:build cuda || cudaemu

package train

import (
	"math"
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
