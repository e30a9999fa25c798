package cpu

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu/internal/simd"
	"athanor/gpu/gputest"
)

// TestConformance holds every code path that this machine can run to the specification.
func TestConformance(t *testing.T) {
	for _, k := range simd.Available() {
		t.Run(k.Name, func(t *testing.T) {
			t.Setenv(pathVariable, k.Name)
			gputest.Run(t, Open, gputest.Tolerance{F32: 1e-5})
		})
	}
}

// TestOpen is about what Open is told.
func TestOpen(t *testing.T) {
	if _, err := Open(-1); err == nil {
		t.Error("Open(-1) succeeds")
	}
	t.Setenv(pathVariable, "mmx")
	if _, err := Open(0); err == nil || !strings.Contains(err.Error(), "choose one of") {
		t.Errorf("Open with an unknown code path: %v", err)
	}
}

// TestAllocRefuses is about allocations that cannot be.
func TestAllocRefuses(t *testing.T) {
	d := open(t, 1)
	if d.memory.limit == 0 {
		t.Skip("the size of this machine's memory is unknown")
	}
	if _, err := d.Alloc(gpu.F32, 1<<30, 1<<20); !errors.Is(err, gpu.ErrOutOfMemory) {
		t.Errorf("4 PiB: %v", err)
	}
	if _, err := d.Alloc(gpu.BF16, 1, 1); err == nil {
		t.Error("a bfloat16 tensor is allocated, which no operator can use")
	}
	if d.memory.used != 0 {
		t.Errorf("%d bytes in use after refusals", d.memory.used)
	}
}

// TestStepsDoNotAllocate runs every operator of a training step twice; the second time must not allocate. A step of
// other segments, of no more tokens, must not either.
func TestStepsDoNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 3} {
		s := newStep(t, open(t, threads))
		s.run()
		if n := testing.AllocsPerRun(5, s.run); n > 0 {
			t.Errorf("%d threads: %v allocations per step", threads, n)
		}
	}
}

// A step is the operators of a training step, with a layer of each kind.
type step struct {
	testDevice
	x, y, z, gate, up, q, k, v, out, dk, dv, dq gpu.Tensor
	rstd, lse, norm, dnorm                      gpu.Tensor
	table, wide, narrow                         gpu.Tensor
	stream                                      gpu.Stream
	rope                                        gpu.Rope
	logp, dLogp                                 []float64
	weights                                     []gpu.AdamWTensor
	grads                                       []gpu.Tensor
}

func newStep(t testing.TB, d testDevice) *step {
	const tokens, width, heads, groups, size, hidden, vocab = 300, 64, 4, 2, 16, 176, 500
	s := &step{testDevice: d}
	for _, x := range []*gpu.Tensor{&s.x, &s.y, &s.z, &s.q, &s.out, &s.dq} {
		*x = random(t, d, tokens, width)
	}
	for _, x := range []*gpu.Tensor{&s.k, &s.v, &s.dk, &s.dv} {
		*x = random(t, d, tokens, groups*size)
	}
	s.gate, s.up = random(t, d, tokens, hidden), random(t, d, tokens, hidden)
	s.rstd, s.lse = random(t, d, tokens, 1), random(t, d, tokens, heads)
	s.norm, s.dnorm = random(t, d, 1, width), random(t, d, 1, width)
	s.table, s.wide, s.narrow = random(t, d, vocab, width), random(t, d, hidden, width), random(t, d, groups*size, width)
	s.rope = gpu.Rope{HeadSize: size, InvFreq: make([]float64, size/2), Scale: 1}
	ids := make([]int32, tokens)
	s.stream.Append(ids[:100], ids[:100], 0)
	s.stream.Append(ids[100:], ids[100:], 0)
	s.logp, s.dLogp = make([]float64, tokens), make([]float64, tokens)
	for i := range s.dLogp {
		s.dLogp[i] = -1
	}
	for range 3 {
		w := gpu.AdamWTensor{LR: 1e-3}
		for _, x := range []*gpu.Tensor{&w.Weight, &w.Grad, &w.M, &w.V} {
			*x = random(t, d, 300, 200)
		}
		d.Zero(w.V)
		s.weights, s.grads = append(s.weights, w), append(s.grads, w.Grad)
	}
	return s
}

func (s *step) run() {
	var none gpu.Tensor
	d := s.device
	d.Embed(s.x, s.table, &s.stream)
	d.RMSNorm(s.y, s.rstd, s.x, s.norm, 1e-5)
	d.Linear(s.k, s.y, s.narrow, none)
	d.Rope(s.k, &s.rope, &s.stream, false)
	d.Attention(s.out, s.lse, s.q, s.k, s.v, s.rope.HeadSize, &s.stream)
	d.Linear(s.gate, s.y, s.wide, none)
	d.SwiGLU(s.gate, s.gate, s.up)
	if err := d.LMHead(s.logp, nil, s.y, s.table, &s.stream, 1); err != nil {
		panic(err)
	}
	d.LMHeadBackward(s.z, s.table, s.y, s.table, &s.stream, 1, s.dLogp, nil)
	d.SwiGLUBackward(s.gate, s.up, s.gate, s.gate, s.up)
	d.LinearBackwardInput(s.z, s.gate, s.wide, s.z)
	d.LinearBackwardWeight(s.wide, s.gate, s.y)
	d.AttentionBackward(s.dq, s.dk, s.dv, s.out, s.out, s.lse, s.q, s.k, s.v, s.rope.HeadSize, &s.stream)
	d.Rope(s.dq, &s.rope, &s.stream, true)
	d.RMSNormBackward(s.z, s.dnorm, s.y, s.x, s.norm, s.rstd, s.z)
	d.EmbedBackward(s.table, s.z, &s.stream)
	if _, err := d.SumSquares(s.grads); err != nil {
		panic(err)
	}
	d.AdamW(s.weights, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: 2, GradScale: 1})
}

// testDevice is a device with what tests and benchmarks need.
type testDevice struct{ *device }

func open(t testing.TB, threads int) testDevice {
	t.Helper()
	d, err := Open(threads)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return testDevice{d.(*device)}
}

// random returns a tensor of numbers in [−0.5, 0.5).
func random(t testing.TB, d gpu.Device, rows, cols int) gpu.Tensor {
	t.Helper()
	x, err := d.Alloc(gpu.F32, rows, cols)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, x.Len())
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	for i := range values {
		values[i] = r.Float32() - 0.5
	}
	d.Write(x, values)
	return x
}
