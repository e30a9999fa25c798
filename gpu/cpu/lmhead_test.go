package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"athanor/gpu"
)

// TestHeadTokensApart: what the head says of a token does not depend on those beside it, so that a stream may be cut, and
// tokens left out; and the gradients of weights add up.
func TestHeadTokensApart(t *testing.T) {
	for _, c := range []struct{ tokens, width, vocab, piece int }{{700, 8, 40_000, 90}, {1100, 256, 300, 500}, {1100, 40, 70, 1}} {
		d := open(t, 2)
		for _, p := range d.Precisions() {
			t.Run(fmt.Sprintf("%d×%d,vocab=%d,%s", c.tokens, c.width, c.vocab, p), func(t *testing.T) {
				if err := d.SetPrecision(p); err != nil {
					t.Fatal(err)
				}
				h := headTest{testDevice: d, x: random(t, d, c.tokens, c.width), w: random(t, d, c.vocab, c.width)}
				h.targets = make([]int32, c.tokens)
				for n := range h.targets {
					h.targets[n] = int32(n * 7919 % c.vocab)
				}
				whole := h.run(t, c.tokens)
				pieces := h.run(t, c.piece)
				for n := range h.targets {
					if !slices.Equal(whole.token(n), pieces.token(n)) {
						t.Fatalf("token %d: %v in pieces, %v in one", n, pieces.token(n), whole.token(n))
					}
				}
				if e := distance(pieces.dw, whole.dw); !(e < 1e-5) {
					t.Errorf("gradients of weights are %g apart", e)
				}
				for n := 0; n < c.tokens; n += 3 {
					h.targets[n] = gpu.NoTarget
				}
				few := h.run(t, c.tokens)
				for n, target := range h.targets {
					want := whole.token(n)
					if target == gpu.NoTarget {
						want = make([]float64, len(want))
					}
					if !slices.Equal(few.token(n), want) {
						t.Fatalf("token %d: %v with others left out, want %v", n, few.token(n), want)
					}
				}
			})
		}
	}
}

// A headTest is the operands of a head, and headResults what it computes from them.
type headTest struct {
	testDevice
	x, w    gpu.Tensor
	targets []int32
}

type headResults struct {
	logp, lse []float64
	dx, dw    []float32
}

// run computes the results of so many tokens at a time.
func (h headTest) run(t *testing.T, piece int) headResults {
	n := len(h.targets)
	r := headResults{make([]float64, n), make([]float64, n), make([]float32, h.x.Len()), make([]float32, h.w.Len())}
	dx, dw := random(t, h, n, h.x.Cols), random(t, h, h.w.Rows, h.w.Cols)
	if piece == n {
		h.Zero(dw) // gradients are then written before they are added to
	} else {
		h.Write(dw, r.dw)
	}
	for from := 0; from < n; from += piece {
		to := min(n, from+piece)
		var s gpu.Stream
		s.Append(h.targets[from:to], h.targets[from:to], 0)
		loss := func(n int, logp, lse float64) (dLogp, dLSE float64) { return logp / 8, lse / 100 }
		if err := h.LMHeadLoss(r.logp[from:to], r.lse[from:to], dx.Slice(from, to), dw, h.x.Slice(from, to), h.w, &s, 1.5, loss); err != nil {
			t.Fatal(err)
		}
	}
	h.Read(r.dx, dx)
	h.Read(r.dw, dw)
	return r
}

// token is what the head says of token n.
func (r headResults) token(n int) []float64 {
	all := []float64{r.logp[n], r.lse[n]}
	width := len(r.dx) / len(r.logp)
	for _, v := range r.dx[n*width:][:width] {
		all = append(all, float64(v))
	}
	return all
}

// distance is ‖a−b‖/‖b‖.
func distance(a, b []float32) float64 {
	var difference, size float64
	for i, v := range b {
		difference += math.Pow(float64(a[i]-v), 2)
		size += float64(v) * float64(v)
	}
	return math.Sqrt(difference / size)
}
