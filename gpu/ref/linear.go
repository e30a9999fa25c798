package ref

import "athanor/gpu"

// Linear sets y[n,o] = add[n,o] + Σ_i x[n,i]·w[o,i].
func (dev Device) Linear(y, x, w, add gpu.Tensor) {
	N, O, I := x.Rows, w.Rows, w.Cols
	want("Linear", "y", y, N, O)
	want("Linear", "x", x, N, I)
	wantOptional("Linear", "add", add, N, O)
	ys, xs, ws, a := values(y), dev.factors(x), dev.factors(w), optional(add, N*O)
	for n := range N {
		for o := range O {
			sum := 0.0
			for i := range I {
				sum += xs[n*I+i] * ws[o*I+i]
			}
			ys[n*O+o] = a[n*O+o] + sum
		}
	}
}

// LinearBackwardInput sets dx[n,i] = add[n,i] + Σ_o dy[n,o]·w[o,i].
func (dev Device) LinearBackwardInput(dx, dy, w, add gpu.Tensor) {
	N, O, I := dy.Rows, w.Rows, w.Cols
	want("LinearBackwardInput", "dx", dx, N, I)
	want("LinearBackwardInput", "dy", dy, N, O)
	wantOptional("LinearBackwardInput", "add", add, N, I)
	dxs, dys, ws, a := values(dx), dev.factors(dy), dev.factors(w), optional(add, N*I)
	for n := range N {
		for i := range I {
			sum := 0.0
			for o := range O {
				sum += dys[n*O+o] * ws[o*I+i]
			}
			dxs[n*I+i] = a[n*I+i] + sum
		}
	}
}

// LinearBackwardWeight does dw[o,i] += Σ_n dy[n,o]·x[n,i].
func (dev Device) LinearBackwardWeight(dw, dy, x gpu.Tensor) {
	N, O, I := x.Rows, dw.Rows, dw.Cols
	want("LinearBackwardWeight", "dy", dy, N, O)
	want("LinearBackwardWeight", "x", x, N, I)
	dws, dys, xs := values(dw), dev.factors(dy), dev.factors(x)
	for o := range O {
		for i := range I {
			for n := range N {
				dws[o*I+i] += dys[n*O+o] * xs[n*I+i]
			}
		}
	}
}
