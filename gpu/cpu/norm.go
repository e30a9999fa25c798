package cpu

import (
	"math"

	"athanor/gpu"
)

// norm is RMSNorm (arXiv 1910.07467) of n rows of width d.
type norm struct {
	device             *device
	out, x, w, rstd    []float32
	dx, dw, dout, add  []float32
	n, width, tileRows int
	eps                float32
	partial            []float32 // of dw, one row for each tile
}

type normPhase struct{ *norm }
type normBackwardPhase struct{ *norm }

// RMSNorm sets out[n] = x[n]·rstd[n]·weight.
func (d *device) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	const op = "RMSNorm"
	r := &d.norm
	r.shape(x)
	r.eps = eps
	r.x = view(op, "x", x, -1, -1)
	r.out = view(op, "out", out, r.n, r.width)
	r.rstd = view(op, "rstd", rstd, r.n, 1)
	r.w = view(op, "weight", weight, 1, r.width)
	d.pool.run(ceilDiv(r.n, r.tileRows), normPhase{r})
}

// RMSNormBackward sets dx and adds to dWeight. Each tile sums its part of dWeight, and the parts are added in order.
func (d *device) RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add gpu.Tensor) {
	const op = "RMSNormBackward"
	r := &d.norm
	r.shape(x)
	r.x = view(op, "x", x, -1, -1)
	r.dx = view(op, "dx", dx, r.n, r.width)
	r.dout = view(op, "dOut", dOut, r.n, r.width)
	r.add = optional(op, "add", add, r.n, r.width)
	r.rstd = view(op, "rstd", rstd, r.n, 1)
	r.w = view(op, "weight", weight, 1, r.width)
	r.dw = view(op, "dWeight", dWeight, 1, r.width)

	tiles := ceilDiv(r.n, r.tileRows)
	partial := grow(&r.partial, tiles*r.width)
	clear(partial)
	d.pool.run(tiles, normBackwardPhase{r})
	for i := range tiles {
		d.kernels.Add(r.dw, partial[i*r.width:][:r.width])
	}
}

func (r *norm) shape(x gpu.Tensor) {
	r.n, r.width = x.Rows, x.Cols
	r.tileRows = max(1, 1<<14/max(1, x.Cols))
}

func (r normPhase) tile(i, _ int) {
	k := r.device.kernels
	for n := i * r.tileRows; n < min(r.n, (i+1)*r.tileRows); n++ {
		x := r.x[n*r.width:][:r.width]
		mean := float64(k.Dot(x, x)) / float64(r.width)
		rstd := float32(1 / math.Sqrt(mean+float64(r.eps)))
		r.rstd[n] = rstd
		k.ScaleMul(r.out[n*r.width:][:r.width], x, r.w, rstd)
	}
}

func (r normBackwardPhase) tile(i, _ int) {
	k := r.device.kernels
	dw := r.partial[i*r.width:][:r.width]
	for n := i * r.tileRows; n < min(r.n, (i+1)*r.tileRows); n++ {
		x, dout := r.x[n*r.width:][:r.width], r.dout[n*r.width:][:r.width]
		var add []float32
		if r.add != nil {
			add = r.add[n*r.width:][:r.width]
		}
		rstd := r.rstd[n]
		// d/dx of x·rstd(x): the part along x is what the norm takes away.
		along := k.Dot3(dout, r.w, x) * rstd * rstd / float32(r.width)
		k.NormBackward(r.dx[n*r.width:][:r.width], dw, dout, x, r.w, add, rstd, along)
	}
}
