//go:build cudaemu

package cuda

import (
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
	"athanor/gpu/cuda/internal/emu"
	"athanor/gpu/gputest"
)

// TestConformance runs the suite on the emulator. What the suite takes for a number of threads is here the seed of the
// order in which the threads of kernels run: a race shows as bits that differ.
func TestConformance(t *testing.T) {
	gputest.Run(t, inChunks(Open), gputest.Tolerance{F32: 1e-5, Products: 3e-4, BF16: 1e-2})
}

// counted is a driver that counts allocations.
type counted struct {
	driver.Driver
	allocations int
}

func (c *counted) Alloc(bytes int64) (driver.Ptr, error) {
	c.allocations++
	return c.Driver.Alloc(bytes)
}

// TestStepsDoNotAllocate runs the operators of a training step again and again, with a stream that changes: only the first
// time may ask the driver for memory. A chunk is so large that tensors here would never need a second one, so the test
// makes each allocation a chunk of its own.
func TestStepsDoNotAllocate(t *testing.T) {
	s, err := emu.Parse("memory=64") // less than a chunk
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{Driver: emu.Open(1, s)}
	d, err := newDevice(c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	const N, D, H, G, E, V = 40, 32, 4, 2, 8, 90
	tensor := func(of gpu.DType, rows, cols int) gpu.Tensor {
		x, err := d.Alloc(of, rows, cols)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	x, q, k, v := tensor(gpu.BF16, N, D), tensor(gpu.BF16, N, H*E), tensor(gpu.BF16, N, G*E), tensor(gpu.BF16, N, G*E)
	w, dw, lse, rstd := tensor(gpu.BF16, V, D), tensor(gpu.F32, V, D), tensor(gpu.F32, N, H), tensor(gpu.F32, N, 1)
	m, moment, master := tensor(gpu.F32, V, D), tensor(gpu.F32, V, D), tensor(gpu.F32, V, D)
	norm, dNorm := tensor(gpu.BF16, 1, D), tensor(gpu.F32, 1, D)
	logp, angles := make([]float64, N), &gpu.Rope{HeadSize: E, InvFreq: make([]float64, E/2), Scale: 1}
	after := 0
	for step := range 4 {
		stream := &gpu.Stream{}
		for i := range 4 {
			ids := make([]int32, N/4)
			for j := range ids {
				ids[j] = int32((step + i*j) % V)
			}
			stream.Append(ids, ids, 0)
		}
		d.Embed(x, w, stream)
		d.RMSNorm(x, rstd, x, norm, 1e-5)
		d.Rope(q, angles, stream, false)
		d.Attention(q, lse, q, k, v, E, stream)
		d.AttentionBackward(q, k, v, q, q, lse, q, k, v, E, stream)
		if err := d.LMHead(logp, nil, x, w, stream, 1); err != nil {
			t.Fatal(err)
		}
		logp[0] = 1
		d.LMHeadBackward(x, dw, x, w, stream, 1, logp, nil)
		loss := func(int, float64, float64) (float64, float64) { return 1, 0 }
		if err := d.LMHeadLoss(logp, slices.Clone(logp), x, dw, x, w, stream, 1, loss); err != nil {
			t.Fatal(err)
		}
		d.RMSNormBackward(x, dNorm, x, x, norm, rstd, gpu.Tensor{})
		d.EmbedBackward(dw, x, stream)
		if _, err := d.SumSquares([]gpu.Tensor{dw}); err != nil {
			t.Fatal(err)
		}
		d.AdamW([]gpu.AdamWTensor{{Weight: w, Master: master, Grad: dw, M: m, V: moment}}, gpu.AdamWStep{Step: 1, Beta1: 0.9, Beta2: 0.9})
		if step == 0 {
			after = c.allocations
		}
	}
	if c.allocations != after {
		t.Errorf("%d allocations in the first step, %d in all", after, c.allocations)
	}
}
