package cpu

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// headChunk is how many tokens of gradients of logits the backward keeps, to add to dw at once: as many as one run of the
// micro-kernel goes through.
const headChunk = kDepth

// lmHead is the projection to the vocabulary with its softmax. Only tokens with something to learn take part: they are
// gathered first. The backward computes the logits anew, unless the loss is known by then.
type lmHead struct {
	device        *device
	x, w, dx, dw  []float32
	logp, lse     []float64
	dLogp, dLSE   []float64
	loss          gpu.TokenLoss // gives these; nil: they are known
	width, vocab  int
	tileRows      int     // tokens of a tile: their logits stay in a worker's cache
	ld            int     // of logits
	scale         float64 // 1/temperature
	targets       []int32
	tokens        []int32 // which tokens take part
	chunk         []int32 // those of the chunk under way
	forward       panels  // wᵀ
	backward      panels  // w
	forwardBuffer []float32
	backBuffer    []float32
	logits        []float32 // [headChunk, ld]: their gradients
	rows          []float32 // [headChunk, D] of x
}

type headPackPhase struct{ *lmHead }
type headPhase struct{ *lmHead }
type headBackwardPhase struct{ *lmHead }

// LMHead computes logp and lse of each token with a target.
func (d *device) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, temperature float64) error {
	const op = "LMHead"
	p := &d.head
	p.set(op, x, w, s, temperature)
	if len(logp) != x.Rows || lse != nil && len(lse) != x.Rows {
		panic(fmt.Sprintf("cpu: LMHead: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	p.logp, p.lse = logp, lse
	clear(logp)
	clear(lse)
	p.tokens = p.tokens[:0]
	for n, t := range s.Targets {
		if t != gpu.NoTarget {
			p.tokens = append(p.tokens, int32(n))
		}
	}
	if len(p.tokens) > 0 {
		p.backward = panels{}
		p.pack()
		d.pool.run(ceilDiv(len(p.tokens), p.tileRows), headPhase{p})
	}
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
	p.dLogp, p.dLSE = dLogp, dLSE
	p.gradients(op, dx, dw, x, w, func(n int32) bool { return dLogp[n] != 0 || dLSE != nil && dLSE[n] != 0 })
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
	p.logp, p.lse, p.loss = logp, lse, loss
	clear(logp)
	clear(lse)
	p.gradients(op, dx, dw, x, w, func(int32) bool { return true })
	p.logp, p.lse, p.loss = nil, nil, nil
	return nil
}

// gradients sets dx and adds to dw, of the tokens with a target that matter.
func (p *lmHead) gradients(op string, dx, dw, x, w gpu.Tensor, matters func(n int32) bool) {
	p.dx = view(op, "dx", dx, x.Rows, x.Cols)
	p.dw = optional(op, "dw", dw, w.Rows, w.Cols)
	clear(p.dx)
	p.tokens = p.tokens[:0]
	for n, t := range p.targets {
		if t != gpu.NoTarget && matters(int32(n)) {
			p.tokens = append(p.tokens, int32(n))
		}
	}
	if len(p.tokens) > 0 {
		p.backward = panels{k: p.vocab, n: p.width, pairs: p.device.pairs}
		p.backward.data = grow(&p.backBuffer, p.backward.size(p.device.kernels.NR))
		p.pack()
		p.runBackward()
	}
}

func (p *lmHead) set(op string, x, w gpu.Tensor, s *gpu.Stream, temperature float64) {
	checkStream(op, s, x.Rows)
	if temperature <= 0 {
		panic(fmt.Sprintf("cpu: %s: temperature %v", op, temperature))
	}
	p.width, p.vocab, p.scale = x.Cols, w.Rows, 1/temperature
	if p.ld = p.vocab; p.ld%512 == 0 {
		p.ld += apart // so that rows need not be packed: see rowBlock
	}
	mr := p.device.kernels.MR
	p.tileRows = mr * min(4, max(1, headChunk/mr/(10*len(p.device.workers))))
	p.x, p.w = view(op, "x", x, -1, -1), view(op, "w", w, -1, x.Cols)
	for n, t := range s.Targets {
		if t != gpu.NoTarget && (t < 0 || int(t) >= w.Rows) {
			panic(fmt.Sprintf("cpu: %s: token %d has target %d of a vocabulary of %d", op, n, t, w.Rows))
		}
	}
	p.targets = s.Targets
}

// pack packs w for the logits, and for dx if the backward needs it, and reserves what the tiles use.
func (p *lmHead) pack() {
	nr := p.device.kernels.NR
	p.forward = panels{k: p.width, n: p.vocab, pairs: p.device.pairs}
	p.forward.data = grow(&p.forwardBuffer, p.forward.size(nr))
	p.device.reserve(p.tileRows*p.width, func(w *worker) *[]float32 { return &w.rows })
	p.device.reserveBlock(p.tileRows, p.width, p.vocab)
	n := p.forward.tiles(operand{transposed: true}, nr)
	if p.backward.k > 0 {
		n += p.backward.tiles(operand{}, nr)
		p.device.reserveBlock(p.tileRows, p.vocab, p.width)
	} else {
		p.device.reserve(p.tileRows*p.ld, func(w *worker) *[]float32 { return &w.scores })
	}
	p.device.pool.run(n, headPackPhase{p})
}

func (p headPackPhase) tile(i, w int) {
	worker := &p.device.workers[w]
	b := operand{p.w, p.width, true}
	if first := p.forward.tiles(b, p.device.kernels.NR); i < first {
		p.forward.pack(p.device, worker, b, 0, i)
	} else {
		b.transposed = false
		p.backward.pack(p.device, worker, b, 0, i-first)
	}
}

// tile computes logp and lse of some tokens.
func (p headPhase) tile(i, w int) {
	worker := &p.device.workers[w]
	tokens := p.tokens[i*p.tileRows : min(len(p.tokens), (i+1)*p.tileRows)]
	x := p.gather(worker.rows[:p.tileRows*p.width], tokens)
	logits := worker.scores[:p.tileRows*p.ld]
	p.device.multiply(worker, logits, nil, p.ld, operand{x, p.width, false}, 0, len(tokens), 0, p.forward, 0, p.vocab)
	for j, n := range tokens {
		row := logits[j*p.ld:][:p.vocab]
		target := float64(row[p.targets[n]]) * p.scale
		shift, sum := p.softmax(row)
		lse := float64(shift) + math.Log(sum)
		p.logp[n] = target - lse
		if p.lse != nil {
			p.lse[n] = lse
		}
	}
}

// softmax replaces a row of logits by exp(logit/temperature − shift) and returns the shift and their sum.
func (p *lmHead) softmax(row []float32) (shift float32, sum float64) {
	shift = p.device.kernels.Max(row) * float32(p.scale)
	return shift, p.device.kernels.ExpSum(row, float32(p.scale), shift)
}

// runBackward goes through the tokens in chunks: first the gradients of the logits and dx, then dw.
func (p *lmHead) runBackward() {
	logits, rows := grow(&p.logits, headChunk*p.ld), grow(&p.rows, headChunk*p.width)
	for from := 0; from < len(p.tokens); from += headChunk {
		p.chunk = p.tokens[from:min(len(p.tokens), from+headChunk)]
		p.device.pool.run(ceilDiv(len(p.chunk), p.tileRows), headBackwardPhase{p})
		if p.dw == nil {
			continue
		}
		g := &p.device.gemm
		g.c, g.add, g.ldc = p.dw, p.dw, p.width
		g.m, g.n, g.k = p.vocab, p.width, len(p.chunk)
		g.a, g.b = operand{logits, p.ld, true}, operand{rows, p.width, false}
		g.run()
	}
}

// tile computes the gradients of the logits of some tokens, and these tokens' dx.
func (p headBackwardPhase) tile(i, w int) {
	d, worker := p.device, &p.device.workers[w]
	first := i * p.tileRows
	tokens := p.chunk[first:min(len(p.chunk), first+p.tileRows)]
	x := p.gather(p.rows[first*p.width:], tokens)
	logits := p.logits[first*p.ld:]
	d.multiply(worker, logits, nil, p.ld, operand{x, p.width, false}, 0, len(tokens), 0, p.forward, 0, p.vocab)
	for j, n := range tokens {
		row := logits[j*p.ld:][:p.vocab]
		target := float64(row[p.targets[n]]) * p.scale
		shift, sum := p.softmax(row)
		dLogp, dLSE := p.derivatives(n, target, shift, sum)
		d.kernels.Scale(row, float32((dLSE-dLogp)*p.scale/sum))
		row[p.targets[n]] += float32(dLogp * p.scale)
	}
	dx := worker.rows[:p.tileRows*p.width]
	d.multiply(worker, dx, nil, p.width, operand{logits, p.ld, false}, 0, len(tokens), 0, p.backward, 0, p.width)
	for j, n := range tokens {
		copy(p.dx[int(n)*p.width:][:p.width], dx[j*p.width:])
	}
}

// derivatives are those of the loss with respect to logp and lse of token n, given the logit of its target and what
// softmax returned. With a TokenLoss logp and lse are set as well.
func (p *lmHead) derivatives(n int32, target float64, shift float32, sum float64) (dLogp, dLSE float64) {
	if p.loss != nil {
		lse := float64(shift) + math.Log(sum)
		p.logp[n], p.lse[n] = target-lse, lse
		return p.loss(int(n), target-lse, lse)
	}
	if p.dLSE != nil {
		dLSE = p.dLSE[n]
	}
	return p.dLogp[n], dLSE
}

// gather copies the rows of x of some tokens.
func (p *lmHead) gather(rows []float32, tokens []int32) []float32 {
	for j, n := range tokens {
		copy(rows[j*p.width:][:p.width], p.x[int(n)*p.width:])
	}
	return rows
}
