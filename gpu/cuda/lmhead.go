package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// logitBytes bounds the logits of a chunk of tokens, in float32. There are two such chunks at once in LMHeadLoss.
const logitBytes = 256 << 20

// mostHeadTokens bounds the tokens of a chunk: their results are fetched at once.
const mostHeadTokens = halfSize / 16

// lmHead is one pass over the tokens that take part in the head, in chunks of some tokens with their logits.
type lmHead struct {
	*device
	now                     headChunk
	x, w                    gpu.Tensor
	xs, ws, dxs, dws        driver.Ptr
	width, vocab, ld        int // ld: elements from one row of logits to the next
	chunk                   int // tokens
	scale                   float64
	tokens                  []int32 // which tokens take part
	targets                 []int32 // of these
	index, target           driver.Ptr
	onTarget, onAll, dxRows driver.Ptr // backward only
}

// headChunk is the memory of the chunk under way: its rows of x, their logits, and the states of their softmax.
type headChunk struct{ rows, logits, state driver.Ptr }

// LMHead computes logp and lse of each token with a target.
func (d *device) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, temperature float64) error {
	h := d.newHead("LMHead", x, w, s, temperature)
	if len(logp) != x.Rows || lse != nil && len(lse) != x.Rows {
		panic(fmt.Sprintf("cuda: LMHead: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	clear(logp)
	clear(lse)
	n := h.take(s, func(int) bool { return true })
	if n == 0 || d.fault != nil {
		return d.fault
	}
	results := d.reserve(&d.scratch[hostResults], int64(16*n))
	h.prepare(1)
	for from := 0; from < n; from += h.chunk {
		rows := min(h.chunk, n-from)
		h.softmax(from, rows, results+driver.Ptr(8*from), results+driver.Ptr(8*(n+from)))
	}
	d.receive(results, n, func(i int, v float64) { logp[h.tokens[i]] = v })
	if lse != nil {
		d.receive(results+driver.Ptr(8*n), n, func(i int, v float64) { lse[h.tokens[i]] = v })
	}
	return d.fault
}

// LMHeadBackward sets dx and adds to dw.
func (d *device) LMHeadBackward(dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, dLogp, dLSE []float64) {
	const op = "LMHeadBackward"
	h := d.newHead(op, x, w, s, temperature)
	if len(dLogp) != x.Rows || dLSE != nil && len(dLSE) != x.Rows {
		panic(fmt.Sprintf("cuda: LMHeadBackward: %d dLogp and %d dLSE for %d tokens", len(dLogp), len(dLSE), x.Rows))
	}
	h.gradientsOf(op, dx, dw)
	factors := d.headFactors[:0] // of the target's logit, and of all, for each token that takes part
	n := h.take(s, func(n int) bool {
		onLSE := 0.0
		if dLSE != nil {
			onLSE = dLSE[n]
		}
		if dLogp[n] == 0 && onLSE == 0 {
			return false
		}
		onTarget, onAll := h.factors(dLogp[n], onLSE)
		factors = append(factors, onTarget, onAll)
		return true
	})
	d.headFactors = factors
	if n == 0 || d.fault != nil {
		return
	}
	h.prepare(1)
	h.prepareGradients()
	h.sendFactors(0, n, factors)
	for from := 0; from < n; from += h.chunk {
		rows := min(h.chunk, n-from)
		h.softmax(from, rows, 0, 0)
		h.gradients(from, rows)
	}
}

// newHead checks what both directions share.
func (d *device) newHead(op string, x, w gpu.Tensor, s *gpu.Stream, temperature float64) *lmHead {
	checkStream(op, s, x.Rows)
	if temperature <= 0 {
		panic(fmt.Sprintf("cuda: %s: temperature %v", op, temperature))
	}
	for n, t := range s.Targets {
		if t != gpu.NoTarget && (t < 0 || int(t) >= w.Rows) {
			panic(fmt.Sprintf("cuda: %s: token %d has target %d of a vocabulary of %d", op, n, t, w.Rows))
		}
	}
	return &lmHead{
		device: d, x: x, w: w, xs: d.at(op, "x", x, -1, -1), ws: d.typed(op, "w", w, x.Type, -1, x.Cols),
		width: x.Cols, vocab: w.Rows, ld: roundUpTo(w.Rows, 8), scale: 1 / temperature,
		tokens: d.headTokens[:0], targets: d.headTargets[:0],
	}
}

// take lists the tokens with a target that matter, and returns how many there are.
func (h *lmHead) take(s *gpu.Stream, matters func(n int) bool) int {
	for n, t := range s.Targets {
		if t != gpu.NoTarget && matters(n) {
			h.tokens, h.targets = append(h.tokens, int32(n)), append(h.targets, t)
		}
	}
	h.device.headTokens, h.device.headTargets = h.tokens, h.targets // their memory is kept for the next call
	return len(h.tokens)
}

// gradientsOf checks the operands of the backward, and clears dx.
func (h *lmHead) gradientsOf(op string, dx, dw gpu.Tensor) {
	h.dxs = h.typed(op, "dx", dx, h.x.Type, h.x.Rows, h.x.Cols)
	h.dws = h.optional(op, "dw", dw, gpu.F32, h.w.Rows, h.w.Cols)
	h.Zero(dx)
}

// factors are those of the target's logit and of the softmax in the gradient of a token's logits.
func (h *lmHead) factors(dLogp, dLSE float64) (onTarget, onAll float32) {
	return float32(dLogp * h.scale), float32((dLSE - dLogp) * h.scale)
}

// prepare reserves what the chunks use, so many at once, and sends the lists. The size of a chunk follows from the shapes
// alone, and so do the bits.
func (h *lmHead) prepare(atOnce int) (chunks []headChunk) {
	n, size := len(h.tokens), elementType(h.x.Type).Size()
	h.chunk = min(n, mostHeadTokens, max(128, h.logitBytes/(4*h.ld)/128*128))
	h.index = h.reserve(&h.scratch[tokenRows], int64(8*n))
	h.target = h.index + driver.Ptr(4*n)
	h.send(h.index, 2*n, 4, func(to []byte, i int) {
		v := h.tokens[i%n]
		if i >= n {
			v = h.targets[i-n]
		}
		binary.LittleEndian.PutUint32(to, uint32(v))
	})
	if h.chunk == n {
		atOnce = 1
	}
	reserve := func(scratch, bytes int) func(i int) driver.Ptr {
		each := roundUp(int64(bytes), grain)
		all := h.reserve(&h.scratch[scratch], int64(atOnce)*each)
		return func(i int) driver.Ptr { return all + driver.Ptr(int64(i)*each) }
	}
	rows, logits, state := reserve(gatheredRows, h.chunk*h.width*size), reserve(logitRows, 4*h.chunk*h.ld), reserve(rowStates, 8*h.chunk)
	for i := range atOnce {
		chunks = append(chunks, headChunk{rows(i), logits(i), state(i)})
	}
	h.now = chunks[0]
	return chunks
}

// prepareGradients reserves what the backward needs besides.
func (h *lmHead) prepareGradients() {
	n := len(h.tokens)
	h.onTarget = h.reserve(&h.scratch[tokenFactors], int64(8*n))
	h.onAll = h.onTarget + driver.Ptr(4*n)
	h.dxRows = h.reserve(&h.scratch[gatheredGradients], int64(h.chunk*h.width*elementType(h.x.Type).Size()))
}

// sendFactors sends the factors of some tokens, in pairs.
func (h *lmHead) sendFactors(from, rows int, factors []float32) {
	for i, to := range []driver.Ptr{h.onTarget, h.onAll} {
		h.send(to+driver.Ptr(4*from), rows, 4, func(to []byte, n int) {
			binary.LittleEndian.PutUint32(to, math.Float32bits(factors[2*n+i]))
		})
	}
}

// softmax computes the logits of a chunk and what their softmax needs.
func (h *lmHead) softmax(from, rows int, logp, lse driver.Ptr) {
	h.device.rows(kernel("gather_rows", h.x.Type), rows, rowThreads, pointer(h.now.rows), pointer(h.xs), pointer(h.index+driver.Ptr(4*from)), integer(h.width))
	h.multiply(driver.Product{
		M: rows, N: h.vocab, K: h.width, A: h.now.rows, LDA: h.width, B: h.ws, LDB: h.width, TransB: true, D: h.now.logits, LDD: h.ld,
		In: elementType(h.x.Type), Out: driver.F32,
	})
	h.device.rows("lmhead_forward", rows, vocabularyThreads, pointer(h.now.state), pointer(logp), pointer(lse), pointer(h.now.logits), long(h.ld),
		pointer(h.target+driver.Ptr(4*from)), integer(h.vocab), float(h.scale))
}

// gradients turns the logits of a chunk into their gradients, in the operands' type and in the same memory, and these
// into those of x and w.
func (h *lmHead) gradients(from, rows int) {
	t := h.x.Type
	ld := h.ld * 4 / elementType(t).Size()
	h.device.rows(kernel("lmhead_backward", t), rows, vocabularyThreads, pointer(h.now.logits), long(ld), pointer(h.now.logits), long(h.ld), pointer(h.now.state),
		pointer(h.target+driver.Ptr(4*from)), pointer(h.onTarget+driver.Ptr(4*from)), pointer(h.onAll+driver.Ptr(4*from)),
		integer(h.vocab), float(h.scale))
	in := elementType(t)
	h.multiply(driver.Product{
		M: rows, N: h.width, K: h.vocab, A: h.now.logits, LDA: ld, B: h.ws, LDB: h.width, D: h.dxRows, LDD: h.width, In: in, Out: in,
	})
	if h.dws != 0 {
		h.multiply(driver.Product{
			M: h.vocab, N: h.width, K: rows, A: h.now.logits, LDA: ld, TransA: true, B: h.now.rows, LDB: h.width,
			C: h.dws, D: h.dws, LDD: h.width, In: in, Out: driver.F32,
		})
	}
	h.device.rows(kernel("scatter_rows", t), rows, rowThreads, pointer(h.dxs), pointer(h.dxRows), pointer(h.index+driver.Ptr(4*from)), integer(h.width))
}

// receive waits for n numbers in float64.
func (d *device) receive(from driver.Ptr, n int, take func(i int, v float64)) {
	if d.fault != nil {
		return
	}
	d.late(d.staging.download(from, n, 8, func(bytes []byte, from, end int) {
		for i := from; i < end; i++ {
			take(i, math.Float64frombits(binary.LittleEndian.Uint64(bytes[8*(i-from):])))
		}
	}))
}
