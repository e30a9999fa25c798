package gputest

import "fmt"

func swigluTrials() []trial {
	var all []trial
	for _, c := range []struct{ N, F int }{{1, 1}, {3, 17}, {33, 65}, {129, 257}, {64, 384}} {
		for _, inPlace := range []bool{false, true} {
			all = append(all, trial{name: fmt.Sprintf("N%d,F%d,inPlace=%v", c.N, c.F, inPlace), run: func(f *fixture) {
				f.swiglu(c.N, c.F, inPlace, 1)
			}})
		}
	}
	return append(all, trial{name: "large", run: func(f *fixture) { f.swiglu(5, 33, false, 1e4) }})
}

// swiglu multiplies the gate by size; at 1e4 the exponential of a float32 overflows.
func (f *fixture) swiglu(N, F int, inPlace bool, size float32) {
	scaled := func() float32 { return size * f.normal() }
	gate, up, out := f.inOf(N, F, scaled), f.in(N, F), f.out(N, F)
	f.SwiGLU(out, gate, up)
	f.result("out", out)

	dGate, dUp, again, dOut := f.out(N, F), f.out(N, F), f.out(N, F), f.in(N, F)
	if inPlace {
		dGate, dUp, again = f.inout(N, F), f.inout(N, F), f.inout(N, F)
		gate, up, dOut = dGate, dUp, again
	}
	f.SwiGLUBackward(dGate, dUp, again, dOut, gate, up)
	f.result("again", again)
	f.result("dGate", dGate)
	f.result("dUp", dUp)
}
