package cpu

import (
	"math"

	"athanor/gpu"
)

// gradBlock is how many keys, and how many queries, a tile of the backward handles: a multiple of every NR, and as many as
// pay for what a tile does to its keys alone.
const gradBlock = 256

// attentionBackward recomputes the scores block by block and sums the gradients.
//
// A tile is a block of keys and a block of queries of one segment, with all heads of one group. Tiles run in rounds:
// in round r the block of keys j meets the block of queries j+r. So no two tiles of a round write the same gradients,
// and those of one token are summed in the order of the rounds.
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
	tokens        int
}

// attentionScratch is what a worker keeps for the backward.
type attentionScratch struct {
	memory       []float32
	keys, values []float32 // [keys][E], where these do not lie well
	keysT        []float32 // operand A, E×keys
	qT, doutT    []float32 // operands B, E×NR queries
	q, dout      []float32 // operands B, NR queries×E
	s, ds        []float32 // scores of NR queries and their gradient, [keys][NR]
	dqT          []float32 // [E][NR]
	tokens       []float32 // gradients of NR queries, [NR][E]
	lse, delta   []float32 // of NR queries
}

// parts is what the scratch consists of, and how many elements each part has.
func (a *attentionBackward) parts(x *attentionScratch) [13]scratchPart {
	nr := a.device.kernels.NR
	block, narrow, panels := gradBlock*a.size, nr*a.size, nr*roundUp(a.size, nr)
	return [...]scratchPart{
		{&x.keys, block}, {&x.values, block}, {&x.keysT, block}, {&x.qT, narrow}, {&x.doutT, narrow}, {&x.q, panels},
		{&x.dout, panels}, {&x.s, gradBlock * nr}, {&x.ds, gradBlock * nr}, {&x.dqT, narrow}, {&x.tokens, narrow}, {&x.lse, nr},
		{&x.delta, nr},
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
	d.reserve(gradBlock*max(a.size, d.kernels.NR), func(w *worker) *[]float32 { return &w.a })
	d.reserve(gradBlock*d.kernels.NR, func(w *worker) *[]float32 { return &w.edge })
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

type deltaPhase struct{ *attentionBackward }
type attendBackwardPhase struct{ *attentionBackward }

// AttentionBackward sets dq, dk and dv.
func (d *device) AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	const op = "AttentionBackward"
	checkStream(op, s, q.Rows)
	a := &d.attendBP
	a.heads, a.groups = headCounts(op, q.Cols, k.Cols, headSize)
	a.size, a.scale = headSize, float32(1/math.Sqrt(float64(headSize)))
	n := q.Rows
	a.tokens = n
	a.q, a.dq = view(op, "q", q, n, -1), view(op, "dq", dq, n, q.Cols)
	a.k, a.dk = view(op, "k", k, n, -1), view(op, "dk", dk, n, k.Cols)
	a.v, a.dv = view(op, "v", v, n, k.Cols), view(op, "dv", dv, n, k.Cols)
	a.out, a.dout = view(op, "out", out, n, q.Cols), view(op, "dOut", dOut, n, q.Cols)
	a.lse = view(op, "lse", lse, n, a.heads)

	a.delta = grow(&a.delta, n*a.heads)
	a.reserve()
	d.pool.run(ceilDiv(n, gradBlock), deltaPhase{a})
	a.blocks = appendSpans(a.blocks[:0], s, gradBlock)
	for a.round = range longest(a.blocks, gradBlock) {
		d.pool.run(len(a.blocks)*a.groups, attendBackwardPhase{a})
	}
}

func (a deltaPhase) tile(i, _ int) {
	for n := i * gradBlock * a.heads; n < min(a.tokens, (i+1)*gradBlock)*a.heads; n++ {
		a.delta[n] = a.device.kernels.Dot(a.dout[n*a.size:][:a.size], a.out[n*a.size:][:a.size])
	}
}

// tile adds the gradients between one block of keys and one of queries.
func (a attendBackwardPhase) tile(i, w int) {
	keys, g := a.blocks[i/a.groups], i%a.groups
	queries := keys
	queries.from += a.round * gradBlock
	queries.to = min(queries.end, queries.from+gradBlock)
	if queries.from >= queries.end {
		return
	}
	b := attendBackwardTile{attentionBackward: a.attentionBackward, worker: &a.device.workers[w], x: a.scratch(w), keys: keys}
	d, n, width := a.device, keys.to-keys.from, a.groups*a.size
	at := keys.from*width + g*a.size
	b.k = d.wellPlaced(b.x.keys, operand{a.k[at:], width, false}, n, a.size)
	b.v = d.wellPlaced(b.x.values, operand{a.v[at:], width, false}, n, a.size)
	b.dk, b.dv = a.dk[at:], a.dv[at:]
	d.packA(b.x.keysT, operand{a.k[at:], width, true}, 0, a.size, 0, n)
	b.first = a.round == 0
	perGroup, nr := a.heads/a.groups, d.kernels.NR
	for h := g * perGroup; h < (g+1)*perGroup; h++ {
		// The last queries, which see all keys, come first.
		for from := (queries.to - queries.from - 1) / nr * nr; from >= 0; from -= nr {
			b.queries(h, queries.from+from, min(nr, queries.to-queries.from-from))
			b.first = false
		}
	}
}

// wellPlaced returns an operand A whose rows can be read where they lie: see rowBlock.
func (d *device) wellPlaced(scratch []float32, a operand, rows, cols int) operand {
	if a.ld%512 != 0 {
		return a
	}
	for i := range rows {
		copy(scratch[i*cols:][:cols], a.data[i*a.ld:])
	}
	return operand{scratch, cols, false}
}

// An attendBackwardTile is a block of keys with what it works on.
type attendBackwardTile struct {
	*attentionBackward
	worker *worker
	x      *attentionScratch
	keys   span
	k, v   operand   // of the block
	dk, dv []float32 // from the block's first row on
	first  bool      // these are set, not added to
}

// queries adds to the gradients of the keys and values, and to those of cols queries of a head, the first being number
// first of all tokens.
//
// Probabilities and gradients of scores are [keys][NR queries], as in the forward. So they are an operand A for dK and dV,
// read where it lies, and an operand B for dQ.
func (b *attendBackwardTile) queries(h, first, cols int) {
	d, x, keys, width := b.device, b.x, b.keys, b.heads*b.size
	k := d.kernels
	n := min(keys.to, first+cols) - keys.from // keys that any of these queries sees
	at := first*width + h*b.size
	q, dout := operand{b.q[at:], width, true}, operand{b.dout[at:], width, true}
	d.packPanel(x.qT, q, 0, b.size, 0, cols)
	d.packPanel(x.doutT, dout, 0, b.size, 0, cols)
	for c := range k.NR {
		x.lse[c], x.delta[c] = 0, 0
		if c < cols {
			x.lse[c], x.delta[c] = b.lse[(first+c)*b.heads+h], b.delta[(first+c)*b.heads+h]
		}
	}
	m := min(roundUp(n, k.MR), keys.to-keys.from)
	d.multiply(b.worker, x.s, nil, k.NR, b.k, 0, m, 0, panels{data: x.qT, k: b.size, n: k.NR}, 0, k.NR)
	d.multiply(b.worker, x.ds, nil, k.NR, b.v, 0, m, 0, panels{data: x.doutT, k: b.size, n: k.NR}, 0, k.NR)
	maskAfter(x.s, k.NR, keys.from, n, first)
	k.ScoreBackward(x.s[:n*k.NR], x.ds[:n*k.NR], b.scale, x.lse, x.delta)

	b.add(b.dv, x.s, n, dout, x.dout, cols)
	b.add(b.dk, x.ds, n, q, x.q, cols)
	d.column(packedRows{data: x.keysT, m: b.size, depth: keys.to - keys.from}, 0, n, x.ds, x.dqT, k.NR, nil, 0)
	dq := b.dq[at:]
	if b.round == 0 {
		k.Transpose(dq, width, x.dqT, k.NR, b.size, cols)
		return
	}
	k.Transpose(x.tokens, b.size, x.dqT, k.NR, b.size, cols)
	for i := range cols {
		k.Add(dq[i*width:][:b.size], x.tokens[i*b.size:][:b.size])
	}
}

// add adds s·q, or sets it, to n rows of to, where s is [n][NR] and q is cols queries, of which scratch holds the panels.
func (b *attendBackwardTile) add(to, s []float32, n int, q operand, scratch []float32, cols int) {
	d := b.device
	q.transposed = false
	packed := panels{data: scratch[:cols*roundUp(b.size, d.kernels.NR)], k: cols, n: b.size}
	packed.packRows(d, q, 0, 0, cols)
	init := to
	if b.first {
		init = nil
	}
	d.multiply(b.worker, to, init, b.groups*b.size, operand{s, d.kernels.NR, false}, 0, n, 0, packed, 0, b.size)
}
