package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

var _ gpu.LossHead = (*device)(nil)

// LMHeadLoss sets logp, lse and dx, and adds to dw. The logits of a chunk wait on the GPU while logp and lse come to the host,
// which finds the derivatives; in the meantime the GPU computes the logits of the next chunk.
func (d *device) LMHeadLoss(logp, lse []float64, dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, loss gpu.TokenLoss) error {
	const op = "LMHeadLoss"
	h := d.newHead(op, x, w, s, temperature)
	if len(logp) != x.Rows || len(lse) != x.Rows {
		panic(fmt.Sprintf("cuda: LMHeadLoss: %d logp and %d lse for %d tokens", len(logp), len(lse), x.Rows))
	}
	h.gradientsOf(op, dx, dw)
	clear(logp)
	clear(lse)
	n := h.take(s, func(int) bool { return true })
	if n == 0 || d.fault != nil {
		return d.fault
	}
	results := d.reserve(&d.scratch[hostResults], int64(16*n))
	chunks := h.prepare(2)
	h.prepareGradients()
	begin := func(from int) {
		i, rows := from/h.chunk%2, min(h.chunk, n-from)
		h.now = chunks[i]
		at := results + driver.Ptr(16*from)
		h.softmax(from, rows, at, at+driver.Ptr(8*rows))
		if d.fault == nil {
			d.keep(d.staging.fetch(i, at, 16*rows))
		}
	}
	begin(0)
	for from := 0; from < n && d.fault == nil; from += h.chunk {
		if next := from + h.chunk; next < n {
			begin(next)
		}
		i, rows := from/h.chunk%2, min(h.chunk, n-from)
		h.now = chunks[i]
		if h.losses(i, from, rows, logp, lse, loss) {
			h.sendFactors(from, rows, d.headFactors)
			h.gradients(from, rows)
		}
	}
	return d.fault
}

// losses waits for logp and lse of a chunk's tokens, and has the factors of their gradients found. It reports whether they
// came.
func (h *lmHead) losses(half, from, rows int, logp, lse []float64, loss gpu.TokenLoss) bool {
	if h.fault != nil {
		return false
	}
	bytes, err := h.staging.arrived(half)
	if err != nil {
		h.late(err)
		return false
	}
	number := func(i int) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(bytes[8*i:])) }
	factors := h.headFactors[:0]
	for i, n := range h.tokens[from : from+rows] {
		logp[n], lse[n] = number(i), number(rows+i)
		onTarget, onAll := h.factors(loss(int(n), logp[n], lse[n]))
		factors = append(factors, onTarget, onAll)
	}
	h.headFactors = factors
	return true
}
