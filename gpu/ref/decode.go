package ref

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// Store sets K[slots[i]·T + positions[i]] = k[i], and the same for V.
func (Device) Store(c gpu.Cache, k, v gpu.Tensor, slots, positions []int32) {
	n, width := k.Rows, c.K.Cols
	checkCache("Store", c)
	want("Store", "k", k, n, width)
	want("Store", "v", v, n, width)
	wantLen("Store", "slots", len(slots), n)
	wantLen("Store", "positions", len(positions), n)
	for i := range n {
		wantBelow("Store", "position", positions[i], c.Capacity)
		wantBelow("Store", "slot", slots[i], c.K.Rows/c.Capacity)
		row := int(slots[i])*c.Capacity + int(positions[i])
		copy(values(c.K.Slice(row, row+1)), values(k.Slice(i, i+1)))
		copy(values(c.V.Slice(row, row+1)), values(v.Slice(i, i+1)))
	}
}

// DecodeAttention is Attention for one query of each sequence: row i is softmax(q[i,h]·K/√E)·V over the first
// lengths[i] rows of the sequence slots[i].
func (Device) DecodeAttention(out, q gpu.Tensor, c gpu.Cache, headSize int, slots, lengths []int32) {
	checkCache("DecodeAttention", c)
	n, E := q.Rows, headSize
	H, G := heads("DecodeAttention", q, c.K, headSize)
	want("DecodeAttention", "out", out, n, H*E)
	wantLen("DecodeAttention", "slots", len(slots), n)
	wantLen("DecodeAttention", "lengths", len(lengths), n)
	o, qs, ks, vs := values(out), values(q), values(c.K), values(c.V)
	for i := range n {
		wantBelow("DecodeAttention", "length", lengths[i]-1, c.Capacity)
		wantBelow("DecodeAttention", "slot", slots[i], c.K.Rows/c.Capacity)
		first := int(slots[i]) * c.Capacity
		for h := range H {
			at := func(cache []float64, t int) []float64 { return cache[((first+t)*G+h*G/H)*E:][:E] }
			query := qs[(i*H+h)*E:][:E]
			scores := make([]float64, lengths[i])
			for t := range scores {
				scores[t] = dot(query, at(ks, t)) / math.Sqrt(float64(E))
			}
			sums, _ := attend(query, scores, func(t int) []float64 { return at(vs, t) })
			copy(o[(i*H+h)*E:], sums)
		}
	}
}

func checkCache(op string, c gpu.Cache) {
	want(op, "V", c.V, c.K.Rows, c.K.Cols)
	if c.Capacity <= 0 || c.K.Rows%c.Capacity != 0 {
		panic(fmt.Sprintf("ref: %s: a cache of %d rows with capacity %d", op, c.K.Rows, c.Capacity))
	}
}
