package gputest

import (
	"fmt"

	"athanor/gpu"
)

// addModes are the ways to give the operand add.
var addModes = []string{"none", "other", "aliased"}

// withAdd returns an output and the operand to add to it, as the mode says.
func (f *fixture) withAdd(mode string, rows, cols int) (out, add gpu.Tensor) {
	f.t.Helper()
	switch mode {
	case "none":
		return f.out(rows, cols), gpu.Tensor{}
	case "other":
		return f.out(rows, cols), f.in(rows, cols)
	}
	out = f.inout(rows, cols)
	return out, out
}

func rmsNormTrials() []trial {
	var all []trial
	for i, c := range []struct{ tokens, width int }{
		{1, 1}, {1, 64}, {3, 17}, {17, 33}, {65, 129}, {257, 128}, {33, 257}, {130, 1024}, {2, 12288},
	} {
		mode := addModes[i%len(addModes)]
		all = append(all, trial{name: fmt.Sprintf("N%d,D%d,add=%s", c.tokens, c.width, mode), run: func(f *fixture) {
			f.rmsNorm(c.tokens, c.width, mode, 1)
		}})
	}
	return append(all,
		trial{name: "zeros", run: func(f *fixture) {
			f.rmsNorm(3, 64, "none", 0)
		}},
		trial{name: "large", run: func(f *fixture) {
			f.rmsNorm(3, 64, "none", 1e8)
		}},
	)
}

// rmsNorm multiplies x by size.
func (f *fixture) rmsNorm(N, D int, mode string, size float32) {
	x, weight := f.inOf(N, D, func() float32 { return size * f.normal() }), f.in(1, D)
	out, rstd := f.out(N, D), f.kept(N, 1)
	f.RMSNorm(out, rstd, x, weight, 1e-5)
	f.result("out", out)
	f.result("rstd", rstd).alwaysF32()

	dx, add := f.withAdd(mode, N, D)
	dWeight := f.grad(1, D)
	f.RMSNormBackward(dx, dWeight, f.in(N, D), x, weight, rstd, add)
	f.result("dx", dx).near(0.1 / max(1, float64(size))) // with D = 1 it cancels
	f.result("dWeight", dWeight)

	dx, dWeight = f.inout(N, D), f.grad(1, D)
	f.RMSNorm(out, rstd, dx, weight, 1e-5)
	f.RMSNormBackward(dx, dWeight, f.in(N, D), dx, weight, rstd, gpu.Tensor{})
	f.result("dx in the place of x", dx).near(0.1)
	f.result("dWeight with dx in the place of x", dWeight)
}
