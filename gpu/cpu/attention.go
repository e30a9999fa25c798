package cpu

import (
	"math"
	"slices"

	"athanor/gpu"
)

// keyBlock is how many keys' scores attention computes before it sums their values: a multiple of every NR.
const keyBlock = 512

// queryBlock is the most queries of a tile: as many as pay for packing the keys and values that they see.
const queryBlock = 512

// scoreStep is how far rows of scores are apart.
const scoreStep = keyBlock + apart

// attention is causal attention within segments, with scores block by block (arXiv 2307.08691).
//
// A tile is a block of queries with all heads of one group. It packs the keys that its queries see, and these and the values
// stay in the second-level cache while MR queries at a time go through them: scores are a product of queries as they lie and
// keys, the output one of scores and values as they lie. Nobody computes scores beyond the half of a panel that holds the
// last key that one of the MR queries sees.
type attention struct {
	device        *device
	out, lse      []float32
	q, k, v       []float32
	heads, groups int // H and G
	size          int // E
	scale         float32
	queries       []groupSpan // those of a segment and group follow one another, the last first
}

// A groupSpan is a span of tokens with a group of heads.
type groupSpan struct {
	span
	group int
}

// A span is a run of tokens [from, to) of the segment [start, end).
type span struct{ start, end, from, to int }

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

	a.cut(s)
	a.reserve(s)
	d.pool.run(len(a.queries), attendPhase{a})
}

// cut makes the tiles.
func (a *attention) cut(s *gpu.Stream) {
	a.queries = a.queries[:0]
	for i := range s.Segments() {
		start, end := int(s.Starts[i]), int(s.Starts[i+1])
		for g := range a.groups {
			for to := end; to > start; {
				from := start + (to-start-1)/queryBlock*queryBlock
				a.queries = append(a.queries, groupSpan{span{start, end, from, to}, g})
				to = from
			}
		}
	}
}

// reserve readies the workers.
func (a *attention) reserve(s *gpu.Stream) {
	d, keys := a.device, 0
	for i := range s.Segments() {
		keys = max(keys, int(s.Starts[i+1]-s.Starts[i]))
	}
	mr, nr, rows := d.kernels.MR, d.kernels.NR, min(keys, queryBlock)
	wide := roundUp(a.size, nr)
	d.reserve(2*rows+mr, func(w *worker) *[]float32 { return &w.col })
	d.reserve(rows*wide, func(w *worker) *[]float32 { return &w.q })
	d.reserve(rows*wide, func(w *worker) *[]float32 { return &w.o })
	d.reserve(mr*scoreStep, func(w *worker) *[]float32 { return &w.scores })
	d.reserve(roundUp(keys, nr)*a.size, func(w *worker) *[]float32 { return &w.keys })
	d.reserve(keys*wide, func(w *worker) *[]float32 { return &w.values })
	for i := range d.workers {
		d.workers[i].packed = groupSpan{}
	}
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

// An attendTile is a block of queries with what it works on.
type attendTile struct {
	*attention
	worker    *worker
	groupSpan           // the queries
	keys      []float32 // operand B, E×keys
	values    operand   // rows
	top, sum  []float32 // greatest score of each query, and Σ exp(scale·(score − top))
	fade      []float32 // scratch: a factor for each of MR queries
	o         []float32 // [queries][E]: Σ exp(scale·(score − top))·value; the output, or scratch if E is no multiple of NR/2
	wide      int       // how far rows of o are apart
	tiler     tiler
}

// tile attends from the queries of one span and group.
func (a attendPhase) tile(i, w int) {
	d, s := a.device, a.queries[i]
	worker, rows := &d.workers[w], s.to-s.from
	t := attendTile{attention: a.attention, worker: worker, groupSpan: s, tiler: newTiler(d.kernels)}
	t.top, t.sum, t.fade = worker.col[:rows], worker.col[rows:][:rows], worker.col[2*rows:]
	t.pack()
	if i += len(d.workers); i < len(a.queries) {
		t.lookAhead(a.queries[i])
	}
	for h := range a.heads / a.groups {
		t.head(s.group*a.heads/a.groups + h)
	}
}

// pack readies the keys and values that the queries see, unless this worker did so for later ones.
func (t *attendTile) pack() {
	n := t.to - t.start
	if p := t.worker.packed; p.start == t.start && p.group == t.group && p.to >= t.to {
		n = 0
	}
	t.keys = t.worker.keys
	t.device.packColumns(t.keys, t.operandK(t.k, t.start, t.group), t.size, n)
	t.values = t.device.wellPlaced(t.worker.values, t.operandK(t.v, t.start, t.group), n, t.size)
	if n > 0 {
		t.worker.packed = t.groupSpan
	}
}

// operandK is group g of the keys or values from a token on.
func (a *attention) operandK(x []float32, token, g int) operand {
	width := a.groups * a.size
	return operand{x[token*width+g*a.size:], width, false}
}

// packColumns packs n rows of a as the panels of its transpose.
func (d *device) packColumns(dst []float32, a operand, size, n int) {
	nr := d.kernels.NR
	for i := 0; i < n; i += nr {
		d.packPanel(dst[i*size:], a, 0, size, i, min(nr, n-i))
	}
}

// lookAhead plans to call for what another tile will read and write.
func (t *attendTile) lookAhead(next groupSpan) {
	n, perGroup := next.to-next.start, t.heads/t.groups
	rows, width := next.to-next.from, t.heads*t.size
	ahead := &t.tiler.errands
	if next.start != t.start || next.group != t.group {
		for _, x := range [][]float32{t.k, t.v} {
			o := t.operandK(x, next.start, next.group)
			ahead.add(o.data, o.ld, n, t.size)
		}
	}
	at := next.from*width + next.group*perGroup*t.size
	ahead.add(t.q[at:], width, rows, perGroup*t.size)
	ahead.add(t.out[at:], width, rows, perGroup*t.size)
	ahead.plan(2 * perGroup * ceilDiv(t.to-t.start, keyBlock) * ceilDiv(t.to-t.from, t.device.kernels.MR))
}

// head attends from the queries of one head.
func (t *attendTile) head(h int) {
	d, width, rows, mr := t.device, t.heads*t.size, t.to-t.from, t.device.kernels.MR
	for c := range t.top {
		t.top[c], t.sum[c] = float32(math.Inf(-1)), 0
	}
	t.o, t.wide = t.worker.o, roundUp(t.size, d.kernels.NR/2)
	if t.wide == t.size {
		t.o, t.wide = t.out[t.from*width+h*t.size:], width
	}
	q := d.wellPlaced(t.worker.q, operand{t.q[t.from*width+h*t.size:], width, false}, rows, t.size)
	for key := t.start; key < t.to; key += keyBlock {
		for r := (rows - 1) / mr * mr; r >= 0; r -= mr { // the longest products first, which call for most
			high := min(mr, rows-r)
			seen := t.from + r + high - key // by the last of these queries
			if seen <= 0 {
				continue
			}
			t.block(operand{q.data[r*q.ld:], q.ld, false}, r, high, key, min(keyBlock, seen))
			if seen <= keyBlock {
				t.finish(h, r, high)
			}
		}
	}
	d.kernels.LogSum(t.top, t.sum, t.scale)
	for i, x := range t.top {
		t.lse[(t.from+i)*t.heads+h] = x
	}
}

// block attends from high queries to n keys from key on; the first query is row r of the span, and row 0 of q.
func (t *attendTile) block(q operand, r, high, key, n int) {
	k, scores, half := t.device.kernels, t.worker.scores, t.device.kernels.NR/2
	cols, at, seen := roundUp(n, half), key-t.start, t.from+r+1-key
	keys := t.tiler.transposed(t.keys[at*t.size:], t.size)
	t.tiler.scores(blockA{data: q.data, ld: q.ld, rows: high}, keys, t.size, cols/half, seen, scores, scoreStep)
	top, sum, o := t.top[r:][:high], t.sum[r:][:high], t.o[r*t.wide:]
	fade, init := t.fade[:high], []float32(nil)
	copy(fade, top)
	k.RowMax(top, scores, scoreStep, cols, seen)
	if at > 0 {
		for i := range fade {
			fade[i] = float32(math.Exp(float64((fade[i] - top[i]) * t.scale)))
			sum[i] *= fade[i]
		}
		k.RowScale(o, t.wide, o, t.wide, roundUp(t.size, half), fade)
		init = o
	}
	k.RowExp(scores, scoreStep, cols, seen, t.scale, top, sum)
	p := blockA{data: scores, ld: scoreStep, rows: high, diagonal: n == seen+high-1}
	t.tiler.multiply(p, t.tiler.inPlace(t.values, at), n, ceilDiv(t.size, half), o, t.wide, init)
}

// finish sets the output of high queries from row r of the span on.
func (t *attendTile) finish(h, r, high int) {
	k, width := t.device.kernels, t.heads*t.size
	inverse, o := t.fade[:high], t.o[r*t.wide:]
	for i, x := range t.sum[r:][:high] {
		inverse[i] = 1 / x
	}
	wide := roundUp(t.size, k.NR/2)
	k.RowScale(o, t.wide, o, t.wide, wide, inverse)
	if wide == t.size {
		return
	}
	out := t.out[(t.from+r)*width+h*t.size:]
	for i := range high {
		copy(out[i*width:][:t.size], o[i*t.wide:])
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
