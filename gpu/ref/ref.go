// Package ref is the specification of package gpu: every operator in float64, with plain loops and no tricks, written
// to be read beside the formula that it stands for. The other devices are held to it by gpu/gputest; ref itself is
// held by central differences and by values from PyTorch.
//
// It leaves speed to the others. Start at norm.go: each file holds one family of operators, the forward first and its
// backward below.
//
// All values are stored as float64, whatever the type of the tensor, and operators round nothing. A tensor's type
// matters in two places only: [Device.Write] and [Device.AdamW] round what they put into a BF16 tensor. Comparing
// another device with ref therefore measures all the rounding that the other device does. The precision BFloat16 is the
// exception: the factors of the large products are rounded as it says, and nothing else.
package ref

import (
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
)

// Device is the specification as a device.
type Device struct {
	precision *gpu.Precision
}

var _ gpu.Device = Device{}

// Open returns the specification as a device.
func Open() gpu.Device {
	p := gpu.Float32
	return Device{&p}
}

// memory is one allocation, what gpu.Tensor.Mem points to.
type memory struct{ values []float64 }

func (Device) Info() gpu.Info {
	return gpu.Info{Kind: "ref", Name: "specification in float64"}
}

func (Device) Alloc(t gpu.DType, rows, cols int) (gpu.Tensor, error) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("ref: Alloc of %d×%d", rows, cols))
	}
	return gpu.Tensor{Rows: rows, Cols: cols, Type: t, Mem: &memory{make([]float64, rows*cols)}}, nil
}

func (Device) Free(t gpu.Tensor) {
	if t.Offset != 0 {
		panic("ref: Free of a slice")
	}
	t.Mem.(*memory).values = nil
}

func (Device) Write(dst gpu.Tensor, src []float32) {
	out := values(dst)
	wantLen("Write", "src", len(src), len(out))
	for i, v := range src {
		out[i] = rounded(dst.Type, float64(v))
	}
}

func (Device) Read(dst []float32, src gpu.Tensor) {
	in := values(src)
	wantLen("Read", "dst", len(dst), len(in))
	for i, v := range in {
		dst[i] = float32(v)
	}
}

func (Device) Zero(t gpu.Tensor) { clear(values(t)) }

func (Device) Copy(dst, src gpu.Tensor) {
	want("Copy", "dst", dst, src.Rows, src.Cols)
	if dst.Type != src.Type {
		panic(fmt.Sprintf("ref: Copy from %v to %v", src.Type, dst.Type))
	}
	copy(values(dst), values(src))
}

// Precisions lists both: neither is fast.
func (Device) Precisions() []gpu.Precision { return []gpu.Precision{gpu.Float32, gpu.BFloat16} }

// SetPrecision holds for the products that follow.
func (dev Device) SetPrecision(p gpu.Precision) error {
	if !slices.Contains(dev.Precisions(), p) {
		return fmt.Errorf("ref: no precision is called %q", p)
	}
	*dev.precision = p
	return nil
}

// Storage is float32 in both, which is to say that nothing is rounded.
func (Device) Storage(gpu.Precision) gpu.DType { return gpu.F32 }

func (Device) Sync() error  { return nil }
func (Device) Close() error { return nil }

// Float64 returns a copy of the tensor's values.
func Float64(t gpu.Tensor) []float64 { return append([]float64{}, values(t)...) }

// WriteFloat64 sets the tensor's values, without rounding. len(v) = t.Len().
func WriteFloat64(t gpu.Tensor, v []float64) {
	wantLen("WriteFloat64", "v", len(v), t.Len())
	copy(values(t), v)
}

// values is the tensor's own part of its allocation, row-major: element (r, c) is values(t)[r*Cols+c].
func values(t gpu.Tensor) []float64 {
	m, ok := t.Mem.(*memory)
	if !ok {
		panic(fmt.Sprintf("ref: a tensor of another device (%T), or one left out that may not be", t.Mem))
	}
	if m.values == nil {
		panic("ref: a tensor used after Free")
	}
	return m.values[t.Offset : t.Offset+t.Len()]
}

// optional is values, or zeros where the operand is left out.
func optional(t gpu.Tensor, n int) []float64 {
	if t.IsZero() {
		return make([]float64, n)
	}
	return values(t)
}

// factors are values as the large products take them.
func (dev Device) factors(t gpu.Tensor) []float64 {
	v := values(t)
	if *dev.precision == gpu.Float32 {
		return v
	}
	out := make([]float64, len(v))
	for i := range v {
		out[i] = dev.factor(v[i])
	}
	return out
}

// factor is a number as the large products take it.
func (dev Device) factor(v float64) float64 {
	if *dev.precision == gpu.Float32 {
		return v
	}
	return rounded(gpu.BF16, v)
}

// rounded is v as an element of type t holds it. BF16 rounds to nearest, ties to even.
func rounded(t gpu.DType, v float64) float64 {
	if t == gpu.F32 {
		return v
	}
	bits := math.Float32bits(float32(v))
	if v != v {
		return v
	}
	bits += 0x7fff + bits>>16&1
	return float64(math.Float32frombits(bits &^ 0xffff))
}

// want panics unless the operand has the shape that the operator needs.
func want(op, operand string, t gpu.Tensor, rows, cols int) {
	if t.Rows != rows || t.Cols != cols {
		panic(fmt.Sprintf("ref: %s: %s is %d×%d, want %d×%d", op, operand, t.Rows, t.Cols, rows, cols))
	}
}

// wantOptional is want for an operand that may be left out.
func wantOptional(op, operand string, t gpu.Tensor, rows, cols int) {
	if !t.IsZero() {
		want(op, operand, t, rows, cols)
	}
}

// wantLen panics unless a list on the host has the length that the operator needs.
func wantLen(op, operand string, got, n int) {
	if got != n {
		panic(fmt.Sprintf("ref: %s: %s has %d elements, want %d", op, operand, got, n))
	}
}

// wantBelow panics unless 0 ≤ i < n.
func wantBelow(op, operand string, i int32, n int) {
	if i < 0 || int(i) >= n {
		panic(fmt.Sprintf("ref: %s: %s %d is not below %d", op, operand, i, n))
	}
}
