package gputest

import (
	"fmt"

	"athanor/gpu"
)

func lmHeadTrials() []trial {
	var all []trial
	for _, c := range []struct {
		N, D, V     int
		temperature float64
	}{
		{1, 1, 1, 1}, {3, 17, 33, 1}, {17, 33, 257, 0.7}, {65, 64, 1000, 1},
		{129, 48, 513, 2.5}, {257, 65, 129, 1}, {3, 8, 5003, 1},
	} {
		for _, head := range []string{"all", "noLSE", "frozen"} {
			name := fmt.Sprintf("N%d,D%d,V%d,temperature%g,%s", c.N, c.D, c.V, c.temperature, head)
			all = append(all, trial{name: name, run: func(f *fixture) {
				f.lmHead(f.in(c.N, c.D), f.in(c.V, c.D), f.stream(c.V, c.N), c.temperature, head)
			}})
		}
	}
	return append(all,
		trial{name: "noTargets", run: func(f *fixture) {
			s := f.stream(33, 5)
			for n := range s.Targets {
				s.Targets[n] = gpu.NoTarget
			}
			f.lmHead(f.in(5, 16), f.in(33, 16), s, 1, "all")
		}},
		// Logits up to 1e4 in size, exact because they are sums of whole numbers.
		trial{name: "large", slack: 200, run: func(f *fixture) {
			whole := f.integer(32)
			f.lmHead(f.inOf(33, 32, whole), f.inOf(257, 32, whole), f.stream(257, 33), 1, "all")
		}},
	)
}

// lmHead runs both directions: with all operands, without lse, or with a frozen head.
func (f *fixture) lmHead(x, w gpu.Tensor, s *gpu.Stream, temperature float64, head string) {
	N, V, D := x.Rows, w.Rows, w.Cols
	logp, lse := f.nans(N), f.nans(N)
	dLogp, dLSE := f.normals(N), f.normals(N)
	dx, dw := f.out(N, D), gpu.Tensor{}
	if head == "noLSE" {
		lse, dLSE = nil, nil
	}
	if head != "frozen" {
		dw = f.grad(V, D)
	}
	if err := f.LMHead(logp, lse, x, w, s, temperature); err != nil {
		f.t.Fatal(err)
	}
	f.host("logp", logp)
	f.host("lse", lse)

	f.LMHeadBackward(dx, dw, x, w, s, temperature, dLogp, dLSE)
	f.result("dx", dx).near(1e-3) // with V = 1 it cancels
	if !dw.IsZero() {
		f.result("dw", dw)
	}
}
