package gputest

import (
	"fmt"
	"math"
	"testing"

	"athanor/gpu"
)

// packedDocuments shows that documents packed into one stream do not attend to each other: changing all of one changes
// no bit of another, neither in the forward nor in the backward.
func (s *suite) packedDocuments(t *testing.T) {
	lengths := []int{33, 65, 1, 70}
	for changed := range lengths {
		from := 0
		for _, n := range lengths[:changed] {
			from += n
		}
		to := from + lengths[changed]
		s.unmoved(t, lengths, from, to, func(name string, token int) bool { return token < from || token >= to })
	}
}

// laterTokens shows that attention is causal: changing the end of a document changes no bit of what comes before it
// but the gradients of keys and values, which are what later tokens read.
func (s *suite) laterTokens(t *testing.T) {
	s.unmoved(t, []int{129}, 64, 129, func(name string, token int) bool {
		return token < 64 && (name == "out" || name == "lse" || name == "dq")
	})
}

// unmoved runs attention twice, the second time with the tokens [from, to) changed, and compares the bits of those
// tokens' results for which same holds. It also demands that something did change.
func (s *suite) unmoved(t *testing.T, lengths []int, from, to int, same func(name string, token int) bool) {
	const H, G, E = 4, 2, 32
	for _, v := range s.variants(false) {
		t.Run(fmt.Sprintf("%d:%d,%v", from, to, v), func(t *testing.T) {
			var runs [2][]result
			N := 0
			for i := range runs {
				runs[i] = v.run(t, s.devices[1], trial{run: func(f *fixture) {
					stream := f.stream(7, lengths...)
					N = stream.Len()
					f.isolated(stream, H, G, E, i == 1, from, to)
				}})
			}
			moved := false
			for i, a := range runs[0] {
				b, width := runs[1][i], len(a.values)/N
				for j := range a.values {
					if math.Float64bits(a.values[j]) == math.Float64bits(b.values[j]) {
						continue
					}
					moved = true
					if same(a.name, j/width) {
						t.Errorf("%s of token %d changed with tokens %d:%d", a.name, j/width, from, to)
						break
					}
				}
			}
			if !moved {
				t.Error("nothing changed at all")
			}
		})
	}
}

// isolated is both directions of attention, with the operands of tokens [from, to) made large if change is set.
func (f *fixture) isolated(s *gpu.Stream, H, G, E int, change bool, from, to int) {
	operand := func(width int) gpu.Tensor {
		i := -1
		return f.inOf(s.Len(), width, func() float32 {
			i++
			v := f.normal()
			if token := i / width; change && from <= token && token < to {
				return 100 - 30*v
			}
			return v
		})
	}
	N := s.Len()
	q, k, v, dOut := operand(H*E), operand(G*E), operand(G*E), operand(H*E)
	out, lse := f.out(N, H*E), f.kept(N, H)
	f.Attention(out, lse, q, k, v, E, s)
	dq, dk, dv := f.out(N, H*E), f.out(N, G*E), f.out(N, G*E)
	f.AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v, E, s)
	for _, r := range []struct {
		name string
		t    gpu.Tensor
	}{{"out", out}, {"lse", lse}, {"dq", dq}, {"dk", dk}, {"dv", dv}} {
		f.result(r.name, r.t)
	}
}
