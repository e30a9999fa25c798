package cpu

import (
	"math"
	"slices"

	"athanor/gpu"
)

// keyBlock is how many keys a tile of attention scores before it sums their values: a multiple of every MR.
const keyBlock = 504

// attention is causal attention within segments, with scores block by block (arXiv 2307.08691).
//
// Everything is computed transposed, a block of scores being [keys][NR queries]: this is just the packed form in which
// scores enter the product with the values, and the softmax becomes the same operation on whole rows. A tile is NR
// queries of one head. K is an operand A of keys×E that is read where it lies, Vᵀ one of E×keys that is packed once for
// all tiles.
type attention struct {
	device        *device
	out, lse      []float32
	q, k, v       []float32
	heads, groups int // H and G
	size          int // E
	scale         float32
	queries, keys []span
	placedK       []float32 // [segment][G][keys][E], where keys do not lie well
	packedV       []float32 // [segment][G][E×keys]
	bufferK, bufV []float32
}

// A span is a run of tokens [from, to) of the segment [start, end).
type span struct{ start, end, from, to int }

type attendPackPhase struct{ *attention }
type attendPhase struct{ *attention }

// Attention sets out and lse.
func (d *device) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	const op = "Attention"
	checkStream(op, s, q.Rows)
	a := &d.attend
	a.heads, a.groups = headCounts(op, q.Cols, k.Cols, headSize)
	a.size, a.scale = headSize, float32(1/math.Sqrt(float64(headSize)))
	n := q.Rows
	a.q, a.out = view(op, "q", q, n, -1), view(op, "out", out, n, q.Cols)
	a.k, a.v = view(op, "k", k, n, -1), view(op, "v", v, n, k.Cols)
	a.lse = view(op, "lse", lse, n, a.heads)

	a.placedK, a.packedV = nil, grow(&a.bufV, len(a.v))
	if k.Cols%512 == 0 {
		a.placedK = grow(&a.bufferK, len(a.k))
	}
	a.keys = appendSpans(a.keys[:0], s, keyBlock)
	a.queries = appendSpans(a.queries[:0], s, d.kernels.NR)
	nr := d.kernels.NR
	d.reserve(3*nr, func(w *worker) *[]float32 { return &w.col })
	d.reserve(headSize*nr, func(w *worker) *[]float32 { return &w.q })
	d.reserve(headSize*nr, func(w *worker) *[]float32 { return &w.o })
	d.reserve(keyBlock*nr, func(w *worker) *[]float32 { return &w.scores })
	d.reserve(keyBlock*headSize, func(w *worker) *[]float32 { return &w.a })
	d.pool.run(len(a.keys)*a.groups, attendPackPhase{a})
	d.pool.run(len(a.queries)*a.heads, attendPhase{a})
}

// appendSpans cuts each segment into spans of at most size tokens.
func appendSpans(spans []span, s *gpu.Stream, size int) []span {
	for i := range s.Segments() {
		start, end := int(s.Starts[i]), int(s.Starts[i+1])
		for from := start; from < end; from += size {
			spans = append(spans, span{start, end, from, min(end, from+size)})
		}
	}
	return spans
}

// packedAt is where what is placed and packed of group g of a segment begins.
func (a *attention) packedAt(s span, g int) int {
	return (s.start*a.groups + g*(s.end-s.start)) * a.size
}

// tile places the keys and packs the values of one span and group.
func (a attendPackPhase) tile(i, _ int) {
	d := a.device
	s, g := a.keys[i/a.groups], i%a.groups
	width := a.groups * a.size
	at := a.packedAt(s, g)
	n, first := s.end-s.start, s.from-s.start
	if a.placedK != nil {
		for i := range s.to - s.from {
			copy(a.placedK[at+(first+i)*a.size:][:a.size], a.k[(s.from+i)*width+g*a.size:])
		}
	}
	values := operand{a.v[s.from*width+g*a.size:], width, true}
	for e := 0; e < a.size; e += d.kernels.MR {
		mr := min(d.kernels.MR, a.size-e)
		d.packA(a.packedV[at+e*n+first*mr:], values, e, mr, 0, s.to-s.from)
	}
}

// tile attends from NR queries of one head.
func (a attendPhase) tile(i, w int) {
	d := a.device
	nr := d.kernels.NR
	s, h := a.queries[len(a.queries)-1-i/a.heads], i%a.heads // the longest first
	worker := &d.workers[w]
	cols := worker.col[:3*nr]
	top, sum, fade := cols[:nr], cols[nr:2*nr], cols[2*nr:]
	for c := range top {
		top[c], sum[c] = float32(math.Inf(-1)), 0
	}
	q, o := worker.q[:a.size*nr], worker.o[:a.size*nr]
	width := a.heads * a.size
	queries := operand{a.q[s.from*width+h*a.size:], width, true}
	d.packPanel(q, queries, 0, a.size, 0, s.to-s.from)

	at, keys := a.packedAt(s, h*a.groups/a.heads), a.operandK(s, h*a.groups/a.heads)
	for key := s.start; key < s.to; key += keyBlock {
		n := min(keyBlock, s.to-key)
		scores := a.score(worker, keys, s, key, n, q)
		copy(fade, top)
		d.kernels.ColumnMax(top, scores, a.scale)
		var init []float32
		if key > s.start {
			for c := range fade {
				fade[c] = float32(math.Exp(float64(fade[c] - top[c])))
				sum[c] *= fade[c]
			}
			d.kernels.ColumnScale(o, fade)
			init = o
		}
		d.kernels.ColumnExp(scores, a.scale, top, sum)
		values := packedRows{data: a.packedV[at:], m: a.size, depth: s.end - s.start}
		d.column(values, key-s.start, n, scores, o, nr, init, nr)
	}

	for c := range s.to - s.from {
		a.lse[(s.from+c)*a.heads+h] = top[c] + float32(math.Log(float64(sum[c])))
	}
	for c := range sum {
		sum[c] = 1 / sum[c]
	}
	d.kernels.ColumnScale(o, sum)
	d.kernels.Transpose(a.out[s.from*width+h*a.size:], width, o, nr, a.size, s.to-s.from)
}

// operandK is the keys of group g of a segment.
func (a *attention) operandK(s span, g int) operand {
	if a.placedK != nil {
		return operand{a.placedK[a.packedAt(s, g):], a.size, false}
	}
	return operand{a.k[s.start*a.groups*a.size+g*a.size:], a.groups * a.size, false}
}

// score computes the scores of n keys from key on, and masks those that come after their query.
func (a *attention) score(w *worker, keys operand, s span, key, n int, q []float32) []float32 {
	k := a.device.kernels
	// The last panel may go on beyond s.to, where it holds keys that no query here may see.
	m := min(roundUp(n, k.MR), s.end-key)
	a.device.multiply(w, w.scores, nil, k.NR, keys, key-s.start, m, 0, panels{data: q, k: a.size, n: k.NR}, 0, k.NR)
	maskAfter(w.scores, k.NR, key, n, s.from)
	return w.scores[:n*k.NR]
}

// never is scores of keys that must not be seen, for any NR.
var never = func() (x [cacheLine]float32) {
	for i := range x {
		x[i] = float32(math.Inf(-1))
	}
	return x
}()

// maskAfter sets the scores of keys [key, key+n) that come after their query to −∞. The first column is query from.
func maskAfter(scores []float32, nr, key, n, from int) {
	for j := max(key, from+1); j < key+n; j++ {
		copy(scores[(j-key)*nr:][:min(nr, j-from)], never[:])
	}
}

// longest is the most blocks of any segment.
func longest(spans []span, size int) int {
	if len(spans) == 0 {
		return 0
	}
	s := slices.MaxFunc(spans, func(a, b span) int { return (a.end - a.start) - (b.end - b.start) })
	return ceilDiv(s.end-s.start, size)
}
