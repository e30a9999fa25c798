package cpu

import "athanor/gpu"

// fewRows is up to how many rows of x Linear reads w where it lies: packing it would take longer than is won.
const fewRows = 32

// Linear sets y = add + x·wᵀ.
func (d *device) Linear(y, x, w, add gpu.Tensor) {
	const op = "Linear"
	n, i, o := x.Rows, x.Cols, w.Rows
	g := &d.gemm
	g.c = view(op, "y", y, n, o)
	g.add = optional(op, "add", add, n, o)
	g.ldc, g.m, g.n, g.k = o, n, o, i
	g.a = operand{view(op, "x", x, n, i), i, false}
	g.b = operand{view(op, "w", w, o, i), i, true}
	if n <= fewRows && !d.pairs {
		g.runRows()
		return
	}
	g.run()
}

// LinearBackwardInput sets dx = add + dy·w.
func (d *device) LinearBackwardInput(dx, dy, w, add gpu.Tensor) {
	const op = "LinearBackwardInput"
	n, i, o := dx.Rows, dx.Cols, w.Rows
	g := &d.gemm
	g.c = view(op, "dx", dx, n, i)
	g.add = optional(op, "add", add, n, i)
	g.ldc, g.m, g.n, g.k = i, n, i, o
	g.a = operand{view(op, "dy", dy, n, o), o, false}
	g.b = operand{view(op, "w", w, o, i), i, false}
	g.run()
}

// LinearBackwardWeight adds dyᵀ·x to dw.
func (d *device) LinearBackwardWeight(dw, dy, x gpu.Tensor) {
	const op = "LinearBackwardWeight"
	n, i, o := x.Rows, x.Cols, dw.Rows
	g := &d.gemm
	g.c = view(op, "dw", dw, o, i)
	g.add = g.c
	g.ldc, g.m, g.n, g.k = i, o, i, n
	g.a = operand{view(op, "dy", dy, n, o), o, true}
	g.b = operand{view(op, "x", x, n, i), i, false}
	g.run()
}

// rowsBlock is how many rows of B a tile reads at a time, for all rows of A: they stay in the first-level cache.
const rowsBlock = 16

// rowsPhase computes a few rows of C, each tile some of its columns, reading B where it is.
type rowsPhase struct{ *gemm }

// runRows computes a product of few rows, whose B is transposed.
func (g *gemm) runRows() {
	tiles := ceilDiv(g.n, g.rowsTile())
	if g.m*g.n*g.k < 1<<16 {
		g.cols = g.n // too little to share
		tiles = min(1, tiles)
	} else {
		g.cols = g.rowsTile()
	}
	g.device.reserve(g.m*rowsBlock, func(w *worker) *[]float32 { return &w.edge })
	g.device.pool.run(tiles, rowsPhase{g})
	g.c, g.add, g.a, g.b = nil, nil, operand{}, operand{}
}

// rowsTile is how many rows of B make 64 KiB.
func (g *gemm) rowsTile() int { return max(16, 1<<14/max(1, g.k)) &^ 3 }

func (g rowsPhase) tile(i, w int) {
	sums := g.device.workers[w].edge[:g.m*rowsBlock]
	for c := i * g.cols; c < min(g.n, (i+1)*g.cols); c += rowsBlock {
		n := min(rowsBlock, g.n-c)
		g.dots(sums, rowsBlock, c, n)
		for r := range g.m {
			row := sums[r*rowsBlock:][:n]
			if g.add != nil {
				g.device.kernels.Add(row, g.add[r*g.ldc+c:][:n])
			}
			copy(g.c[r*g.ldc+c:], row)
		}
	}
}

// dots computes columns [c, c+n) of a·b. Rows of sums are ld apart.
func (g rowsPhase) dots(sums []float32, ld, c, n int) {
	k := g.device.kernels
	b, whole, r := g.b.data[c*g.b.ld:], n&^3, 0
	if whole > 0 {
		for ; r+k.DotBlockRows <= g.m; r += k.DotBlockRows {
			k.DotBlock(sums[r*ld:], ld, g.a.data[r*g.a.ld:], g.a.ld, b, g.b.ld, g.k, whole)
		}
	}
	for i := range g.m {
		from := 0
		if i < r {
			from = whole
		}
		if from < n {
			k.DotRows(sums[i*ld+from:][:n-from], g.a.data[i*g.a.ld:][:g.k], b[from*g.b.ld:], g.b.ld)
		}
	}
}
