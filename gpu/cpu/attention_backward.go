package cpu

import (
	"math"

	"athanor/gpu"
)

// gradBlock is how many keys, and how many queries, a tile of the backward handles: a multiple of every NR.
const gradBlock = 128

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

// attentionScratch is what a worker keeps for the backward. All gradients are transposed: [E][tokens].
type attentionScratch struct {
	memory        []float32
	keys, values  []float32 // operands A, keys×E
	keysT         []float32 // operand A, E×keys
	q, dout       []float32 // operands B, E×NR queries
	qT, doutT     []float32 // operands A, E×queries
	s, ds         []float32 // scores of NR queries and their gradient, [keys][NR]
	pT, dsT       []float32 // operands B, queries×keys, a panel of NR keys after the other
	dkT, dvT, dqT []float32
	tokens        []float32 // gradients of tokens, [tokens][E]
	lse, delta    []float32 // of NR queries
}

// scratchSize is how many elements a worker needs.
func (a *attentionBackward) scratchSize() int {
	nr := a.device.kernels.NR
	return (8*gradBlock+3*nr)*a.size + 2*gradBlock*nr + 2*gradBlock*gradBlock + 2*nr
}

// scratch returns the memory of worker w, cut for the head size at hand.
func (a *attentionBackward) scratch(w int) *attentionScratch {
	x, nr := &a.device.workers[w].gradients, a.device.kernels.NR
	block, narrow := gradBlock*a.size, nr*a.size
	rest := x.memory
	for _, part := range []struct {
		to   *[]float32
		size int
	}{
		{&x.keys, block}, {&x.values, block}, {&x.keysT, block}, {&x.qT, block}, {&x.doutT, block},
		{&x.dkT, block}, {&x.dvT, block}, {&x.tokens, block}, {&x.q, narrow}, {&x.dout, narrow}, {&x.dqT, narrow},
		{&x.s, gradBlock * nr}, {&x.ds, gradBlock * nr}, {&x.pT, gradBlock * gradBlock},
		{&x.dsT, gradBlock * gradBlock}, {&x.lse, nr}, {&x.delta, nr},
	} {
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
	d.reserve(a.scratchSize(), func(w *worker) *[]float32 { return &w.gradients.memory })
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
	x := a.scratch(w)
	d, n, width := a.device, keys.to-keys.from, a.groups*a.size
	at := keys.from*width + g*a.size
	d.packA(x.keys, operand{a.k[at:], width, false}, 0, n, 0, a.size)
	d.packA(x.values, operand{a.v[at:], width, false}, 0, n, 0, a.size)
	d.packA(x.keysT, operand{a.k[at:], width, true}, 0, a.size, 0, n)

	perGroup := a.heads / a.groups
	for h := range perGroup {
		a.head(x, keys, queries, g*perGroup+h, h == 0)
	}
	a.store(x, a.dk[at:], width, x.dkT, gradBlock, n)
	a.store(x, a.dv[at:], width, x.dvT, gradBlock, n)
}

// head adds one head's gradients; first says that it is the first to add to dkT and dvT.
func (a attendBackwardPhase) head(x *attentionScratch, keys, queries span, h int, first bool) {
	d, width := a.device, a.heads*a.size
	nr := d.kernels.NR
	at := queries.from*width + h*a.size
	n := queries.to - queries.from
	d.packA(x.qT, operand{a.q[at:], width, true}, 0, a.size, 0, n)
	d.packA(x.doutT, operand{a.dout[at:], width, true}, 0, a.size, 0, n)
	for from := 0; from < n; from += nr {
		a.scores(x, keys, queries, h, from, min(nr, n-from))
	}
	for panel := 0; panel*nr < keys.to-keys.from; panel++ {
		from := 0
		if a.round == 0 {
			from = panel * nr // earlier queries do not see these keys
		}
		block := (panel*gradBlock + from) * nr
		a.addTransposed(x.dvT[panel*nr:], x.doutT, n, from, x.pT[block:], first)
		a.addTransposed(x.dkT[panel*nr:], x.qT, n, from, x.dsT[block:], first)
	}
}

// scores computes the probabilities and the gradients of the scores of cols queries, the first being number from of its
// block; leaves both, transposed, in x.pT and x.dsT; and adds to these queries' dq.
func (a attendBackwardPhase) scores(x *attentionScratch, keys, queries span, h, from, cols int) {
	d, width := a.device, a.heads*a.size
	k := d.kernels
	first := queries.from + from
	n := min(keys.to, first+cols) - keys.from // keys that any of these queries sees
	at := first*width + h*a.size
	d.packPanel(x.q, operand{a.q[at:], width, true}, 0, a.size, 0, cols)
	d.packPanel(x.dout, operand{a.dout[at:], width, true}, 0, a.size, 0, cols)
	for c := range k.NR {
		x.lse[c], x.delta[c] = 0, 0
		if c < cols {
			x.lse[c], x.delta[c] = a.lse[(first+c)*a.heads+h], a.delta[(first+c)*a.heads+h]
		}
	}
	m := min(roundUp(n, k.MR), keys.to-keys.from)
	d.column(packedRows{data: x.keys, m: m, depth: a.size}, 0, a.size, x.q, x.s, k.NR, nil, 0)
	d.column(packedRows{data: x.values, m: m, depth: a.size}, 0, a.size, x.dout, x.ds, k.NR, nil, 0)
	maskAfter(x.s, k.NR, keys.from, n, first)
	k.ScoreBackward(x.s[:n*k.NR], x.ds[:n*k.NR], a.scale, x.lse, x.delta)
	for i := 0; i < n; i += k.NR {
		to := (i/k.NR*gradBlock + from) * k.NR
		k.Transpose(x.pT[to:], k.NR, x.s[i*k.NR:], k.NR, min(k.NR, n-i), cols)
		k.Transpose(x.dsT[to:], k.NR, x.ds[i*k.NR:], k.NR, min(k.NR, n-i), cols)
	}
	d.column(packedRows{data: x.keysT, m: a.size, depth: keys.to - keys.from}, 0, n, x.ds, x.dqT, k.NR, nil, 0)
	a.store(x, a.dq[at:], width, x.dqT, k.NR, cols)
}

// addTransposed adds xᵀ·s to NR columns of out [E][gradBlock], where x is a packed E×n operand of queries, of which
// those from number from on count, and s is a block of these queries. It sets out if first.
func (a attendBackwardPhase) addTransposed(out, x []float32, n, from int, s []float32, first bool) {
	init := out
	if first {
		init = nil
	}
	a.device.column(packedRows{data: x, m: a.size, depth: n}, from, n-from, s, out, gradBlock, init, gradBlock)
}

// store writes gradients [E][ld], of which n columns count, to n rows of dst; it adds them after the first round.
func (a attendBackwardPhase) store(x *attentionScratch, dst []float32, width int, src []float32, ld, n int) {
	k := a.device.kernels
	if a.round == 0 {
		k.Transpose(dst, width, src, ld, a.size, n)
		return
	}
	k.Transpose(x.tokens, a.size, src, ld, a.size, n)
	for i := range n {
		k.Add(dst[i*width:][:a.size], x.tokens[i*a.size:][:a.size])
	}
}
