package scalinglaw

import (
	"math"
	"slices"

	"athanor/steps/internal/llm"
	"athanor/steps/model"
)

// A shape is a size with the architecture that it stands for.
type shape struct {
	Size
	llm llm.Config
}

// shape is the model of a size for a vocabulary, as a model block with the same settings makes it.
func (m *Model) shape(s Size, vocab, context int) (shape, error) {
	heads := m.heads(s.Dim)
	kv := divisor(heads, max(1, heads/m.KVGroups))
	c := model.Config{
		Layers: &s.Layers, Dim: &s.Dim, Heads: &heads, KVHeads: &kv, MaxContext: &context,
		RopeTheta: &m.RopeTheta, TieEmbeddings: &m.TieEmbeddings, InitStd: &m.InitStd,
	}
	a, err := c.Shape(vocab)
	return shape{s, a}, err
}

// heads is how few heads of an even size of at most HeadDim share a width.
func (m *Model) heads(dim int) int {
	for n := 1; n <= dim/2; n++ {
		if dim%n == 0 && dim/n%2 == 0 && dim/n <= m.HeadDim {
			return n
		}
	}
	return 1 // an odd width: the model says what is wrong with it
}

// divisor is the largest divisor of n that is at most m.
func divisor(n, m int) int {
	for n%m != 0 {
		m--
	}
	return m
}

// cost is C/(6·D): what a token is multiplied with.
func (s *shape) cost(context int) float64 { return s.llm.FLOPsPerToken(context) / 6 }

// widest is the greatest width that is looked at.
const widest = 1 << 16

// widths lists the widths that suit the hardware: below the size of a head powers of two, then multiples of it, which grow
// so that two neighbours differ by about an eighth.
func (m *Model) widths() []int {
	var list []int
	for d := 16; d < m.HeadDim; d *= 2 {
		list = append(list, d)
	}
	step := m.HeadDim
	for d := m.HeadDim; d <= widest; d += step {
		for step < d/8 {
			step *= 2
		}
		if d = (d + step - 1) / step * step; d <= widest {
			list = append(list, d)
		}
	}
	return list
}

// depth is how many layers a width has: n_layer or, left out, how many suit it. Published models are some 30 times as wide as deep at a width of 200 and about
// 130 times at 4,096 and above, which is twice the root of the width.
func (m *Model) depth(dim int) float64 {
	if m.Layers != nil {
		return float64(*m.Layers)
	}
	return float64(dim) / min(128, 2*math.Sqrt(float64(dim)))
}

// ladder lists one shape per width, by cost.
func (m *Model) ladder(vocab, context int) []shape {
	var list []shape
	for _, dim := range m.widths() {
		s, err := m.shape(Size{max(1, int(math.Round(m.depth(dim)))), dim}, vocab, context)
		if err == nil { // settings that allow no shape at all are reported by Check
			list = append(list, s)
		}
	}
	return list
}

// nearest is the shape whose cost is nearest to what is wanted, preferring the usual ratio of width to depth where it
// makes little difference.
func (m *Model) nearest(cost float64, vocab, context int) (shape, error) {
	var best shape
	least := math.Inf(1)
	for _, dim := range m.widths() {
		usual := m.depth(dim)
		fewest, most := max(1, int(math.Ceil(0.7*usual))), max(1, int(1.4*usual))
		if m.Layers != nil {
			fewest, most = *m.Layers, *m.Layers
		}
		for layers := fewest; layers <= most; layers++ {
			s, err := m.shape(Size{layers, dim}, vocab, context)
			if err != nil {
				return shape{}, err
			}
			off := math.Abs(math.Log(s.cost(context)/cost)) + 0.1*math.Abs(math.Log(float64(layers)/usual))
			if off < least {
				best, least = s, off
			}
		}
	}
	return best, nil
}

// span is how far the automatic sizes lie to either side of 20 tokens per parameter, as a factor of the cost.
const span = 4

// automatic chooses n shapes around the size that 20 tokens per parameter would make of a budget (arXiv 2203.15556), each
// another and each seeing at least so many tokens. They are fewer if there are not that many.
func (m *Model) automatic(n int, budget float64, tokens int64, vocab, context int) []shape {
	list := m.ladder(vocab, context)
	list = slices.DeleteFunc(list, func(s shape) bool { return tokensOf(budget, s.llm, context) < tokens })
	n = min(n, len(list))
	var chosen []shape
	for i := range n {
		want := math.Sqrt(budget/120) * math.Pow(span, 2*float64(i)/float64(max(n-1, 1))-1)
		off := func(s *shape) float64 { return math.Abs(math.Log(s.cost(context) / want)) }
		at := 0
		for j := range list[:len(list)-(n-i-1)] { // those that come after need room
			if off(&list[j]) < off(&list[at]) {
				at = j
			}
		}
		chosen, list = append(chosen, list[at]), list[at+1:]
	}
	return chosen
}
