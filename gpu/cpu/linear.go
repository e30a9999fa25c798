package cpu

import "athanor/gpu"

// Up to fewRows rows of x Linear reads w where it lies: packing it would take longer than is won. Up to fewestRows it
// takes dot products; with more, the operands change places, so that x is what is packed.
const fewRows, fewestRows = 64, 4

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
	g.c, g.add = sum(op, "dw", dw, o, i)
	g.ldc, g.m, g.n, g.k = i, o, i, n
	g.a = operand{view(op, "dy", dy, n, o), o, true}
	g.b = operand{view(op, "x", x, n, i), i, false}
	g.run()
}

// rowsBlock is how many rows of B dot products read at a time, for all rows of A: they stay in the first-level cache.
const rowsBlock = 16

// rowsPhase computes a few rows of C, each tile some of its columns, reading B where it is.
type rowsPhase struct{ *gemm }

// fewPackPhase packs the rows of A as the columns that they are when the operands have changed places.
type fewPackPhase struct{ *gemm }

// runRows computes a product of few rows, whose B is transposed.
func (g *gemm) runRows() {
	k := g.device.kernels
	tiles := ceilDiv(g.n, g.rowsTile())
	if g.m*g.n*g.k < 1<<16 {
		g.cols = g.n // too little to share
		tiles = min(1, tiles)
	} else {
		g.cols = g.rowsTile()
	}
	scratch := g.m * rowsBlock
	if g.swapped() {
		panels := ceilDiv(g.m, k.Few)
		grow(&g.buffer, panels*k.Few*g.k)
		g.device.pool.run(panels, fewPackPhase{g})
		scratch = max(scratch, 2*g.cols*k.Few)
	}
	g.device.reserve(scratch, func(w *worker) *[]float32 { return &w.edge })
	g.device.pool.run(tiles, rowsPhase{g})
	g.c, g.add, g.a, g.b = nil, nil, operand{}, operand{}
}

// swapped reports whether the operands change places.
func (g *gemm) swapped() bool { return g.m > fewestRows && g.k > 0 }

// rowsTile is how many rows of B make 64 KiB, in whole tiles.
func (g *gemm) rowsTile() int {
	rows := max(16, 1<<14/max(1, g.k))
	if g.swapped() {
		return roundUp(rows, g.device.kernels.FewRows)
	}
	return rows &^ 3
}

// tile packs panel i.
func (g fewPackPhase) tile(i, _ int) {
	k := g.device.kernels
	panel, cols := g.buffer[i*k.Few*g.k:][:k.Few*g.k], min(k.Few, g.m-i*k.Few)
	if cols < k.Few {
		clear(panel)
	}
	k.Transpose(panel, k.Few, g.a.data[i*k.Few*g.a.ld:], g.a.ld, cols, g.k)
}

func (g rowsPhase) tile(i, w int) {
	edge := g.device.workers[w].edge
	c, end := i*g.cols, min(g.n, (i+1)*g.cols)
	if g.swapped() {
		c = g.swap(edge, c, end)
	}
	sums := edge[:g.m*rowsBlock]
	for ; c < end; c += rowsBlock {
		n := min(rowsBlock, end-c)
		g.dots(sums, rowsBlock, c, n)
		g.put(sums, rowsBlock, 0, g.m, c, n)
	}
}

// put sets columns [c, c+n) of rows [from, from+m) to add + sums, and uses sums up. Rows of sums are ld apart.
func (g rowsPhase) put(sums []float32, ld, from, m, c, n int) {
	for r := range m {
		row, at := sums[r*ld:][:n], (from+r)*g.ldc+c
		if g.add != nil {
			g.device.kernels.Add(row, g.add[at:][:n])
		}
		copy(g.c[at:], row)
	}
}

// swap computes columns of C from c on as rows of b·aᵀ, in whole tiles, and returns the first one left.
func (g rowsPhase) swap(edge []float32, c, end int) int {
	k := g.device.kernels
	tiles := (end - c) / k.FewRows
	if tiles == 0 {
		return c
	}
	rows := tiles * k.FewRows
	block, sums := edge[:rows*k.Few], edge[rows*k.Few:][:rows*k.Few]
	for from := 0; from < g.m; from += k.Few {
		m := min(k.Few, g.m-from)
		k.FewColumns(g.k, tiles, g.b.data[c*g.b.ld:], g.b.ld, g.buffer[from*g.k:], block)
		k.Transpose(sums, rows, block, k.Few, rows, m)
		g.put(sums, rows, from, m, c, rows)
	}
	return c + rows
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
