package cpu

import (
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
)

// headRows is about how many rows of logits are one block, with a maximum and a sum of their own for each token.
const headRows = 56

// headLogits is about how many logits are kept, as long as enough tokens go through the head together.
const headLogits = 1 << 22

// lmHead is the projection to the vocabulary with its softmax. Only tokens with something to learn take part.
//
// They go through it in chunks, and their logits lie turned, one row for each token of the vocabulary: then w stays where it
// is, and what is packed are the few rows of x. Blocks of rows of logits become exponentials relative to their own maxima
// while they are in the cache. When all blocks are done, the maxima and sums of a token give its logp, and a factor for each
// block that makes gradients of exponentials. The tile that adds to dw multiplies by these, and dx follows.
type lmHead struct {
	device       *device
	x, w, dx, dw []float32
	add          []float32 // what dw starts from, or nil
	logp, lse    []float64
	dLogp, dLSE  []float64
	loss         gpu.TokenLoss // gives these; nil: they are known
	width, vocab int
	scale        float64 // 1/temperature
	targets      []int32
	tokens       []int32 // which tokens take part
	gradients    bool    // are asked for

	chunk  []int32   // the tokens under way
	ld     int       // of logits
	block  int       // rows of a block of logits
	blocks int       // of the vocabulary
	high   int       // blocks of a tile
	logits []float32 // [V, ld], for gradients
	top    []float32 // [blocks, ld] maxima, and then factors
	sums   []float32 // [blocks, ld]
	first  []int32   // of each block: the first token whose target it has, or −1
	next   []int32   // of each token: the next one with a target in the same block, or −1
	gather bool      // x of the chunk is rows here and there, and copied
	rows   []float32 // x of the chunk
	across panels    // xᵀ
	down   panels    // x

	// Of each token of the chunk: the logit of its target, the greatest logit, the sum of exponentials relative to that, what
	// turns these into gradients, and what is added to the target's.
	wanted, best  []float32
	totals        []float64
	factor, extra []float32

	rowsBuffer, acrossBuffer, downBuffer []float32
}

type headPackPhase struct{ *lmHead }
type headLogitsPhase struct{ *lmHead }
type headTokensPhase struct{ *lmHead }
type headGradientPhase struct{ *lmHead }

// LMHead computes logp and lse of each token with a target.
func (d *device) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, temperature float64) error {
	const op = "LMHead"
	p := &d.head
	p.set(op, x, w, s, temperature)
	if len(logp) != x.Rows || lse != nil && len(lse) != x.Rows {
		panic(fmt.Sprintf("cpu: LMHead: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	p.logp, p.lse, p.gradients, p.dw = logp, lse, false, nil
	clear(logp)
	clear(lse)
	p.choose(func(int32) bool { return true })
	p.run()
	p.logp, p.lse = nil, nil
	return nil
}

// LMHeadBackward sets dx and adds to dw.
func (d *device) LMHeadBackward(dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, dLogp, dLSE []float64) {
	const op = "LMHeadBackward"
	p := &d.head
	p.set(op, x, w, s, temperature)
	if len(dLogp) != x.Rows || dLSE != nil && len(dLSE) != x.Rows {
		panic(fmt.Sprintf("cpu: LMHeadBackward: %d dLogp and %d dLSE for %d tokens", len(dLogp), len(dLSE), x.Rows))
	}
	p.choose(func(n int32) bool { return dLogp[n] != 0 || dLSE != nil && dLSE[n] != 0 })
	p.setGradients(op, dx, dw, x, w)
	p.dLogp, p.dLSE = dLogp, dLSE
	p.run()
	p.dLogp, p.dLSE = nil, nil
}

// LMHeadLoss sets logp, lse and dx, and adds to dw.
func (d *device) LMHeadLoss(logp, lse []float64, dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, loss gpu.TokenLoss) error {
	const op = "LMHeadLoss"
	p := &d.head
	p.set(op, x, w, s, temperature)
	if len(logp) != x.Rows || len(lse) != x.Rows {
		panic(fmt.Sprintf("cpu: LMHeadLoss: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	p.choose(func(int32) bool { return true })
	p.setGradients(op, dx, dw, x, w)
	p.logp, p.lse, p.loss = logp, lse, loss
	clear(logp)
	clear(lse)
	p.run()
	p.logp, p.lse, p.loss = nil, nil, nil
	return nil
}

func (p *lmHead) set(op string, x, w gpu.Tensor, s *gpu.Stream, temperature float64) {
	checkStream(op, s, x.Rows)
	if temperature <= 0 {
		panic(fmt.Sprintf("cpu: %s: temperature %v", op, temperature))
	}
	p.width, p.vocab, p.scale = x.Cols, w.Rows, 1/temperature
	p.x, p.w = view(op, "x", x, -1, -1), view(op, "w", w, -1, x.Cols)
	for n, t := range s.Targets {
		if t != gpu.NoTarget && (t < 0 || int(t) >= w.Rows) {
			panic(fmt.Sprintf("cpu: %s: token %d has target %d of a vocabulary of %d", op, n, t, w.Rows))
		}
	}
	p.targets = s.Targets
}

// setGradients follows choose.
func (p *lmHead) setGradients(op string, dx, dw, x, w gpu.Tensor) {
	p.gradients = true
	p.dx = view(op, "dx", dx, x.Rows, x.Cols)
	clear(p.dx)
	if len(p.tokens) == 0 || dw.IsZero() {
		p.dw = optional(op, "dw", dw, w.Rows, w.Cols)
		return
	}
	p.dw, p.add = sum(op, "dw", dw, w.Rows, w.Cols)
}

// choose lists the tokens with a target that matter.
func (p *lmHead) choose(matters func(n int32) bool) {
	p.tokens = p.tokens[:0]
	for n, t := range p.targets {
		if t != gpu.NoTarget && matters(int32(n)) {
			p.tokens = append(p.tokens, int32(n))
		}
	}
}

// most is how many tokens may be a chunk. Each reads all of w anew, which costs 1 % from 512 tokens to 128; where products are
// of bfloat16 each rounds it too, which costs 10 %, so that these keep more.
func (p *lmHead) most() int {
	if p.device.pairs && p.width >= 256 {
		return min(1024, max(512, 4*headLogits/p.vocab&^63))
	}
	return min(512, max(128, headLogits/p.vocab&^63))
}

// run goes through the tokens in chunks, which are whole panels but for the last.
func (p *lmHead) run() {
	n := len(p.tokens)
	if n == 0 {
		return
	}
	size := min(n, roundUp(ceilDiv(n, ceilDiv(n, p.most())), 2*p.device.kernels.NR))
	p.reserve(size)
	for from := 0; from < n; from += size {
		p.chunk = p.tokens[from:min(n, from+size)]
		p.runChunk()
	}
}

// reserve readies what chunks of up to n tokens use.
func (p *lmHead) reserve(n int) {
	d := p.device
	nr := d.kernels.NR
	cols := roundUp(n, nr)
	if p.ld = cols; p.ld%512 == 0 {
		p.ld += apart // so that rows need not be packed: see rowBlock
	}
	p.block = roundUp(headRows, d.kernels.MR)
	p.blocks, p.high = ceilDiv(p.vocab, p.block), 1
	if p.blocks >= 16*len(d.workers) {
		p.high = 2
	}
	p.first = slices.Grow(p.first[:0], p.blocks)[:p.blocks]
	if len(p.next) < cols {
		p.next, p.totals = make([]int32, cols), make([]float64, cols)
		p.wanted, p.extra = make([]float32, cols), make([]float32, cols)
		p.best, p.factor = make([]float32, cols), make([]float32, cols)
	}
	grow(&p.top, p.blocks*p.ld)
	grow(&p.sums, p.blocks*p.ld)
	grow(&p.rowsBuffer, n*p.width)
	grow(&p.acrossBuffer, p.xAcross(n).size(nr))
	d.reserveBlock(p.high*p.block, p.width, cols)
	if !p.gradients {
		d.reserve(p.high*p.block*p.ld, func(w *worker) *[]float32 { return &w.scores })
		return
	}
	grow(&p.logits, p.vocab*p.ld)
	if p.dw != nil {
		grow(&p.downBuffer, p.xDown(n).size(nr))
		d.reserveBlock(p.high*p.block, n, p.width)
	}
}

// xAcross is n rows of x packed as columns, n rounded up to whole panels, and xDown as rows.
func (p *lmHead) xAcross(n int) panels {
	return panels{p.acrossBuffer, p.width, roundUp(n, p.device.kernels.NR), p.device.pairs}
}

func (p *lmHead) xDown(n int) panels {
	return panels{p.downBuffer, n, p.width, p.device.pairs}
}

func (p *lmHead) runChunk() {
	d, n := p.device, len(p.chunk)
	p.across, p.down = p.xAcross(n), p.xDown(n)
	first := int(p.chunk[0])
	p.rows, p.gather = p.x[first*p.width:], int(p.chunk[n-1]) != first+n-1
	if p.gather {
		p.rows = p.rowsBuffer
	}
	p.sort()
	panels, tiles := p.across.n/d.kernels.NR, ceilDiv(p.blocks, p.high)
	d.pool.run(panels, headPackPhase{p})
	d.pool.run(tiles, headLogitsPhase{p})
	d.pool.run(panels, headTokensPhase{p})
	if p.gradients {
		d.pool.run(tiles, headGradientPhase{p})
		p.add = p.dw
		p.backward(first)
	}
}

// backward sets dx of the chunk, whose first token is first.
func (p *lmHead) backward(first int) {
	g := &p.device.gemm
	g.c = p.dx[first*p.width:]
	if p.gather {
		g.c = p.rows // which are packed by now
	}
	g.add, g.ldc = nil, p.width
	g.m, g.n, g.k, g.deep = len(p.chunk), p.width, p.vocab, true
	g.a, g.b = operand{p.logits, p.ld, true}, operand{p.w, p.width, false}
	g.run()
	if p.gather {
		for j, n := range p.chunk {
			copy(p.dx[int(n)*p.width:][:p.width], p.rows[j*p.width:])
		}
	}
}

// sort makes a list, for each block, of the tokens of the chunk whose targets it has.
func (p *lmHead) sort() {
	for i := range p.first {
		p.first[i] = -1
	}
	for j, n := range p.chunk {
		list := &p.first[int(p.targets[n])/p.block]
		p.next[j], *list = *list, int32(j)
	}
}

// offset is where the logit of the target of token j of the chunk is, in block b, which has it.
func (p *lmHead) offset(j, b int) int { return (int(p.targets[p.chunk[j]])-b*p.block)*p.ld + j }

// tile packs the x of NR tokens.
func (p headPackPhase) tile(i, w int) {
	d := p.device
	nr := d.kernels.NR
	from := i * nr
	n := min(nr, len(p.chunk)-from)
	if p.gather {
		for j, n := range p.chunk[from : from+n] {
			copy(p.rows[(from+j)*p.width:][:p.width], p.x[int(n)*p.width:])
		}
	}
	b := operand{p.rows, p.width, true}
	if panel := p.across.panel(i, nr); d.pairs {
		d.packPairsPanel(&d.workers[w], panel, b, 0, p.width, from, n)
	} else {
		d.packPanel(panel, b, 0, p.width, from, n)
	}
	if p.dw != nil {
		b.transposed = false
		p.down.packRows(d, b, 0, from, n)
	}
}

// tile computes some blocks of logits, their greatest for each token, and their exponentials.
func (p headLogitsPhase) tile(i, w int) {
	d, worker := p.device, &p.device.workers[w]
	row, m, logits := p.rowsOf(i)
	if logits == nil {
		logits = worker.scores
	}
	d.multiply(worker, logits, nil, p.ld, operand{p.w, p.width, false}, row, m, 0, p.across, 0, p.across.n)
	for b := i * p.high; m > 0; b++ {
		for j := p.first[b]; j >= 0; j = p.next[j] {
			p.wanted[j] = logits[p.offset(int(j), b)]
		}
		d.kernels.ColumnExp(p.top[b*p.ld:][:p.across.n], p.sums[b*p.ld:][:p.across.n], logits, p.ld, min(m, p.block), float32(p.scale))
		m -= p.block
		logits = logits[min(len(logits), p.block*p.ld):]
	}
}

// tile computes logp and lse of NR tokens, and what makes gradients of their exponentials.
func (p headTokensPhase) tile(i, _ int) {
	k := p.device.kernels
	from := i * k.NR
	best, factor := p.best[from:][:k.NR], p.factor[from:][:k.NR]
	k.ColumnExp(best, factor, p.top[from:], p.ld, p.blocks, float32(p.scale))
	totals := p.totals[from:][:k.NR]
	clear(totals)
	for b := range p.blocks {
		at := b*p.ld + from
		sums := p.sums[at:][:len(totals)]
		for j, f := range p.top[at:][:len(totals)] {
			totals[j] += float64(f) * float64(sums[j])
		}
	}
	for j, n := range p.chunk[from:min(len(p.chunk), from+k.NR)] {
		lse := float64(best[j])*p.scale + math.Log(totals[j])
		logp := float64(p.wanted[from+j])*p.scale - lse
		dLogp, dLSE := p.derivatives(n, logp, lse)
		factor[j] = float32((dLSE - dLogp) * p.scale / totals[j])
		p.extra[from+j] = float32(dLogp * p.scale)
	}
	if p.gradients {
		k.ColumnScale(p.top[from:], p.ld, p.blocks, factor)
	}
}

// derivatives are those of the loss with respect to logp and lse of token n. These are set where they are asked for.
func (p *lmHead) derivatives(n int32, logp, lse float64) (dLogp, dLSE float64) {
	if p.logp != nil {
		p.logp[n] = logp
	}
	if p.lse != nil {
		p.lse[n] = lse
	}
	switch {
	case p.loss != nil:
		return p.loss(int(n), logp, lse)
	case p.dLSE != nil:
		dLSE = p.dLSE[n]
	}
	if p.dLogp != nil {
		dLogp = p.dLogp[n]
	}
	return dLogp, dLSE
}

// tile turns some blocks of exponentials into gradients of logits, and adds what follows from them to dw.
func (p headGradientPhase) tile(i, w int) {
	d := p.device
	row, m, logits := p.rowsOf(i)
	for b := i * p.high; b*p.block < row+m; b++ {
		block := p.logits[b*p.block*p.ld:]
		d.kernels.ColumnScale(block, p.ld, min(p.block, p.vocab-b*p.block), p.top[b*p.ld:][:p.across.n])
		for j := p.first[b]; j >= 0; j = p.next[j] {
			block[p.offset(int(j), b)] += p.extra[j]
		}
	}
	if p.dw != nil {
		at := row * p.width
		d.multiply(&d.workers[w], p.dw[at:], rowsFrom(p.add, at), p.width, operand{logits, p.ld, false}, 0, m, 0, p.down, 0, p.width)
	}
}

// rowsOf returns the rows of tile i, m from row on, and their logits if these are kept.
func (p *lmHead) rowsOf(i int) (row, m int, logits []float32) {
	row = i * p.high * p.block
	m = min(p.high*p.block, p.vocab-row)
	if p.gradients {
		logits = p.logits[row*p.ld:]
	}
	return row, m, logits
}
