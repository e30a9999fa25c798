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

// lmHeadLossTrials are of the head's forward and backward at once.
func lmHeadLossTrials() []trial {
	var all []trial
	for _, c := range []struct {
		N, D, V     int
		temperature float64
		frozen      bool
	}{
		{1, 1, 1, 1, false}, {17, 33, 257, 0.7, false}, {65, 64, 1000, 1, true}, {300, 48, 301, 2.5, false}, {1200, 24, 37, 1, false},
	} {
		name := fmt.Sprintf("N%d,D%d,V%d,temperature%g,frozen=%v", c.N, c.D, c.V, c.temperature, c.frozen)
		all = append(all, trial{name: name, run: func(f *fixture) {
			f.lmHeadLoss(f.in(c.N, c.D), f.in(c.V, c.D), f.stream(c.V, c.N), c.temperature, c.frozen)
		}})
	}
	for _, target := range []int32{gpu.NoTarget, 7} {
		all = append(all, trial{name: fmt.Sprintf("allTargets%d", target), run: func(f *fixture) {
			s := f.stream(33, 70)
			for n := range s.Targets {
				s.Targets[n] = target
			}
			f.lmHeadLoss(f.in(70, 16), f.in(33, 16), s, 1, false)
		}})
	}
	return all
}

// lmHeadLoss runs both directions, one after the other and, where the device can, at once: the bits are the same.
func (f *fixture) lmHeadLoss(x, w gpu.Tensor, s *gpu.Stream, temperature float64, frozen bool) {
	N, V, D := x.Rows, w.Rows, w.Cols
	loss := func(n int, logp, lse float64) (dLogp, dLSE float64) {
		return logp - float64(n)/float64(N) - 0.1, 1e-2 * lse
	}
	logp, lse, dx, dw := f.nans(N), f.nans(N), f.out(N, D), gpu.Tensor{}
	if !frozen {
		dw = f.grad(V, D)
	}
	run := func(backward func(dw gpu.Tensor) error) []result {
		sum := dw
		if !frozen {
			sum = f.grad(V, D)
			f.Copy(sum, dw)
		}
		if err := backward(sum); err != nil {
			f.t.Fatal(err)
		}
		from := len(f.results)
		f.host("logp", logp)
		f.host("lse", lse)
		f.result("dx", dx).near(1e-3) // with V = 1 it cancels
		if !frozen {
			f.result("dw", sum)
		}
		results := f.results[from:]
		f.results = f.results[:from:from]
		return results
	}
	results := run(func(dw gpu.Tensor) error {
		if err := f.LMHead(logp, lse, x, w, s, temperature); err != nil {
			return err
		}
		dLogp, dLSE := make([]float64, N), make([]float64, N)
		for n, target := range s.Targets {
			if target != gpu.NoTarget {
				dLogp[n], dLSE[n] = loss(n, logp[n], lse[n])
			}
		}
		f.LMHeadBackward(dx, dw, x, w, s, temperature, dLogp, dLSE)
		return nil
	})
	if head, ok := f.Device.(gpu.LossHead); ok {
		logp, lse, dx = f.nans(N), f.nans(N), f.out(N, D)
		atOnce := run(func(dw gpu.Tensor) error { return head.LMHeadLoss(logp, lse, dx, dw, x, w, s, temperature, loss) })
		sameBits(f.t, "at once and one after the other", atOnce, results)
		results = atOnce
	}
	f.results = append(f.results, results...)
}
