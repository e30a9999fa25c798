package llm

import (
	"context"
	"math"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// bfloat16Device is the specification with weights and activations in bfloat16, as GPUs keep them. It rounds weights alone.
type bfloat16Device struct{ gpu.Device }

func (bfloat16Device) Storage(p gpu.Precision) gpu.DType {
	if p == gpu.BFloat16 {
		return gpu.BF16
	}
	return gpu.F32
}

// strictDevice checks that every tensor is of the type that it should be in bfloat16.
type strictDevice struct {
	bfloat16Device
	t *testing.T
}

func (d strictDevice) want(name string, of gpu.DType, tensors ...gpu.Tensor) {
	for _, t := range tensors {
		if !t.IsZero() && t.Type != of {
			d.t.Errorf("%s: a tensor of %v where %v belongs", name, t.Type, of)
		}
	}
}

func (d strictDevice) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	d.want("RMSNorm", gpu.BF16, out, x, weight)
	d.want("RMSNorm", gpu.F32, rstd)
	d.Device.RMSNorm(out, rstd, x, weight, eps)
}

func (d strictDevice) Linear(y, x, w, add gpu.Tensor) {
	d.want("Linear", gpu.BF16, x, w)
	d.want("Linear", y.Type, add)
	d.Device.Linear(y, x, w, add)
}

func (d strictDevice) LinearBackwardInput(dx, dy, w, add gpu.Tensor) {
	d.want("LinearBackwardInput", gpu.BF16, dx, dy, w, add)
	d.Device.LinearBackwardInput(dx, dy, w, add)
}

func (d strictDevice) LinearBackwardWeight(dw, dy, x gpu.Tensor) {
	d.want("LinearBackwardWeight", gpu.F32, dw)
	d.want("LinearBackwardWeight", gpu.BF16, dy, x)
	d.Device.LinearBackwardWeight(dw, dy, x)
}

func (d strictDevice) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	d.want("Attention", gpu.BF16, out, q, k, v)
	d.want("Attention", gpu.F32, lse)
	d.Device.Attention(out, lse, q, k, v, headSize, s)
}

func (d strictDevice) AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	d.want("AttentionBackward", gpu.BF16, dq, dk, dv, dOut, out, q, k, v)
	d.want("AttentionBackward", gpu.F32, lse)
	d.Device.AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v, headSize, s)
}

func (d strictDevice) DecodeAttention(out, q gpu.Tensor, c gpu.Cache, headSize int, slots, lengths []int32) {
	d.want("DecodeAttention", gpu.BF16, out, q, c.K, c.V)
	d.Device.DecodeAttention(out, q, c, headSize, slots, lengths)
}

func (d strictDevice) LMHeadBackward(dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, dLogp, dLSE []float64) {
	d.want("LMHeadBackward", gpu.BF16, dx, x, w)
	d.want("LMHeadBackward", gpu.F32, dw)
	d.Device.LMHeadBackward(dx, dw, x, w, s, temperature, dLogp, dLSE)
}

// TestBFloat16Storage: in bfloat16 operators read rounded copies of the weights, and what is saved are the weights
// themselves, unchanged; going back to float32 gives the first log-probabilities again.
func TestBFloat16Storage(t *testing.T) {
	dev := bfloat16Device{ref.Open()}
	c := tiny(true)
	m, err := New(dev, c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Init(1); err != nil {
		t.Fatal(err)
	}
	s := randomStream(c.VocabSize, 1, 7, 5)
	if err := m.Inference(12); err != nil {
		t.Fatal(err)
	}
	exact, _ := forwardIn(t, m, gpu.Float32, s)
	before := weights(m)
	near, _ := forwardIn(t, m, gpu.BFloat16, s)
	if r := relative(near, exact); r == 0 || r > 0.02 {
		t.Errorf("log-probabilities of rounded weights are %g off", r)
	}
	if !slices.Equal(weights(m), before) {
		t.Error("rounding changed the weights that are saved")
	}
	for _, p := range m.Params() {
		for i, w := range ref.Float64(p.Weight) {
			if bits := math.Float32bits(float32(w)); bits&0xffff != 0 {
				t.Fatalf("%s: element %d is %v, which no bfloat16 is", p.Name, i, w)
			}
		}
	}
	if back, _ := forwardIn(t, m, gpu.Float32, s); !slices.Equal(back, exact) {
		t.Error("back in float32 the log-probabilities differ from the first")
	}
}

// TestBFloat16Passes runs every pass of a model in bfloat16; the device checks the types of its tensors.
func TestBFloat16Passes(t *testing.T) {
	dev := strictDevice{bfloat16Device{ref.Open()}, t}
	for _, score := range []bool{false, true} {
		c := tiny(!score)
		c.Score = score
		m, err := New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Init(1); err != nil {
			t.Fatal(err)
		}
		if err := m.SetPrecision(gpu.BFloat16); err != nil {
			t.Fatal(err)
		}
		if err := m.Training(16); err != nil {
			t.Fatal(err)
		}
		s := randomStream(c.VocabSize, 2, 9, 4)
		crossEntropyBackward(t, m, s, supervised(s))
		for _, p := range m.Params() {
			if p.Grad.Type != gpu.F32 || p.Master.Type != gpu.F32 || p.Weight.Type != gpu.BF16 {
				t.Errorf("%s: a weight of %v, a master of %v, a gradient of %v", p.Name, p.Weight.Type, p.Master.Type, p.Grad.Type)
			}
		}
		if !score {
			if _, err := m.Generate(context.Background(), [][]int32{{1, 4}, {3}}, Sampling{MaxTokens: 5}, nil); err != nil {
				t.Error(err)
			}
		}
		m.Close()
	}
}

func forwardIn(t *testing.T, m *Model, p gpu.Precision, s *gpu.Stream) (logp, lse []float64) {
	t.Helper()
	if err := m.SetPrecision(p); err != nil {
		t.Fatal(err)
	}
	if err := m.Inference(s.Len()); err != nil {
		t.Fatal(err)
	}
	return forward(t, m, s, 1)
}

// weights is all weights as they are saved.
func weights(m *Model) []float32 {
	var all []float32
	for _, p := range m.Params() {
		w := make([]float32, p.Weight.Len())
		p.Read(m.Device(), w, 0)
		all = append(all, w...)
	}
	return all
}

// TestBFloat16Adapters trains adapters in bfloat16 and merges them: every pass is in bfloat16, and the merged weights are
// those that float32 would give.
func TestBFloat16Adapters(t *testing.T) {
	dev := strictDevice{bfloat16Device{ref.Open()}, t}
	c := tiny(true)
	m, err := New(dev, c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Init(1); err != nil {
		t.Fatal(err)
	}
	if err := m.SetPrecision(gpu.BFloat16); err != nil {
		t.Fatal(err)
	}
	if err := m.AddLoRA(LoRA{Rank: 2, Alpha: 3, Targets: []string{"q_proj", "down_proj"}}, 1); err != nil {
		t.Fatal(err)
	}
	if err := m.Training(16); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		if p.Weight.Type != gpu.BF16 || p.Master.Type != gpu.F32 || p.Grad.Type != gpu.F32 {
			t.Errorf("%s: a weight of %v, a master of %v, a gradient of %v", p.Name, p.Weight.Type, p.Master.Type, p.Grad.Type)
		}
		w := make([]float32, p.Weight.Len())
		for i := range w {
			w[i] = float32(i%5)/7 - 0.2
		}
		p.Write(dev, 0, w)
	}
	s := randomStream(c.VocabSize, 2, 9, 4)
	crossEntropyBackward(t, m, s, supervised(s))

	q := m.layers[0].q
	a, b, want := ref.Float64(q.adapter.a.Master), ref.Float64(q.adapter.b.Master), ref.Float64(q.Master)
	for o := range q.Master.Rows {
		for i := range q.Master.Cols {
			for r := range 2 {
				want[o*q.Master.Cols+i] += 1.5 * b[o*2+r] * a[r*q.Master.Cols+i]
			}
		}
	}
	if err := m.mergeUnchecked(dev); err != nil {
		t.Fatal(err)
	}
	if off := relative(ref.Float64(q.Master), want); off > 1e-6 {
		t.Errorf("the merged master is %g off", off)
	}
	if off := relative(ref.Float64(q.Weight), want); off == 0 || off > 4e-3 {
		t.Errorf("what the operators read of the merged weight is %g off", off)
	}
}

// mergeUnchecked merges in float32, which a strictDevice would not let pass.
func (m *Model) mergeUnchecked(dev strictDevice) error {
	m.dev = dev.bfloat16Device
	defer func() { m.dev = dev }()
	return m.Merge()
}
