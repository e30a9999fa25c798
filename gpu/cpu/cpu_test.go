package cpu

import (
	"errors"
	"math/rand/v2"
	"slices"
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
			gputest.Run(t, Open, gputest.Tolerance{F32: 1e-5, Products: 3e-4})
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

// TestZero: a tensor that Zero has set reads as zeros and sums begin from zero, whoever comes first.
func TestZero(t *testing.T) {
	d := open(t, 2)
	x, dy := random(t, d, 20, 6), random(t, d, 20, 8)
	want := make([]float32, 8*6)
	fresh, err := d.Alloc(gpu.F32, 8, 6)
	if err != nil {
		t.Fatal(err)
	}
	d.LinearBackwardWeight(fresh, dy, x)
	d.Read(want, fresh)

	dw, got := random(t, d, 8, 6), make([]float32, 8*6)
	for name, after := range map[string]func() []float32{
		"read":    func() []float32 { return make([]float32, 8*6) },
		"product": func() []float32 { d.LinearBackwardWeight(dw, dy, x); return want },
		"product without x": func() []float32 {
			d.LinearBackwardWeight(dw, dy.Slice(0, 0), x.Slice(0, 0))
			return make([]float32, 8*6)
		},
		"product in a slice": func() []float32 {
			d.LinearBackwardWeight(dw.Slice(0, 4), random(t, d, 2, 4), x.Slice(0, 2))
			return nil
		},
		"write to a slice": func() []float32 {
			d.Write(dw.Slice(7, 8), []float32{1, 2, 3, 4, 5, 6})
			return append(make([]float32, 7*6), 1, 2, 3, 4, 5, 6)
		},
	} {
		d.LinearBackwardWeight(dw, dy, x)
		d.Zero(dw)
		want := after()
		d.Read(got, dw)
		if want == nil {
			got, want = got[4*6:], make([]float32, 4*6)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, not %v", name, got, want)
		}
		got = make([]float32, 8*6)
	}
}

// TestStepsDoNotAllocate runs training steps: the first may allocate, those after it must not.
func TestStepsDoNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 3} {
		d := open(t, threads)
		for _, p := range d.Precisions() {
			if err := d.SetPrecision(p); err != nil {
				t.Fatal(err)
			}
			s := newStep(t, d, shape{tokens: 300, segment: 100, layers: 2, width: 64, heads: 4, groups: 2, size: 16, hidden: 176, vocab: 500})
			s.run()
			if n := testing.AllocsPerRun(5, s.run); n > 0 {
				t.Errorf("%d threads, %s: %v allocations per step", threads, p, n)
			}
		}
	}
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
