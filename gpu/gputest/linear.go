package gputest

import "fmt"

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
	return all
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
