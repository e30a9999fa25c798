package ref_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// A lab makes operands for one test and checks gradients against central differences.
type lab struct {
	gpu.Device
	t   *testing.T
	rng *rand.Rand
}

func newLab(t *testing.T) *lab { return &lab{ref.Open(), t, rand.New(rand.NewPCG(3, 4))} }

func (l *lab) zeros(rows, cols int) gpu.Tensor {
	l.t.Helper()
	x, err := l.Alloc(gpu.F32, rows, cols)
	if err != nil {
		l.t.Fatal(err)
	}
	return x
}

func (l *lab) of(rows, cols int, values []float64) gpu.Tensor {
	l.t.Helper()
	x := l.zeros(rows, cols)
	ref.WriteFloat64(x, values)
	return x
}

func (l *lab) random(rows, cols int) gpu.Tensor {
	l.t.Helper()
	return l.of(rows, cols, l.normals(rows*cols))
}

func (l *lab) normals(n int) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = l.rng.NormFloat64()
	}
	return values
}

// gradient checks that got is what the backward adds to before: the derivative of Σ dOut·out, where forward computes
// out anew, with respect to each element of x. before may be nil.
func (l *lab) gradient(name string, x gpu.Tensor, got, before []float64, dOut []float64, forward func() []float64) {
	l.t.Helper()
	const h = 1e-5
	loss := func() float64 {
		sum := 0.0
		for i, v := range forward() {
			sum += dOut[i] * v
		}
		return sum
	}
	values := ref.Float64(x)
	want := make([]float64, len(values))
	for i, v := range values {
		values[i] = v + h
		ref.WriteFloat64(x, values)
		up := loss()
		values[i] = v - h
		ref.WriteFloat64(x, values)
		want[i] = (up - loss()) / (2 * h)
		values[i] = v
		ref.WriteFloat64(x, values)
		if before != nil {
			want[i] += before[i]
		}
	}
	l.near(name, got, want, 1e-8)
}

// near fails unless ‖got−want‖ ≤ limit·‖want‖ and ‖want‖ is not 0.
func (l *lab) near(name string, got, want []float64, limit float64) {
	l.t.Helper()
	if len(got) != len(want) {
		l.t.Fatalf("%s: %d values, want %d", name, len(got), len(want))
	}
	var norm, diff float64
	for i := range want {
		norm += want[i] * want[i]
		diff += (got[i] - want[i]) * (got[i] - want[i])
	}
	if relative := math.Sqrt(diff / norm); !(relative <= limit) {
		l.t.Errorf("%s: ‖error‖/‖want‖ = %.3g, limit %.3g\ngot  %.9g\nwant %.9g", name, relative, limit, got, want)
	}
}

func TestEmbedGradient(t *testing.T) {
	l := newLab(t)
	s := &gpu.Stream{IDs: []int32{2, 0, 2, 3, 2}}
	table, out, dOut, dTable := l.random(4, 3), l.zeros(5, 3), l.random(5, 3), l.random(4, 3)
	before := ref.Float64(dTable)
	l.EmbedBackward(dTable, dOut, s)
	l.gradient("dTable", table, ref.Float64(dTable), before, ref.Float64(dOut), func() []float64 {
		l.Embed(out, table, s)
		return ref.Float64(out)
	})
}

func TestRMSNormGradient(t *testing.T) {
	const N, D, eps = 3, 5, 1e-2
	for _, withAdd := range []bool{false, true} {
		t.Run(fmt.Sprintf("add=%v", withAdd), func(t *testing.T) {
			l := newLab(t)
			x, weight, out, rstd := l.random(N, D), l.random(1, D), l.zeros(N, D), l.zeros(N, 1)
			dOut, dx, dWeight := l.random(N, D), l.zeros(N, D), l.random(1, D)
			var add gpu.Tensor
			var addValues []float64
			if withAdd {
				add = l.random(N, D)
				addValues = ref.Float64(add)
			}
			forward := func() []float64 {
				l.RMSNorm(out, rstd, x, weight, eps)
				return ref.Float64(out)
			}
			forward()
			before := ref.Float64(dWeight)
			l.RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add)
			l.gradient("dx", x, ref.Float64(dx), addValues, ref.Float64(dOut), forward)
			l.gradient("dWeight", weight, ref.Float64(dWeight), before, ref.Float64(dOut), forward)
		})
	}
}

func TestLinearGradient(t *testing.T) {
	const N, I, O = 3, 5, 4
	l := newLab(t)
	x, w, add, y := l.random(N, I), l.random(O, I), l.random(N, O), l.zeros(N, O)
	dy, dx, dw := l.random(N, O), l.random(N, I), l.random(O, I)
	forward := func() []float64 {
		l.Linear(y, x, w, add)
		return ref.Float64(y)
	}
	beforeX, beforeW := ref.Float64(dx), ref.Float64(dw)
	l.LinearBackwardInput(dx, dy, w, dx) // aliased: the gradient of a second path is added
	l.LinearBackwardWeight(dw, dy, x)
	l.gradient("dx", x, ref.Float64(dx), beforeX, ref.Float64(dy), forward)
	l.gradient("dw", w, ref.Float64(dw), beforeW, ref.Float64(dy), forward)
	l.gradient("dAdd", add, ref.Float64(dy), nil, ref.Float64(dy), forward)
}

func TestRopeGradient(t *testing.T) {
	const N, heads, E = 4, 2, 6
	l := newLab(t)
	s := &gpu.Stream{IDs: make([]int32, N), Positions: []int32{0, 1, 2, 77}}
	r := &gpu.Rope{HeadSize: E, InvFreq: []float64{1, 0.3, 0.01}, Scale: 1.3}
	x, y, dx := l.random(N, heads*E), l.zeros(N, heads*E), l.random(N, heads*E)
	dOut := ref.Float64(dx)
	l.Rope(dx, r, s, true)
	l.gradient("dx", x, ref.Float64(dx), nil, dOut, func() []float64 {
		l.Copy(y, x)
		l.Rope(y, r, s, false)
		return ref.Float64(y)
	})
}

func TestSwiGLUGradient(t *testing.T) {
	const N, F = 3, 7
	for _, inPlace := range []bool{false, true} {
		t.Run(fmt.Sprintf("inPlace=%v", inPlace), func(t *testing.T) {
			l := newLab(t)
			gate, up, out, dOut := l.random(N, F), l.random(N, F), l.zeros(N, F), l.random(N, F)
			dGate, dUp := l.zeros(N, F), l.zeros(N, F)
			if inPlace {
				l.Copy(dGate, gate)
				l.Copy(dUp, up)
				l.SwiGLUBackward(dGate, dUp, out, dOut, dGate, dUp)
			} else {
				l.SwiGLUBackward(dGate, dUp, out, dOut, gate, up)
			}
			forward := func() []float64 {
				l.SwiGLU(out, gate, up)
				return ref.Float64(out)
			}
			l.gradient("dGate", gate, ref.Float64(dGate), nil, ref.Float64(dOut), forward)
			l.gradient("dUp", up, ref.Float64(dUp), nil, ref.Float64(dOut), forward)
		})
	}
}

func TestAttentionGradient(t *testing.T) {
	const E = 4
	for _, heads := range []struct{ H, G int }{{2, 2}, {4, 1}, {6, 2}} {
		t.Run(fmt.Sprintf("H%d,G%d", heads.H, heads.G), func(t *testing.T) {
			l := newLab(t)
			s := &gpu.Stream{IDs: make([]int32, 8), Starts: []int32{0, 3, 4, 8}}
			N, H, G := 8, heads.H, heads.G
			q, k, v, dOut := l.random(N, H*E), l.random(N, G*E), l.random(N, G*E), l.random(N, H*E)
			out, lse := l.zeros(N, H*E), l.zeros(N, H)
			dq, dk, dv := l.random(N, H*E), l.random(N, G*E), l.random(N, G*E) // to be overwritten
			forward := func() []float64 {
				l.Attention(out, lse, q, k, v, E, s)
				return ref.Float64(out)
			}
			forward()
			l.AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v, E, s)
			l.gradient("dq", q, ref.Float64(dq), nil, ref.Float64(dOut), forward)
			l.gradient("dk", k, ref.Float64(dk), nil, ref.Float64(dOut), forward)
			l.gradient("dv", v, ref.Float64(dv), nil, ref.Float64(dOut), forward)
		})
	}
}

func TestLMHeadGradient(t *testing.T) {
	const N, D, V = 4, 5, 7
	for _, temperature := range []float64{1, 0.6} {
		t.Run(fmt.Sprintf("temperature=%v", temperature), func(t *testing.T) {
			l := newLab(t)
			s := &gpu.Stream{IDs: make([]int32, N), Targets: []int32{3, gpu.NoTarget, 0, 6}}
			x, w, dx, dw := l.random(N, D), l.random(V, D), l.random(N, D), l.random(V, D)
			before := ref.Float64(dw)
			// The outputs are logp, then lse.
			dOut := l.normals(2 * N)
			l.LMHeadBackward(dx, dw, x, w, s, temperature, dOut[:N], dOut[N:])
			forward := func() []float64 {
				out := make([]float64, 2*N)
				if err := l.LMHead(out[:N], out[N:], x, w, s, temperature); err != nil {
					t.Fatal(err)
				}
				return out
			}
			l.gradient("dx", x, ref.Float64(dx), nil, dOut, forward)
			l.gradient("dw", w, ref.Float64(dw), before, dOut, forward)
		})
	}
}
