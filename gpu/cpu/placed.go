package cpu

// placedPhase computes C from operands that nobody has packed. Both lie with one row for each step of the depth, as dyᵀ·x
// for the gradient of weights, so that packing them is copying, and the micro-kernel does that on the way while it computes
// the first tiles that read them. Each worker packs for itself: it waits for nobody, and what it reads next lies in its own
// cache.
type placedPhase struct{ *gemm }

// placed reports whether a product is one for placedPhase. Pairs are not, as they have to be rounded.
func (g *gemm) placed() bool { return g.a.transposed && !g.b.transposed && !g.device.pairs }

func (g *gemm) runPlaced() {
	g.device.reserve(kDepth*g.device.kernels.NR, func(w *worker) *[]float32 { return &w.panel })
	g.device.pool.run(len(g.rects), placedPhase{g})
}

// tile computes tile i of C.
func (g placedPhase) tile(i, w int) {
	r := g.rects[i]
	d, worker, depth := g.device, &g.device.workers[w], evenDepth(g.k)
	for k := 0; k < g.k; k += depth {
		kc := min(depth, g.k-k)
		b := placedBlock{
			gemm: g.gemm, k: k, row: r.row, whole: r.m / d.kernels.MR * d.kernels.MR,
			rows: packedRows{worker.a[:r.m*kc], r.m, kc, false}, panel: worker.panel[:kc*d.kernels.NR], edge: worker.edge,
			init: g.add,
		}
		if k > 0 {
			b.init = g.c
		}
		b.run(r.col, r.n)
	}
}

// A placedBlock is some rows of C, and a part of the depth that one run of the micro-kernel goes through.
type placedBlock struct {
	*gemm
	k, row int        // the first
	whole  int        // rows that are whole panels of A
	rows   packedRows // A, as far as it is packed by now
	panel  []float32  // of B
	edge   []float32
	init   []float32 // what C starts from, or nil
}

// run computes n columns from col on.
func (b *placedBlock) run(col, n int) {
	d, nr := b.device, b.device.kernels.NR
	if b.whole == 0 || b.n-col < nr { // there is no first tile that could pack A
		d.packA(b.rows.data, b.a, b.row, b.rows.m, b.k, b.rows.depth)
		for j := col; j < col+n; j += nr {
			b.splitColumn(j)
		}
		return
	}
	d.packA(b.rows.data[b.whole*b.rows.depth:], b.a, b.row+b.whole, b.rows.m-b.whole, b.k, b.rows.depth)
	b.firstColumn(col)
	for j := col + nr; j < col+n; j += nr {
		if b.n-j < nr {
			b.splitColumn(j)
			continue
		}
		b.packTile(false, true, 0, j)
		b.below(d.kernels.MR, j)
	}
}

// firstColumn computes the NR columns from j on, and packs whole panels of A.
func (b *placedBlock) firstColumn(j int) {
	mr := b.device.kernels.MR
	b.packTile(true, true, 0, j)
	for i := mr; i < b.whole; i += mr {
		b.packTile(true, false, i, j)
	}
	b.below(b.whole, j)
}

// packTile computes the tile at row i of the block and column j from a panel of A, of B or both that it packs.
func (b *placedBlock) packTile(packA, packB bool, i, j int) {
	k, kc := b.device.kernels, b.rows.depth
	rows, at := b.rows.data[i*kc:], (b.row+i)*b.ldc+j
	a, from, pack := rows, b.panel, k.PackB
	if packA {
		a, pack = b.a.data[b.k*b.a.ld+b.row+i:], k.PackA
	}
	if packB {
		from = b.b.data[b.k*b.b.ld+j:]
	}
	if packA && packB {
		pack = k.PackBoth
	}
	pack(kc, a, b.a.ld, rows, from, b.b.ld, b.panel, b.c[at:], b.ldc, rowsFrom(b.init, at), b.ldc)
}

// below computes the NR columns from j on, from row i of the block on, with both operands packed.
func (b *placedBlock) below(i, j int) {
	rest := packedRows{b.rows.data[i*b.rows.depth:], b.rows.m - i, b.rows.depth, false}
	at := (b.row+i)*b.ldc + j
	if rest.m > 0 {
		b.device.column(rest, b.panel, b.c[at:], b.ldc, rowsFrom(b.init, at), b.ldc)
	}
}

// splitColumn packs a panel of B beforehand, which may have fewer than NR columns, and computes its columns of C.
func (b *placedBlock) splitColumn(j int) {
	d, nr, kc := b.device, b.device.kernels.NR, b.rows.depth
	cols := min(nr, b.n-j)
	if cols < nr {
		clear(b.panel)
	}
	d.kernels.Split(b.panel, 0, nr, cols, b.b.data[b.k*b.b.ld+j:], b.b.ld, kc, 1)
	if cols == nr {
		b.below(0, j)
		return
	}
	edge, at := b.edge[:b.rows.m*nr], b.row*b.ldc+j
	d.column(b.rows, b.panel, edge, nr, nil, 0)
	storeEdge(b.c[at:], rowsFrom(b.init, at), b.ldc, edge, nr, b.rows.m, cols)
}
