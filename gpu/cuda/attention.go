package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// attentionThreads is the size of a block of every attention kernel.
const attentionThreads = 128

// An attentionKernel is one implementation of attention: which heads it is for, and the shape of its launches.
type attentionKernel struct {
	suffix  string
	fits    func(t gpu.DType, headSize int) bool
	queries int // of a tile: forward and dq
	keys    int // of a tile: dkv
	shared  func(headSize int) (forward, dq, dkv int)
}

// attentionKernels lists the implementations; the first that fits is taken. gpu/cuda/kernels/README.md has the numbers.
var attentionKernels = []attentionKernel{
	{
		suffix:  "_e64",
		fits:    func(t gpu.DType, headSize int) bool { return t == gpu.BF16 && headSize == 64 },
		queries: 128, keys: 128,
		shared: func(int) (forward, dq, dkv int) { return 49152, 65536, 49664 },
	},
	{
		suffix:  "_e128",
		fits:    func(t gpu.DType, headSize int) bool { return t == gpu.BF16 && headSize == 128 },
		queries: 128, keys: 64,
		shared: func(int) (forward, dq, dkv int) { return 98304, 98304, 99328 },
	},
	{
		fits:    func(gpu.DType, int) bool { return true },
		queries: 32, keys: 32,
		shared: func(e int) (forward, dq, dkv int) {
			return 4 * (4*32*(e+1) + 32*33), 4 * (5*32*(e+1) + 32*33), 4 * (6*32*(e+1) + 2*32*33)
		},
	},
}

// attention is the operands that both directions share.
type attention struct {
	*device
	attentionKernel
	t                gpu.DType
	n, H, G, E       int
	q, k, v          driver.Ptr
	scale            float64
	forward, dq, dkv int // bytes of shared memory
}

func (d *device) newAttention(op string, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) attention {
	checkStream(op, s, q.Rows)
	a := attention{device: d, t: q.Type, n: q.Rows, E: headSize, scale: 1 / math.Sqrt(float64(headSize))}
	a.H, a.G = headCounts(op, q.Cols, k.Cols, headSize)
	a.q = d.at(op, "q", q, -1, -1)
	a.k = d.typed(op, "k", k, q.Type, q.Rows, -1)
	a.v = d.typed(op, "v", v, q.Type, q.Rows, k.Cols)
	i := slices.IndexFunc(attentionKernels, func(k attentionKernel) bool { return k.fits(q.Type, headSize) })
	a.attentionKernel = attentionKernels[i]
	a.forward, a.dq, a.dkv = a.shared(headSize)
	if len(s.Starts) == 0 || s.Starts[0] != 0 || int(s.Starts[len(s.Starts)-1]) != s.Len() {
		panic(fmt.Sprintf("cuda: %s: the segments %v do not make up a stream of %d tokens", op, s.Starts, s.Len()))
	}
	return a
}

// headCounts returns H and G for rows of q and k.
func headCounts(op string, qCols, kCols, size int) (heads, groups int) {
	if size <= 0 || qCols%size != 0 || kCols%size != 0 || kCols == 0 || (qCols/size)%(kCols/size) != 0 {
		panic(fmt.Sprintf("cuda: %s: heads of %d in queries of %d and keys of %d", op, size, qCols, kCols))
	}
	return qCols / size, kCols / size
}

// Attention is causal attention within each segment.
func (d *device) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	const op = "Attention"
	a := d.newAttention(op, q, k, v, headSize, s)
	os := d.typed(op, "out", out, q.Type, a.n, a.H*a.E)
	ls := d.typed(op, "lse", lse, gpu.F32, a.n, a.H)
	a.run("attention", s, a.queries, true, a.H, a.forward, pointer(os), pointer(ls), pointer(a.q), pointer(a.k), pointer(a.v))
}

// AttentionBackward sets dq, dk and dv.
func (d *device) AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	const op = "AttentionBackward"
	a := d.newAttention(op, q, k, v, headSize, s)
	dqs := d.typed(op, "dq", dq, q.Type, a.n, a.H*a.E)
	dks := d.typed(op, "dk", dk, q.Type, a.n, a.G*a.E)
	dvs := d.typed(op, "dv", dv, q.Type, a.n, a.G*a.E)
	dos := d.typed(op, "dOut", dOut, q.Type, a.n, a.H*a.E)
	os := d.typed(op, "out", out, q.Type, a.n, a.H*a.E)
	ls := d.typed(op, "lse", lse, gpu.F32, a.n, a.H)
	if a.n == 0 {
		return
	}
	delta := d.reserve(&d.scratch[attentionWork], int64(4*a.n*a.H))
	d.launch(driver.Launch{
		Kernel: kernel("attention_delta", a.t), Grid: [3]int{(a.n*a.H + 3) / 4, 1, 1}, Block: [3]int{128, 1, 1},
		Args: []uint64{pointer(delta), pointer(dos), pointer(os), long(a.n * a.H), integer(a.E)},
	})
	rest := []uint64{pointer(dos), pointer(ls), pointer(delta), pointer(a.q), pointer(a.k), pointer(a.v)}
	a.run("attention_dq", s, a.queries, true, a.H, a.dq, append([]uint64{pointer(dqs)}, rest...)...)
	a.run("attention_dkv", s, a.keys, false, a.G, a.dkv, append([]uint64{pointer(dks), pointer(dvs)}, rest...)...)
}

// run queues one kernel over all tiles of the segments and all heads.
func (a *attention) run(name string, s *gpu.Stream, tile int, lateFirst bool, heads, shared int, args ...uint64) {
	items, count := a.tiles(s, tile, lateFirst)
	if count == 0 {
		return
	}
	a.launch(driver.Launch{
		Kernel: kernel(name+a.suffix, a.t), Grid: [3]int{count, heads, 1}, Block: [3]int{attentionThreads, 1, 1}, Shared: shared,
		Args: append(args, pointer(items), integer(a.H), integer(a.G), integer(a.E), float(a.scale)),
	})
}

// A tileList is the tiles of a stream's segments on the GPU.
type tileList struct {
	starts    []int32 // of the segments that it was made of
	tile      int
	lateFirst bool
	items     []int32 // four for each tile: first token of the segment, one past its last, first token of the tile, 0
	on        buffer
}

// maxTileLists is how many lists are kept: those of a training step.
const maxTileLists = 4

// tiles cuts each segment into tiles, those with the most work first: queries late in a segment have many keys, keys early
// in one have many queries.
func (d *device) tiles(s *gpu.Stream, tile int, lateFirst bool) (driver.Ptr, int) {
	for _, l := range d.tileLists {
		if l.tile == tile && l.lateFirst == lateFirst && slices.Equal(l.starts, s.Starts) {
			return l.on.span.at, len(l.items) / 4
		}
	}
	l := &tileList{}
	if len(d.tileLists) == maxTileLists {
		l = d.tileLists[0]
		d.tileLists = append(d.tileLists[:0], d.tileLists[1:]...)
	}
	d.tileLists = append(d.tileLists, l)
	l.starts, l.tile, l.lateFirst = append(l.starts[:0], s.Starts...), tile, lateFirst
	l.cut()
	at := d.reserve(&l.on, int64(4*len(l.items)))
	d.send(at, len(l.items), 4, func(to []byte, i int) { binary.LittleEndian.PutUint32(to, uint32(l.items[i])) })
	return at, len(l.items) / 4
}

// cut makes the items of the list.
func (l *tileList) cut() {
	type item struct{ first, end, at, work int32 }
	var all []item
	for i := range len(l.starts) - 1 {
		first, end := l.starts[i], l.starts[i+1]
		for at := first; at < end; at += int32(l.tile) {
			work := at - first
			if !l.lateFirst {
				work = end - at
			}
			all = append(all, item{first, end, at, work})
		}
	}
	slices.SortStableFunc(all, func(a, b item) int { return int(b.work) - int(a.work) })
	l.items = l.items[:0]
	for _, t := range all {
		l.items = append(l.items, t.first, t.end, t.at, 0)
	}
}
