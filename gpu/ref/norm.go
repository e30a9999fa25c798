package ref

import (
	"math"

	"athanor/gpu"
)

// RMSNorm (arXiv 1910.07467, equation 4, with eps inside the root as Llama has it):
//
//	rstd[n]   = 1 / √( 1/D · Σ_d x[n,d]² + eps )
//	out[n,d]  = x[n,d] · rstd[n] · weight[d]
func (Device) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	N, D := x.Rows, x.Cols
	want("RMSNorm", "out", out, N, D)
	want("RMSNorm", "rstd", rstd, N, 1)
	want("RMSNorm", "weight", weight, 1, D)
	o, r, xs, w := values(out), values(rstd), values(x), values(weight)
	for n := range N {
		squares := 0.0
		for d := range D {
			squares += xs[n*D+d] * xs[n*D+d]
		}
		r[n] = 1 / math.Sqrt(squares/float64(D)+float64(eps))
		for d := range D {
			o[n*D+d] = xs[n*D+d] * r[n] * w[d]
		}
	}
}

// RMSNormBackward follows from this: with g[d] = dOut[n,d]·weight[d] and x̂ = x·rstd, the product and chain rules give
//
//	dx[n,d]     = add[n,d] + rstd[n] · ( g[d] − x̂[n,d] · 1/D·Σ_j g[j]·x̂[n,j] )
//	dWeight[d] += Σ_n dOut[n,d] · x̂[n,d]
func (Device) RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add gpu.Tensor) {
	N, D := x.Rows, x.Cols
	want("RMSNormBackward", "dx", dx, N, D)
	want("RMSNormBackward", "dWeight", dWeight, 1, D)
	want("RMSNormBackward", "dOut", dOut, N, D)
	want("RMSNormBackward", "weight", weight, 1, D)
	want("RMSNormBackward", "rstd", rstd, N, 1)
	wantOptional("RMSNormBackward", "add", add, N, D)
	dxs, dw, do := values(dx), values(dWeight), values(dOut)
	xs, w, r, a := values(x), values(weight), values(rstd), optional(add, N*D)
	for n := range N {
		mean := 0.0
		for d := range D {
			mean += do[n*D+d] * w[d] * xs[n*D+d] * r[n] / float64(D)
		}
		for d := range D {
			normed := xs[n*D+d] * r[n]
			dw[d] += do[n*D+d] * normed
			dxs[n*D+d] = a[n*D+d] + r[n]*(do[n*D+d]*w[d]-normed*mean)
		}
	}
}
