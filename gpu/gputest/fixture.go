package gputest

import (
	"math"
	"math/rand/v2"
	"testing"

	"athanor/gpu"
)

// A fixture gives a trial its operands and takes its results. The same trial draws the same numbers on every device.
type fixture struct {
	gpu.Device
	t       *testing.T
	rng     *rand.Rand
	variant variant
	blocks  []block
	results []result
}

// A block is one allocation, with what stood in it before the operator ran.
type block struct {
	whole    gpu.Tensor
	from, to int // the tensor's own elements; those around it must stay
	constant bool
	before   []float32
}

// A result is one output of an operator, read back.
type result struct {
	name   string
	dtype  gpu.DType // the coarsest rounding on the way to it
	values []float64
	scale  float64 // errors count relative to this where the values themselves are smaller: they cancel
	exact  bool    // no error is allowed
}

// run runs the trial on a device and returns its results.
func (v variant) run(t *testing.T, d gpu.Device, trial trial) []result {
	t.Helper()
	f := &fixture{Device: d, t: t, rng: rand.New(rand.NewPCG(1, 2)), variant: v}
	if err := d.SetPrecision(v.precision); err != nil {
		t.Fatal(err)
	}
	trial.run(f)
	f.finish()
	if err := d.SetPrecision(gpu.Float32); err != nil { // as it was opened
		t.Fatal(err)
	}
	return f.results
}

// in is an operand of random numbers that the operator may not change.
func (f *fixture) in(rows, cols int) gpu.Tensor { return f.inOf(rows, cols, f.normal) }

// inOf is in with numbers of the trial's choice.
func (f *fixture) inOf(rows, cols int, next func() float32) gpu.Tensor {
	f.t.Helper()
	return f.tensor(f.variant.dtype, rows, cols, true, next)
}

// inout is an operand of random numbers that the operator changes.
func (f *fixture) inout(rows, cols int) gpu.Tensor {
	f.t.Helper()
	return f.tensor(f.variant.dtype, rows, cols, false, f.normal)
}

// grad is the gradient of a weight: always float32, with numbers in it to accumulate to.
func (f *fixture) grad(rows, cols int) gpu.Tensor {
	f.t.Helper()
	return f.tensor(gpu.F32, rows, cols, false, f.normal)
}

// out is an output, full of NaN.
func (f *fixture) out(rows, cols int) gpu.Tensor {
	f.t.Helper()
	return f.tensor(f.variant.dtype, rows, cols, false, nan)
}

// kept is an output that a forward keeps for its backward: always float32.
func (f *fixture) kept(rows, cols int) gpu.Tensor {
	f.t.Helper()
	return f.tensor(gpu.F32, rows, cols, false, nan)
}

func (f *fixture) normal() float32 { return float32(f.rng.NormFloat64()) }

// integer returns a function that draws whole numbers from −most to most. Sums of their products are exact.
func (f *fixture) integer(most int) func() float32 {
	return func() float32 { return float32(f.rng.IntN(2*most+1) - most) }
}

func nan() float32 { return float32(math.NaN()) }

func (f *fixture) tensor(dtype gpu.DType, rows, cols int, constant bool, next func() float32) gpu.Tensor {
	f.t.Helper()
	m := f.variant.margin
	whole, err := f.Alloc(dtype, m+rows+m, cols)
	if err != nil {
		f.t.Fatalf("Alloc of %d×%d: %v", m+rows+m, cols, err)
	}
	b := block{whole: whole, from: m * cols, to: (m + rows) * cols, constant: constant}
	host := make([]float32, whole.Len())
	for i := range host {
		host[i] = nan()
		if b.from <= i && i < b.to {
			host[i] = next()
		}
	}
	f.Write(whole, host)
	b.before = make([]float32, whole.Len())
	f.Read(b.before, whole)
	f.blocks = append(f.blocks, b)
	return whole.Slice(m, m+rows)
}

// nans is an output on the host.
func (f *fixture) nans(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// normals is an operand on the host.
func (f *fixture) normals(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = f.rng.NormFloat64()
	}
	return values
}

// stream is segments of random tokens of the given lengths. About one token in five has no target.
func (f *fixture) stream(vocab int, lengths ...int) *gpu.Stream {
	s := &gpu.Stream{}
	s.Reset()
	for _, n := range lengths {
		ids, targets := make([]int32, n), make([]int32, n)
		for i := range n {
			ids[i], targets[i] = int32(f.rng.IntN(vocab)), int32(f.rng.IntN(vocab))
			if f.rng.IntN(5) == 0 {
				targets[i] = gpu.NoTarget
			}
		}
		s.Append(ids, targets, 0)
	}
	return s
}

// result reports an output.
func (f *fixture) result(name string, t gpu.Tensor) *result {
	host := make([]float32, t.Len())
	f.Read(host, t)
	values := make([]float64, len(host))
	for i, v := range host {
		values[i] = float64(v)
	}
	return f.host(name, values)
}

// host reports an output on the host.
func (f *fixture) host(name string, values []float64) *result {
	f.results = append(f.results, result{name: name, dtype: f.variant.dtype, values: append([]float64{}, values...)})
	return &f.results[len(f.results)-1]
}

// near says that the values may cancel to much less than scale, the size of their terms.
func (r *result) near(scale float64) { r.scale = scale }

// alwaysF32 says that the result is computed in float32 in every variant.
func (r *result) alwaysF32() *result {
	r.dtype = gpu.F32
	return r
}

// finish checks that nothing changed but outputs, and gives the memory back.
func (f *fixture) finish() {
	f.t.Helper()
	if err := f.Sync(); err != nil {
		f.t.Fatalf("Sync: %v", err)
	}
	for i, b := range f.blocks {
		after := make([]float32, b.whole.Len())
		f.Read(after, b.whole)
		for j, v := range after {
			inside := b.from <= j && j < b.to
			if math.Float32bits(v) == math.Float32bits(b.before[j]) || inside && !b.constant {
				continue
			}
			if inside {
				f.t.Errorf("operand %d of the trial is an input, but element %d became %v", i, j-b.from, v)
			} else {
				f.t.Errorf("operand %d of the trial: element %d, outside the slice %d:%d, became %v", i, j, b.from, b.to, v)
			}
			break
		}
		f.Free(b.whole)
	}
}
