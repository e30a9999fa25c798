package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// logitBytes bounds the logits that exist at once, in float32.
const logitBytes = 256 << 20

// lmHead is one pass over the tokens that take part in the head, in chunks of some tokens with their logits.
type lmHead struct {
	*device
	x, w, dw                gpu.Tensor
	xs, ws, dws             driver.Ptr
	width, vocab, ld        int // ld: elements from one row of logits to the next
	chunk                   int // tokens
	scale                   float64
	tokens                  []int32 // which tokens take part
	targets                 []int32 // of these
	index, target           driver.Ptr
	rows, logits, state     driver.Ptr // of a chunk: of x, and what belongs to each
	onTarget, onAll, dxRows driver.Ptr // backward only
}

// LMHead computes logp and lse of each token with a target.
func (d *device) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, temperature float64) error {
	h := d.newHead("LMHead", x, w, s, temperature)
	if len(logp) != x.Rows || lse != nil && len(lse) != x.Rows {
		panic(fmt.Sprintf("cuda: LMHead: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	clear(logp)
	clear(lse)
	for n, t := range s.Targets {
		if t != gpu.NoTarget {
			h.tokens, h.targets = append(h.tokens, int32(n)), append(h.targets, t)
		}
	}
	h.keepLists()
	n := len(h.tokens)
	if n == 0 || d.fault != nil {
		return d.fault
	}
	results := d.reserve(&d.scratch[hostResults], int64(16*n))
	h.prepare()
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
	dxs := d.typed(op, "dx", dx, x.Type, x.Rows, x.Cols)
	h.dw, h.dws = dw, d.optional(op, "dw", dw, gpu.F32, w.Rows, w.Cols)
	factors := d.headFactors[:0] // of the target's logit, and of all, for each token that takes part
	for n, t := range s.Targets {
		onLSE := 0.0
		if dLSE != nil {
			onLSE = dLSE[n]
		}
		if t == gpu.NoTarget || dLogp[n] == 0 && onLSE == 0 {
			continue
		}
		h.tokens, h.targets = append(h.tokens, int32(n)), append(h.targets, t)
		factors = append(factors, float32(dLogp[n]*h.scale), float32((onLSE-dLogp[n])*h.scale))
	}
	h.keepLists()
	d.headFactors = factors
	d.Zero(dx)
	n := len(h.tokens)
	if n == 0 || d.fault != nil {
		return
	}
	h.onTarget = d.reserve(&d.scratch[tokenFactors], int64(8*n))
	h.onAll = h.onTarget + driver.Ptr(4*n)
	d.send(h.onTarget, 2*n, 4, func(to []byte, i int) {
		binary.LittleEndian.PutUint32(to, math.Float32bits(factors[2*(i%n)+i/n]))
	})
	h.prepare()
	h.dxRows = d.reserve(&d.scratch[gatheredGradients], int64(h.chunk*h.width*elementType(x.Type).Size()))
	for from := 0; from < n; from += h.chunk {
		rows := min(h.chunk, n-from)
		h.softmax(from, rows, 0, 0)
		h.gradients(from, rows)
		d.rows(kernel("scatter_rows", x.Type), rows, rowThreads, pointer(dxs), pointer(h.dxRows), pointer(h.index+driver.Ptr(4*from)), integer(h.width))
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

// keepLists keeps the memory of the lists for the next call.
func (h *lmHead) keepLists() { h.device.headTokens, h.device.headTargets = h.tokens, h.targets }

// prepare reserves what the chunks use and sends the lists. The size of a chunk follows from the shapes alone, and so do
// the bits.
func (h *lmHead) prepare() {
	n, size := len(h.tokens), elementType(h.x.Type).Size()
	h.chunk = min(n, max(128, logitBytes/(4*h.ld)/128*128))
	h.index = h.reserve(&h.scratch[tokenRows], int64(8*n))
	h.target = h.index + driver.Ptr(4*n)
	h.send(h.index, 2*n, 4, func(to []byte, i int) {
		v := h.tokens[i%n]
		if i >= n {
			v = h.targets[i-n]
		}
		binary.LittleEndian.PutUint32(to, uint32(v))
	})
	h.rows = h.reserve(&h.scratch[gatheredRows], int64(h.chunk*h.width*size))
	h.logits = h.reserve(&h.scratch[logitRows], int64(4*h.chunk*h.ld))
	h.state = h.reserve(&h.scratch[rowStates], int64(8*h.chunk))
}

// softmax computes the logits of a chunk and what their softmax needs.
func (h *lmHead) softmax(from, rows int, logp, lse driver.Ptr) {
	h.device.rows(kernel("gather_rows", h.x.Type), rows, rowThreads, pointer(h.rows), pointer(h.xs), pointer(h.index+driver.Ptr(4*from)), integer(h.width))
	h.multiply(driver.Product{
		M: rows, N: h.vocab, K: h.width, A: h.rows, LDA: h.width, B: h.ws, LDB: h.width, TransB: true, D: h.logits, LDD: h.ld,
		In: elementType(h.x.Type), Out: driver.F32,
	})
	h.device.rows("lmhead_forward", rows, vocabularyThreads, pointer(h.state), pointer(logp), pointer(lse), pointer(h.logits), long(h.ld),
		pointer(h.target+driver.Ptr(4*from)), integer(h.vocab), float(h.scale))
}

// gradients turns the logits of a chunk into their gradients, in the operands' type and in the same memory, and these
// into those of x and w.
func (h *lmHead) gradients(from, rows int) {
	t := h.x.Type
	ld := h.ld * 4 / elementType(t).Size()
	h.device.rows(kernel("lmhead_backward", t), rows, vocabularyThreads, pointer(h.logits), long(ld), pointer(h.logits), long(h.ld), pointer(h.state),
		pointer(h.target+driver.Ptr(4*from)), pointer(h.onTarget+driver.Ptr(4*from)), pointer(h.onAll+driver.Ptr(4*from)),
		integer(h.vocab), float(h.scale))
	in := elementType(t)
	h.multiply(driver.Product{
		M: rows, N: h.width, K: h.vocab, A: h.logits, LDA: ld, B: h.ws, LDB: h.width, D: h.dxRows, LDD: h.width, In: in, Out: in,
	})
	if h.dws != 0 {
		h.multiply(driver.Product{
			M: h.vocab, N: h.width, K: rows, A: h.logits, LDA: ld, TransA: true, B: h.rows, LDB: h.width,
			C: h.dws, D: h.dws, LDD: h.width, In: in, Out: driver.F32,
		})
	}
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
