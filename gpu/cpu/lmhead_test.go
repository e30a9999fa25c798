package cpu

import (
	"math/rand/v2"
	"slices"
	"testing"

	"athanor/gpu"
)

// TestLossHead: the head's forward and backward at once have the bits that they have one after the other.
func TestLossHead(t *testing.T) {
	const N, D, V, temperature = 1200, 40, 301, 0.7
	loss := func(n int, logp, lse float64) (dLogp, dLSE float64) { return logp - float64(n)/N, 1e-2 * lse }
	d := open(t, 3)
	for _, p := range d.Precisions() {
		if err := d.SetPrecision(p); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(1, 2))
		s := &gpu.Stream{IDs: make([]int32, N), Targets: make([]int32, N)}
		for n := range s.Targets {
			if s.Targets[n] = int32(r.IntN(V)); n%7 == 3 {
				s.Targets[n] = gpu.NoTarget
			}
		}
		x, w := random(t, d, N, D), random(t, d, V, D)
		read := func(of gpu.Tensor) []float32 {
			values := make([]float32, of.Len())
			d.Read(values, of)
			return values
		}
		dx, dw := random(t, d, N, D), random(t, d, V, D)
		logp, lse := make([]float64, N), make([]float64, N)
		if err := d.LMHead(logp, lse, x, w, s, temperature); err != nil {
			t.Fatal(err)
		}
		dLogp, dLSE := make([]float64, N), make([]float64, N)
		for n, target := range s.Targets {
			if target != gpu.NoTarget {
				dLogp[n], dLSE[n] = loss(n, logp[n], lse[n])
			}
		}
		d.LMHeadBackward(dx, dw, x, w, s, temperature, dLogp, dLSE)

		dx1, dw1 := random(t, d, N, D), random(t, d, V, D)
		logp1, lse1 := make([]float64, N), slices.Repeat([]float64{1}, N)
		if err := d.LMHeadLoss(logp1, lse1, dx1, dw1, x, w, s, temperature, loss); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(logp, logp1) || !slices.Equal(lse, lse1) {
			t.Errorf("%s: logp or lse differ", p)
		}
		if !slices.Equal(read(dx), read(dx1)) || !slices.Equal(read(dw), read(dw1)) {
			t.Errorf("%s: the gradients differ", p)
		}
		if read(dx)[3*D] != 0 || read(dx)[0] == 0 {
			t.Errorf("%s: only tokens with a target have a gradient", p)
		}
	}
}
