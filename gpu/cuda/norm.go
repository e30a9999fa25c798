package cuda

import (
	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// normParts is how many partial sums of the weight's gradient there are at most, one for each block.
const normParts = 512

// RMSNorm sets out[n] = x[n]·rstd[n]·weight.
func (d *device) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	const op = "RMSNorm"
	n, width := x.Rows, x.Cols
	xs := d.at(op, "x", x, -1, -1)
	os := d.typed(op, "out", out, x.Type, n, width)
	rs := d.typed(op, "rstd", rstd, gpu.F32, n, 1)
	ws := d.typed(op, "weight", weight, x.Type, 1, width)
	d.rows(kernel("rmsnorm", x.Type), n, rowThreads, pointer(os), pointer(rs), pointer(xs), pointer(ws), float(float64(eps)), integer(width))
}

// RMSNormBackward sets dx and adds to dWeight. Each block sums its part of dWeight, and the parts are added in order.
func (d *device) RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add gpu.Tensor) {
	const op = "RMSNormBackward"
	n, width := x.Rows, x.Cols
	xs := d.at(op, "x", x, -1, -1)
	dxs := d.typed(op, "dx", dx, x.Type, n, width)
	dos := d.typed(op, "dOut", dOut, x.Type, n, width)
	adds := d.optional(op, "add", add, x.Type, n, width)
	rs := d.typed(op, "rstd", rstd, gpu.F32, n, 1)
	ws := d.typed(op, "weight", weight, x.Type, 1, width)
	dws := d.typed(op, "dWeight", dWeight, gpu.F32, 1, width)
	parts := min(n, normParts)
	if parts == 0 {
		return
	}
	partial := d.reserve(&d.scratch[partialSums], int64(4*parts*width))
	d.launch(driver.Launch{
		Kernel: kernel("rmsnorm_backward", x.Type), Grid: [3]int{parts, 1, 1}, Block: [3]int{rowThreads, 1, 1}, Shared: 4 * width,
		Args: []uint64{pointer(dxs), pointer(partial), pointer(dos), pointer(xs), pointer(ws), pointer(rs), pointer(adds), integer(n), integer(width)},
	})
	d.launch(driver.Launch{
		Kernel: "add_columns", Grid: [3]int{(width + 31) / 32, 1, 1}, Block: [3]int{32, 8, 1},
		Args: []uint64{pointer(dws), pointer(partial), integer(parts), integer(width)},
	})
}
