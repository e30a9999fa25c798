package cuda

import (
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// decodeSplit is how many tokens of a cache a block attends to: long sequences are shared among blocks.
const decodeSplit = 128

// Store writes row i of k and v at position positions[i] of sequence slots[i].
func (d *device) Store(c gpu.Cache, k, v gpu.Tensor, slots, positions []int32) {
	const op = "Store"
	n, width := k.Rows, k.Cols
	ks, vs := d.at(op, "k", k, len(slots), width), d.typed(op, "v", v, k.Type, n, width)
	ck, cv := d.cache(op, c, k.Type, width)
	checkPlaces(op, c, slots, positions, 0)
	d.rows(kernel("cache_store", k.Type), n, rowThreads, pointer(ck), pointer(cv), pointer(ks), pointer(vs),
		pointer(d.list(&d.stream.slots, slots)), pointer(d.list(&d.stream.at, positions)), integer(c.Capacity), integer(width))
}

// DecodeAttention attends from one new token per row.
func (d *device) DecodeAttention(out, q gpu.Tensor, c gpu.Cache, headSize int, slots, lengths []int32) {
	const op = "DecodeAttention"
	H, G := headCounts(op, q.Cols, c.K.Cols, headSize)
	n := q.Rows
	qs := d.at(op, "q", q, len(slots), -1)
	os := d.typed(op, "out", out, q.Type, n, q.Cols)
	ck, cv := d.cache(op, c, q.Type, c.K.Cols)
	checkPlaces(op, c, slots, lengths, 1)
	if n == 0 {
		return
	}
	splits := int(slices.Max(lengths)+decodeSplit-1) / decodeSplit
	partial := d.reserve(&d.scratch[attentionWork], int64(4*n*H*splits*(headSize+2)))
	heads := H / G
	length := pointer(d.list(&d.stream.lengths, lengths))
	d.launch(driver.Launch{
		Kernel: kernel("decode_attention", q.Type), Grid: [3]int{n, G, splits}, Block: [3]int{128, 1, 1},
		Shared: 4 * heads * (headSize + decodeSplit + 2 + max(1024, headSize)),
		Args: []uint64{
			pointer(partial), pointer(qs), pointer(ck), pointer(cv), pointer(d.list(&d.stream.slots, slots)), length,
			integer(c.Capacity), integer(H), integer(G), integer(headSize), integer(splits), float(1 / math.Sqrt(float64(headSize))),
		},
	})
	d.launch(driver.Launch{
		Kernel: kernel("decode_combine", q.Type), Grid: [3]int{n, H, 1}, Block: [3]int{64, 1, 1},
		Args: []uint64{pointer(os), pointer(partial), length, integer(H), integer(headSize), integer(splits)},
	})
}

// cache checks a key/value cache of the given type and width.
func (d *device) cache(op string, c gpu.Cache, t gpu.DType, width int) (keys, values driver.Ptr) {
	if c.Capacity <= 0 || c.K.Rows%c.Capacity != 0 {
		panic(fmt.Sprintf("cuda: %s: a cache of %d rows with capacity %d", op, c.K.Rows, c.Capacity))
	}
	return d.typed(op, "cache.K", c.K, t, -1, width), d.typed(op, "cache.V", c.V, t, c.K.Rows, width)
}

// checkPlaces panics unless each slot is one of the cache's and each number stands from least on within its capacity.
func checkPlaces(op string, c gpu.Cache, slots, numbers []int32, least int32) {
	if len(numbers) != len(slots) {
		panic(fmt.Sprintf("cuda: %s: %d slots with %d places", op, len(slots), len(numbers)))
	}
	for i, slot := range slots {
		n := numbers[i] - least
		if n < 0 || int(n) >= c.Capacity || slot < 0 || int(slot+1)*c.Capacity > c.K.Rows {
			panic(fmt.Sprintf("cuda: %s: place %d of sequence %d in a cache of %d rows, %d per sequence", op, numbers[i], slot, c.K.Rows, c.Capacity))
		}
	}
}
