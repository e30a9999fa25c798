package cpu

import (
	"math"

	"athanor/gpu"
)

// gradBlock is how many keys, and how many queries, a tile of the backward handles: a multiple of every NR.
const gradBlock = 256

// gradStep is how far rows of scores are apart.
const gradStep = gradBlock + apart

// attentionBackward recomputes the scores block by block and sums the gradients.
//
// A tile is a block of keys and a block of queries of one segment, with all heads of one group. Tiles run in rounds:
// in round r the block of keys j meets the block of queries j+r. So no two tiles of a round write the same gradients,
// and those of one token are summed in the order of the rounds.
//
// Scores are [queries][keys], as in the forward. MR queries at a time get theirs, the gradients of these, and the
// queries' gradients, a product of scores and keys as they lie. Then MR keys at a time collect the gradients of keys and
// values from all queries that see them: products of columns of scores and rows of queries or output gradients as they lie.
type attentionBackward struct {
	device        *device
	dq, dk, dv    []float32
	dout, out     []float32
	lse           []float32
	q, k, v       []float32
	delta         []float32 // [N, H]: Σ_e dOut·out
	heads, groups int
	size          int
	scale         float32
	blocks        []span
	round         int
}

// attentionScratch is what a worker keeps for the backward.
type attentionScratch struct {
	memory         []float32
	keysT, valuesT []float32 // operands B, E×keys
	keys, q, dout  []float32 // rows that do not lie well
	s, ds          []float32 // probabilities and the gradient of scores, [queries][keys]
	edge           []float32 // rows of a gradient that are no multiple of half a panel
	lse, delta     []float32 // of MR queries
}

// parts is what the scratch consists of, and how many elements each part has.
func (a *attentionBackward) parts(x *attentionScratch) [10]scratchPart {
	mr, wide := a.device.kernels.MR, roundUp(a.size, a.device.kernels.NR)
	block, rows, scores := gradBlock*a.size, gradBlock*wide, gradBlock*gradStep
	return [...]scratchPart{
		{&x.keysT, block}, {&x.valuesT, block}, {&x.keys, rows}, {&x.q, rows}, {&x.dout, rows}, {&x.s, scores}, {&x.ds, scores},
		{&x.edge, mr * wide}, {&x.lse, mr}, {&x.delta, mr},
	}
}

type scratchPart struct {
	to   *[]float32
	size int
}

// reserve readies the workers.
func (a *attentionBackward) reserve() {
	size, d := 0, a.device
	for _, part := range a.parts(&attentionScratch{}) {
		size += part.size
	}
	d.reserve(size, func(w *worker) *[]float32 { return &w.gradients.memory })
}

// scratch returns the memory of worker w, cut for the head size at hand.
func (a *attentionBackward) scratch(w int) *attentionScratch {
	x := &a.device.workers[w].gradients
	rest := x.memory
	for _, part := range a.parts(x) {
		*part.to, rest = rest[:part.size:part.size], rest[part.size:]
	}
	return x
}

type attendBackwardPhase struct{ *attentionBackward }

// AttentionBackward sets dq, dk and dv.
func (d *device) AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	const op = "AttentionBackward"
	checkStream(op, s, q.Rows)
	a := &d.attendBP
	a.heads, a.groups = headCounts(op, q.Cols, k.Cols, headSize)
	a.size, a.scale = headSize, float32(1/math.Sqrt(float64(headSize)))
	n := q.Rows
	a.q, a.dq = view(op, "q", q, n, -1), view(op, "dq", dq, n, q.Cols)
	a.k, a.dk = view(op, "k", k, n, -1), view(op, "dk", dk, n, k.Cols)
	a.v, a.dv = view(op, "v", v, n, k.Cols), view(op, "dv", dv, n, k.Cols)
	a.out, a.dout = view(op, "out", out, n, q.Cols), view(op, "dOut", dOut, n, q.Cols)
	a.lse = view(op, "lse", lse, n, a.heads)

	a.delta = grow(&a.delta, n*a.heads)
	a.reserve()
	a.blocks = appendSpans(a.blocks[:0], s, gradBlock)
	for a.round = range longest(a.blocks, gradBlock) {
		d.pool.run(len(a.blocks)*a.groups, attendBackwardPhase{a})
	}
}

// An attendBackwardTile is a block of keys and one of queries with what a worker has for them.
type attendBackwardTile struct {
	*attentionBackward
	x             *attentionScratch
	keys, queries span
	keyRows       operand
	dk, dv        []float32 // from the first key on
	first         bool      // these are set, not added to
	tiler         tiler
}

// meeting returns the keys and queries of tile i of this round, or false if there are none.
func (a *attentionBackward) meeting(i int) (keys, queries span, ok bool) {
	keys = a.blocks[i/a.groups]
	queries = keys
	queries.from += a.round * gradBlock
	queries.to = min(queries.end, queries.from+gradBlock)
	return keys, queries, queries.from < queries.end
}

// tile adds the gradients between one block of keys and one of queries.
func (a attendBackwardPhase) tile(i, w int) {
	keys, queries, ok := a.meeting(i)
	if !ok {
		return
	}
	x, d, g := a.scratch(w), a.device, i%a.groups
	t := attendBackwardTile{attentionBackward: a.attentionBackward, x: x, keys: keys, queries: queries, first: a.round == 0}
	t.tiler = newTiler(d.kernels)
	n, width := keys.to-keys.from, a.groups*a.size
	at := keys.from*width + g*a.size
	t.dk, t.dv = a.dk[at:], a.dv[at:]
	k, v := operand{a.k[at:], width, false}, operand{a.v[at:], width, false}
	d.packColumns(x.keysT, k, a.size, n)
	d.packColumns(x.valuesT, v, a.size, n)
	t.keyRows = d.wellPlaced(x.keys, k, n, a.size)
	t.lookAhead(i + len(d.workers))
	for h := range a.heads / a.groups {
		t.head(g*a.heads/a.groups + h)
	}
}

// lookAhead plans to call for what tile i will read and write.
func (t *attendBackwardTile) lookAhead(i int) {
	if i >= len(t.blocks)*t.groups {
		return
	}
	keys, queries, ok := t.meeting(i)
	if !ok {
		return
	}
	a, perGroup, ahead := t.attentionBackward, t.heads/t.groups, &t.tiler.errands
	width := t.heads * t.size
	for _, x := range [][]float32{a.q, a.dout, a.out, a.dq} {
		ahead.add(x[queries.from*width+i%t.groups*perGroup*t.size:], width, queries.to-queries.from, perGroup*t.size)
	}
	width = t.groups * t.size
	for _, x := range [][]float32{a.dk, a.dv, a.k, a.v} { // what is needed first comes last, and so is in the cache
		ahead.add(x[keys.from*width+i%t.groups*t.size:], width, keys.to-keys.from, t.size)
	}
	mr := t.device.kernels.MR
	ahead.plan(perGroup * (3*ceilDiv(t.queries.to-t.queries.from, mr) + 2*ceilDiv(t.keys.to-t.keys.from, mr)))
}

// head adds the gradients of the queries of one head.
func (t *attendBackwardTile) head(h int) {
	d, x := t.device, t.x
	mr, width, n := d.kernels.MR, t.heads*t.size, t.queries.to-t.queries.from
	at := t.queries.from*width + h*t.size
	q, dout := operand{t.q[at:], width, false}, operand{t.dout[at:], width, false}
	q, dout = d.wellPlaced(x.q, q, n, t.size), d.wellPlaced(x.dout, dout, n, t.size)
	for r := (n - 1) / mr * mr; r >= 0; r -= mr { // the longest products first, which call for most
		t.fromQueries(h, r, min(mr, n-r), operand{q.data[r*q.ld:], q.ld, false}, operand{dout.data[r*dout.ld:], dout.ld, false})
	}
	for j := 0; j < min(t.keys.to, t.queries.to)-t.keys.from; j += mr {
		high := min(mr, t.keys.to-t.keys.from-j)
		from := max(0, t.keys.from+j-t.queries.from) // the first query that sees any of these keys
		t.toKeys(t.dv[j*t.groups*t.size:], x.s[from*gradStep+j:], dout, from, high)
		t.toKeys(t.dk[j*t.groups*t.size:], x.ds[from*gradStep+j:], q, from, high)
	}
	t.first = false
}

// fromQueries computes probabilities and the gradients of scores of high queries, the first of which is row r of the
// block, and adds to the gradients of these queries.
func (t *attendBackwardTile) fromQueries(h, r, high int, q, dout operand) {
	k, x, first := t.device.kernels, t.x, t.queries.from+r
	s, ds := x.s[r*gradStep:], x.ds[r*gradStep:]
	n := min(t.keys.to, first+high) - t.keys.from // keys that any of these queries sees
	halves, seen := ceilDiv(n, k.NR/2), first+1-t.keys.from
	t.tiler.scores(blockA{data: q.data, ld: q.ld, rows: high}, t.tiler.transposed(x.keysT, t.size), t.size, halves, seen, s, gradStep)
	t.tiler.scores(blockA{data: dout.data, ld: dout.ld, rows: high}, t.tiler.transposed(x.valuesT, t.size), t.size, halves, seen, ds, gradStep)
	width := t.heads * t.size
	at := first*width + h*t.size
	lse, delta := x.lse[:high], x.delta[:high]
	if t.round == 0 { // which all queries go through
		k.RowDot(delta, dout.data, dout.ld, t.out[at:], width, t.size)
	}
	for i := range high {
		number := (first+i)*t.heads + h
		lse[i] = t.lse[number]
		if t.round == 0 {
			t.delta[number] = delta[i]
		} else {
			delta[i] = t.delta[number]
		}
	}
	k.ScoreBackward(s, ds, gradStep, halves*k.NR/2, seen, t.scale, lse, delta)
	t.add(t.dq[at:], width, t.round == 0, blockA{data: ds, ld: gradStep, rows: high, diagonal: t.round == 0}, n, t.keyRows, 0)
}

// toKeys adds the products of columns of s, as many as high says, and the rows of b from one on to gradients of as many keys.
func (t *attendBackwardTile) toKeys(to, s []float32, b operand, from, high int) {
	p := blockA{data: s, ld: gradStep, rows: high, turned: true, diagonal: t.round == 0}
	t.add(to, t.groups*t.size, t.first, p, t.queries.to-t.queries.from-from, b, from)
}

// add adds a product of scores and n rows of b, from one on, to rows of gradients that are ld apart, or sets these.
func (t *attendBackwardTile) add(to []float32, ld int, set bool, p blockA, n int, b operand, from int) {
	k, rows := t.device.kernels, t.tiler.inPlace(b, from)
	half := k.NR / 2
	if t.size%half == 0 {
		init := to
		if set {
			init = nil
		}
		t.tiler.multiply(p, rows, n, t.size/half, to, ld, init)
		return
	}
	wide := roundUp(t.size, half)
	t.tiler.multiply(p, rows, n, wide/half, t.x.edge, wide, nil)
	for i := range p.rows {
		row := t.x.edge[i*wide:][:t.size]
		if set {
			copy(to[i*ld:], row)
		} else {
			k.Add(to[i*ld:][:t.size], row)
		}
	}
}
