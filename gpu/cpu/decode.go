package cpu

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// decode is attention from one new token per sequence over a cache of keys and values.
type decode struct {
	device         *device
	out, q, k, v   []float32
	slots, lengths []int32
	capacity, size int // T and E
	heads, groups  int // H and G
}

// Store writes row i of k and v at position positions[i] of sequence slots[i].
func (d *device) Store(c gpu.Cache, k, v gpu.Tensor, slots, positions []int32) {
	const op = "Store"
	n, width := k.Rows, k.Cols
	keys, values := view(op, "k", k, len(slots), width), view(op, "v", v, n, width)
	ck, cv := view(op, "cache.K", c.K, -1, width), view(op, "cache.V", c.V, c.K.Rows, width)
	for i, slot := range slots {
		p := positions[i]
		if p < 0 || int(p) >= c.Capacity || slot < 0 || int(slot+1)*c.Capacity > c.K.Rows {
			panic(fmt.Sprintf("cpu: Store: position %d of sequence %d in a cache of %d rows, %d per sequence",
				p, slot, c.K.Rows, c.Capacity))
		}
		at := (int(slot)*c.Capacity + int(p)) * width
		copy(ck[at:][:width], keys[i*width:])
		copy(cv[at:][:width], values[i*width:])
	}
}

// DecodeAttention attends from one new token per row.
func (d *device) DecodeAttention(out, q gpu.Tensor, c gpu.Cache, headSize int, slots, lengths []int32) {
	const op = "DecodeAttention"
	a := &d.decode
	a.heads, a.groups = headCounts(op, q.Cols, c.K.Cols, headSize)
	a.q = view(op, "q", q, len(slots), -1)
	a.out = view(op, "out", out, q.Rows, q.Cols)
	a.k = view(op, "cache.K", c.K, -1, -1)
	a.v = view(op, "cache.V", c.V, c.K.Rows, c.K.Cols)
	a.slots, a.lengths, a.capacity, a.size = slots, lengths, c.Capacity, headSize
	for i, slot := range slots {
		n := lengths[i]
		if n < 1 || int(n) > c.Capacity || slot < 0 || int(slot+1)*c.Capacity > c.K.Rows {
			panic(fmt.Sprintf("cpu: DecodeAttention: %d tokens of sequence %d in a cache of %d rows, %d per sequence",
				n, slot, c.K.Rows, c.Capacity))
		}
	}
	d.reserve(c.Capacity, func(w *worker) *[]float32 { return &w.scores })
	d.pool.run(len(slots)*a.heads, a)
}

// tile attends from one head of one row.
func (a *decode) tile(i, w int) {
	k := a.device.kernels
	row, h := i/a.heads, i%a.heads
	width := a.groups * a.size
	at := int(a.slots[row])*a.capacity*width + h*a.groups/a.heads*a.size
	scores := a.device.workers[w].scores[:a.lengths[row]]
	head := (row*a.heads + h) * a.size

	k.DotRows(scores, a.q[head:][:a.size], a.k[at:], width)
	scale := float32(1 / math.Sqrt(float64(a.size)))
	sum := k.ExpSum(scores, scale, k.Max(scores)*scale)
	out := a.out[head:][:a.size]
	clear(out)
	k.AddRows(out, scores, a.v[at:], width)
	k.Scale(out, float32(1/sum))
}

// headCounts returns H and G for rows of q and k.
func headCounts(op string, qCols, kCols, size int) (heads, groups int) {
	if size <= 0 || qCols%size != 0 || kCols%size != 0 || kCols == 0 || (qCols/size)%(kCols/size) != 0 {
		panic(fmt.Sprintf("cpu: %s: heads of %d in queries of %d and keys of %d", op, size, qCols, kCols))
	}
	return qCols / size, kCols / size
}
