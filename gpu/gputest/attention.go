package gputest

import (
	"fmt"

	"athanor/gpu"
)

// attentionShapes are H query heads over G key/value heads of size E, on segments of the given lengths.
var attentionShapes = []struct {
	H, G, E int
	lengths []int
}{
	{1, 1, 2, []int{1}},
	{1, 1, 16, []int{3}},
	{2, 2, 17, []int{17}},
	{4, 1, 32, []int{33, 1, 65}},
	{8, 2, 16, []int{1, 1, 1, 129, 2}},
	{6, 2, 64, []int{65, 33}},
	{3, 1, 20, []int{257}},
	{4, 4, 32, []int{128, 64}},
	{2, 1, 64, []int{140, 1, 35}},
	{3, 3, 128, []int{5, 70}},
	{2, 1, 128, []int{3, 135}},
	{2, 1, 80, []int{40, 3, 0, 17}},
	{2, 1, 8, []int{1030}},
}

func attentionTrials() []trial {
	var all []trial
	for _, c := range attentionShapes {
		all = append(all, trial{name: fmt.Sprintf("H%d,G%d,E%d,N%v", c.H, c.G, c.E, c.lengths), run: func(f *fixture) {
			s := f.stream(7, c.lengths...)
			f.attention(c.H, c.G, c.E, s, f.normal, 1)
		}})
	}
	// Scores up to 1e4 in size, exact because they are sums of whole numbers; log Σ exp of them is not.
	return append(all, trial{name: "large", slack: 200, run: func(f *fixture) {
		s := f.stream(7, 33, 1, 70)
		f.attention(2, 1, 16, s, f.integer(128), 128)
	}})
}

// attention runs both directions. size is how large the operands are.
func (f *fixture) attention(H, G, E int, s *gpu.Stream, next func() float32, size float64) {
	N := s.Len()
	q, k, v := f.inOf(N, H*E, next), f.inOf(N, G*E, next), f.in(N, G*E)
	out, lse := f.out(N, H*E), f.kept(N, H)
	f.Attention(out, lse, q, k, v, E, s)
	f.result("out", out)
	f.result("lse", lse)

	dq, dk, dv := f.out(N, H*E), f.out(N, G*E), f.out(N, G*E)
	f.AttentionBackward(dq, dk, dv, f.in(N, H*E), out, lse, q, k, v, E, s)
	// Where a token attends to one alone, the gradients of its scores cancel.
	f.result("dq", dq).near(0.1 * size)
	f.result("dk", dk).near(0.1 * size)
	f.result("dv", dv)
}
