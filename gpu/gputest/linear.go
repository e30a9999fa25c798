package gputest

import (
	"fmt"

	"athanor/gpu"
)

func linearTrials() []trial {
	var all []trial
	for i, c := range []struct{ N, I, O int }{
		{1, 1, 1}, {1, 64, 64}, {3, 17, 33}, {17, 65, 129}, {33, 129, 257}, {257, 33, 65}, {130, 384, 1},
		{1, 257, 1000}, {65, 3, 17}, {128, 128, 128}, {300, 128, 384}, {2, 1024, 96}, {7, 5, 513}, {1500, 9, 8},
	} {
		mode := addModes[i%len(addModes)]
		all = append(all, trial{name: fmt.Sprintf("N%d,I%d,O%d,add=%s", c.N, c.I, c.O, mode), run: func(f *fixture) {
			f.linear(c.N, c.I, c.O, mode)
		}})
	}
	for _, mode := range addModes {
		all = append(all, trial{name: "N65,I96,O80,add=" + mode, run: func(f *fixture) { f.linear(65, 96, 80, mode) }})
	}
	for _, mode := range addModes[:2] {
		all = append(all, trial{name: "wide,add=" + mode, run: func(f *fixture) { f.wideResults(mode) }})
	}
	return all
}

// wideResults is Linear from bfloat16 to float32: scores and logits, which no rounding may touch.
func (f *fixture) wideResults(mode string) {
	const N, I, O = 33, 96, 80
	y := f.kept(N, O)
	add := gpu.Tensor{}
	if mode != "none" {
		add = f.grad(N, O)
	}
	f.Linear(y, f.in(N, I), f.in(O, I), add)
	f.result("y", y).alwaysF32()
}

func (f *fixture) linear(N, I, O int, mode string) {
	x, w := f.in(N, I), f.in(O, I)
	y, add := f.withAdd(mode, N, O)
	f.Linear(y, x, w, add)
	f.result("y", y)

	dy := f.in(N, O)
	dx, add := f.withAdd(mode, N, I)
	f.LinearBackwardInput(dx, dy, w, add)
	f.result("dx", dx)

	dw := f.grad(O, I)
	f.LinearBackwardWeight(dw, dy, x)
	f.result("dw", dw)
}
