package llm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// counting is a device that counts the bytes it holds and can refuse an allocation.
type counting struct {
	gpu.Device
	held, limit int64
}

func (d *counting) Alloc(t gpu.DType, rows, cols int) (gpu.Tensor, error) {
	size := 4 * int64(rows) * int64(cols)
	if d.limit > 0 && d.held+size > d.limit {
		return gpu.Tensor{}, fmt.Errorf("%w: %d bytes", gpu.ErrOutOfMemory, size)
	}
	d.held += size
	return d.Device.Alloc(t, rows, cols)
}

func (d *counting) Free(t gpu.Tensor) {
	d.held -= 4 * int64(t.Len())
	d.Device.Free(t)
}

// idle is a device whose operators do nothing, so that what is left to measure is the model's own.
type idle struct{ gpu.Device }

func (idle) Zero(gpu.Tensor)                                                     {}
func (idle) Copy(dst, src gpu.Tensor)                                            {}
func (idle) Read([]float32, gpu.Tensor)                                          {}
func (idle) Embed(out, table gpu.Tensor, s *gpu.Stream)                          {}
func (idle) EmbedBackward(dTable, dOut gpu.Tensor, s *gpu.Stream)                {}
func (idle) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32)                {}
func (idle) RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add gpu.Tensor)  {}
func (idle) Linear(y, x, w, add gpu.Tensor)                                      {}
func (idle) LinearBackwardInput(dx, dy, w, add gpu.Tensor)                       {}
func (idle) LinearBackwardWeight(dw, dy, x gpu.Tensor)                           {}
func (idle) Rope(x gpu.Tensor, r *gpu.Rope, s *gpu.Stream, inverse bool)         {}
func (idle) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {}
func (idle) SwiGLU(out, gate, up gpu.Tensor)                                     {}
func (idle) SwiGLUBackward(dGate, dUp, out, dOut, gate, up gpu.Tensor)           {}
func (idle) LMHead([]float64, []float64, gpu.Tensor, gpu.Tensor, *gpu.Stream, float64) error {
	return nil
}
func (idle) LMHeadBackward(_, _, _, _ gpu.Tensor, _ *gpu.Stream, _ float64, dLogp, dLSE []float64) {}
func (idle) AttentionBackward(_, _, _, _, _, _, _, _, _ gpu.Tensor, headSize int, stream *gpu.Stream) {
}

// TestNoAllocationPerStep: once memory is reserved, the model itself allocates nothing in a step of training.
func TestNoAllocationPerStep(t *testing.T) {
	m, err := New(idle{ref.Open()}, tiny(true))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Training(16); err != nil {
		t.Fatal(err)
	}
	s := randomStream(m.Config.VocabSize, 1, 7, 9)
	logp, lse := make([]float64, s.Len()), make([]float64, s.Len())
	logits, row := make([]float32, m.Config.VocabSize), []int{3}
	step := func() {
		m.ZeroGrad()
		err := errors.Join(m.Forward(s), m.LogProbs(logp, lse, s, 1), m.Logits(logits, row...), m.Backward(s, 1, logp, lse))
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(10, step); n != 0 {
		t.Errorf("%v allocations in a step", n)
	}
}

// TestMemory: the estimates are what is allocated, everything is given back, and too little memory is a clear error
// that leaves nothing behind.
func TestMemory(t *testing.T) {
	for _, tied := range []bool{true, false} {
		c := tiny(tied)
		dev := &counting{Device: ref.Open()}
		m, err := New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Inference(16); err != nil {
			t.Fatal(err)
		}
		if want := c.InferenceMemory(16); dev.held != want {
			t.Errorf("inference holds %d bytes, the estimate is %d", dev.held, want)
		}
		if err := m.Training(16); err != nil {
			t.Fatal(err)
		}
		moments := 8 * c.Parameters()
		if want := c.TrainingMemory(16); dev.held+moments != want {
			t.Errorf("training holds %d bytes with the moments, the estimate is %d", dev.held+moments, want)
		}
		if _, err := m.Generate(t.Context(), prompts, Sampling{MaxTokens: 3}, nil); err != nil {
			t.Fatal(err)
		}
		m.Close()
		if dev.held != 0 {
			t.Errorf("%d bytes are held after Close", dev.held)
		}

		dev.limit = c.TrainingMemory(16) - moments - 1
		m, err = New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if err = m.Training(16); !errors.Is(err, gpu.ErrOutOfMemory) || !strings.Contains(err.Error(), "16 tokens") {
			t.Errorf("one byte too few: %v", err)
		}
		m.Close()
		if dev.held != 0 {
			t.Errorf("%d bytes are held after a failed Training and Close", dev.held)
		}
		dev.limit = 1000
		if _, err := New(dev, c); !errors.Is(err, gpu.ErrOutOfMemory) || dev.held != 0 {
			t.Errorf("no memory for weights: %v, and %d bytes are held", err, dev.held)
		}
	}
}

// TestMisuse: calls in the wrong order and tokens of another vocabulary are errors.
func TestMisuse(t *testing.T) {
	m := inference(t, tiny(true))
	s := randomStream(m.Config.VocabSize, 1, 4)
	if err := m.Forward(s); err == nil {
		t.Error("Forward without memory: no error")
	}
	if err := m.Inference(4); err != nil {
		t.Fatal(err)
	}
	if err := m.Forward(randomStream(m.Config.VocabSize, 1, 5)); err == nil {
		t.Error("a stream that is too long: no error")
	}
	if err := m.Forward(&gpu.Stream{}); err == nil {
		t.Error("an empty stream: no error")
	}
	if err := m.Forward(s); err != nil {
		t.Fatal(err)
	}
	if err := m.Backward(s, 1, make([]float64, 4), nil); err == nil {
		t.Error("Backward without Training: no error")
	}
	for _, change := range []func(){func() { s.IDs[2] = 11 }, func() { s.IDs[2], s.Targets[1] = 0, 11 }} {
		change()
		if err := m.Forward(s); err == nil || !strings.Contains(err.Error(), "vocabulary of 11") {
			t.Errorf("an id outside of the vocabulary: %v", err)
		}
	}
}
