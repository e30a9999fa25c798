package cpu

// kDepth is the most rows of a panel that one run of the micro-kernel goes through (KC): a panel of A then stays in the
// first-level cache, and the sums in registers are seldom stored.
const kDepth = 512

// packLimit bounds the packed B of a gemm, in elements; a deeper product is done in several rounds.
const packLimit = 1 << 20

// An operand is a matrix in memory: element (r, c) is data[r·ld+c], or data[c·ld+r] if it is transposed.
type operand struct {
	data       []float32
	ld         int
	transposed bool
}

// panels is an operand B of k rows and n columns, packed: panel p is [k][NR] and holds columns p·NR onwards, filled up
// with zeros.
type panels struct {
	data []float32
	k, n int
}

// gemm computes c = add + a·b; a is m×k, b is k×n.
type gemm struct {
	device  *device
	c, add  []float32 // add is nil for zero, and may be c
	ldc     int       // of both
	a, b    operand
	m, n, k int

	k0       int // first k of this round
	packed   panels
	rows     int // of a tile, a multiple of MR
	cols     int // of a tile, a multiple of NR
	colTiles int
	buffer   []float32
}

type packPhase struct{ *gemm }
type tilePhase struct{ *gemm }

// run computes the product whose operands are set.
func (g *gemm) run() {
	if g.m == 0 || g.n == 0 {
		return
	}
	nr := g.device.kernels.NR
	width := ceilDiv(g.n, nr) * nr
	depth := max(kDepth, packLimit/width/kDepth*kDepth)
	g.partition()
	for g.k0 = 0; g.k0 == 0 || g.k0 < g.k; g.k0 += depth {
		k := min(depth, g.k-g.k0)
		g.packed = panels{grow(&g.buffer, width*k), k, g.n}
		g.device.pool.run(width/nr, packPhase{g})
		g.device.pool.run(ceilDiv(g.m, g.rows)*g.colTiles, tilePhase{g})
	}
	g.c, g.add, g.a, g.b = nil, nil, operand{}, operand{}
}

// partition cuts C into tiles: whole rows of C if there are enough, so that A is packed once, else less.
func (g *gemm) partition() {
	const enough = 32
	mr, nr := g.device.kernels.MR, g.device.kernels.NR
	g.rows = 8 * mr
	rowTiles := ceilDiv(g.m, g.rows)
	g.rows = ceilDiv(ceilDiv(g.m, rowTiles), mr) * mr // evenly
	g.cols = max(128, ceilDiv(g.n, ceilDiv(enough, rowTiles)))
	g.cols = ceilDiv(g.cols, nr) * nr
	g.colTiles = ceilDiv(g.n, g.cols)
}

// tile packs panel i of B.
func (g packPhase) tile(i, _ int) {
	nr := g.device.kernels.NR
	g.device.packB(g.packed.panel(i, nr), g.b, g.k0, g.packed.k, i*nr, min(nr, g.n-i*nr))
}

// tile computes tile i of C.
func (g tilePhase) tile(i, w int) {
	r, c := i/g.colTiles*g.rows, i%g.colTiles*g.cols
	m, n := min(g.rows, g.m-r), min(g.cols, g.n-c)
	init := g.add
	if g.k0 > 0 {
		init = g.c
	}
	if init != nil {
		init = init[r*g.ldc:]
	}
	g.device.multiply(&g.device.workers[w], g.c[r*g.ldc:], init, g.ldc, g.a, r, m, g.k0, g.packed, c, n)
}

// multiply sets columns [col, col+n) of c = init + a·b, where a is m rows of the operand from row on and from depth k0,
// b is packed and c has m rows. col is a multiple of NR. init may be nil or c.
func (d *device) multiply(w *worker, c, init []float32, ldc int, a operand, row, m, k0 int, b panels, col, n int) {
	mr, nr := d.kernels.MR, d.kernels.NR
	steps := max(1, ceilDiv(b.k, kDepth))
	depth := ceilDiv(ceilDiv(b.k, steps), 8) * 8
	for k := 0; k == 0 || k < b.k; k += depth {
		kc := min(depth, b.k-k)
		packed := grow(&w.a, m*kc)
		for i := 0; i < m; i += mr {
			d.packA(packed[i*kc:], a, row+i, min(mr, m-i), k0+k, kc)
		}
		for j := col; j < col+n; j += nr {
			bp := b.panel(j/nr, nr)[k*nr:]
			for i := 0; i < m; i += mr {
				d.microTile(w, min(mr, m-i), kc, packed[i*kc:], bp, c, init, i*ldc+j, ldc, min(nr, b.n-j))
			}
		}
		init = c
	}
}

// microTile runs the micro-kernel on the tile at offset at of c and init; a tile that overhangs C on the right goes
// through a buffer.
func (d *device) microTile(w *worker, mr, kc int, a, b, c, init []float32, at, ldc, cols int) {
	nr := d.kernels.NR
	if cols == nr {
		if init != nil {
			init = init[at:]
		}
		d.kernels.Gemm(mr, kc, a, b, c[at:], ldc, init, ldc)
		return
	}
	edge := grow(&w.edge, mr*nr)
	d.kernels.Gemm(mr, kc, a, b, edge, nr, nil, 0)
	for i := range mr {
		out := c[at+i*ldc:][:cols]
		if init == nil {
			copy(out, edge[i*nr:])
			continue
		}
		from := init[at+i*ldc:][:cols]
		for j, x := range edge[i*nr:][:cols] {
			out[j] = from[j] + x
		}
	}
}

// packA packs rows [row, row+mr) of a, from depth k0 to k0+kc, as [kc][mr].
func (d *device) packA(dst []float32, a operand, row, mr, k0, kc int) {
	if a.transposed {
		d.kernels.CopyRows(dst, mr, a.data[k0*a.ld+row:], a.ld, kc, mr)
	} else {
		d.kernels.Transpose(dst, mr, a.data[row*a.ld+k0:], a.ld, mr, kc)
	}
}

// packB packs columns [col, col+cols) of b, from depth k0 to k0+kc, as [kc][NR] with zeros beyond cols.
func (d *device) packB(dst []float32, b operand, k0, kc, col, cols int) {
	nr := d.kernels.NR
	if cols < nr {
		clear(dst[:kc*nr])
	}
	if b.transposed {
		d.kernels.Transpose(dst, nr, b.data[col*b.ld+k0:], b.ld, cols, kc)
	} else {
		d.kernels.CopyRows(dst, nr, b.data[k0*b.ld+col:], b.ld, kc, cols)
	}
}

// panel returns panel i.
func (b panels) panel(i, nr int) []float32 { return b.data[i*b.k*nr:][:b.k*nr] }

func ceilDiv(a, b int) int { return (a + b - 1) / b }
