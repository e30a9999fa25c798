package cuda

import (
	"fmt"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// Linear sets y = add + x·wᵀ. Beside bfloat16 operands y may be float32: scores and logits lose nothing.
func (d *device) Linear(y, x, w, add gpu.Tensor) {
	const op = "Linear"
	n, i, o := x.Rows, x.Cols, w.Rows
	out := d.result(op, "y", y, x.Type, n, o)
	d.multiply(driver.Product{
		M: n, N: o, K: i,
		A: d.at(op, "x", x, n, i), LDA: i,
		B: d.typed(op, "w", w, x.Type, o, i), LDB: i, TransB: true,
		C: d.optional(op, "add", add, y.Type, n, o), D: out, LDD: o,
		In: elementType(x.Type), Out: elementType(y.Type),
	})
}

// LinearBackwardInput sets dx = add + dy·w.
func (d *device) LinearBackwardInput(dx, dy, w, add gpu.Tensor) {
	const op = "LinearBackwardInput"
	n, i, o := dx.Rows, dx.Cols, w.Rows
	out := d.result(op, "dx", dx, w.Type, n, i)
	d.multiply(driver.Product{
		M: n, N: i, K: o,
		A: d.typed(op, "dy", dy, w.Type, n, o), LDA: o,
		B: d.at(op, "w", w, o, i), LDB: i,
		C: d.optional(op, "add", add, dx.Type, n, i), D: out, LDD: i,
		In: elementType(w.Type), Out: elementType(dx.Type),
	})
}

// LinearBackwardWeight adds dyᵀ·x to dw.
func (d *device) LinearBackwardWeight(dw, dy, x gpu.Tensor) {
	const op = "LinearBackwardWeight"
	n, i, o := x.Rows, x.Cols, dw.Rows
	sum := d.typed(op, "dw", dw, gpu.F32, o, i)
	d.multiply(driver.Product{
		M: o, N: i, K: n,
		A: d.typed(op, "dy", dy, x.Type, n, o), LDA: o, TransA: true,
		B: d.at(op, "x", x, n, i), LDB: i,
		C: sum, D: sum, LDD: i,
		In: elementType(x.Type), Out: driver.F32,
	})
}

// result is at for what a product writes: of the operands' type, or float32.
func (d *device) result(op, name string, t gpu.Tensor, operands gpu.DType, rows, cols int) driver.Ptr {
	if t.Type != operands && t.Type != gpu.F32 {
		panic(fmt.Sprintf("cuda: %s: %s is of %v where the operands are of %v", op, name, t.Type, operands))
	}
	return d.at(op, name, t, rows, cols)
}
