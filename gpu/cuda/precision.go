package cuda

import (
	"fmt"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// Precisions lists both, bfloat16 first: tensor cores multiply it ten times as fast.
func (d *device) Precisions() []gpu.Precision { return []gpu.Precision{gpu.BFloat16, gpu.Float32} }

// SetPrecision holds for the products that follow.
func (d *device) SetPrecision(p gpu.Precision) error {
	if !slices.Contains(d.Precisions(), p) {
		return fmt.Errorf("cuda: no products in precision %q, only in %v", p, d.Precisions())
	}
	d.precision = p
	return nil
}

// Storage is bfloat16 in the precision of that name: products read it as it is, and all other operators move half the
// bytes.
func (d *device) Storage(p gpu.Precision) gpu.DType {
	if p == gpu.BFloat16 {
		return gpu.BF16
	}
	return gpu.F32
}

// multiply queues a matrix product. In the precision bfloat16 float32 factors are rounded to scratch first; a model in the type
// that Storage says has none.
func (d *device) multiply(p driver.Product) {
	if d.fault != nil || p.M == 0 || p.N == 0 || p.K == 0 && p.C == p.D { // a sum of nothing added to D
		return
	}
	if d.precision == gpu.BFloat16 && p.In == driver.F32 {
		rowsA, rowsB := p.M, p.K
		if p.TransA {
			rowsA = p.K
		}
		if p.TransB {
			rowsB = p.N
		}
		p.A, p.B = d.rounded(roundedLeft, p.A, rowsA*p.LDA), d.rounded(roundedRight, p.B, rowsB*p.LDB)
		p.In = driver.BF16
		if d.fault != nil {
			return
		}
	}
	d.keep(d.driver.Multiply(p))
}

// rounded copies n numbers to scratch as bfloat16.
func (d *device) rounded(scratch int, from driver.Ptr, n int) driver.Ptr {
	to := d.reserve(&d.scratch[scratch], int64(2*n))
	d.elements("cast_bf16_f32", n, pointer(to), pointer(from), long(n))
	return to
}
