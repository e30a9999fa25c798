package cpu

// kDepth is the most rows of a panel, of numbers or of pairs, that one run of the micro-kernel goes through (KC): a panel of A then stays in the
// first-level cache, and the sums in registers are seldom stored.
const kDepth = 560

// packLimit bounds the packed B of a gemm, in elements; a deeper product is done in several rounds.
const packLimit = 1 << 20

// gemm computes c = add + a·b; a is m×k, b is k×n.
type gemm struct {
	device  *device
	c, add  []float32 // add is nil for zero, and may be c
	ldc     int       // of both
	a, b    operand
	m, n, k int
	deep    bool // k is so large that neither a nor b stays in a cache

	k0     int // first k of this round
	packed panels
	rects  []rect // the tiles of C
	cols   int    // of a tile of runRows
	buffer []float32
}

type packPhase struct{ *gemm }
type tilePhase struct{ *gemm }

// run computes the product whose operands are set.
func (g *gemm) run() {
	if g.m == 0 || g.n == 0 {
		return
	}
	if g.k == 0 {
		if copy(g.c, g.add) == 0 {
			clear(g.c)
		}
		return
	}
	g.partition()
	g.device.reserveBlock(g.mostPanels()*g.device.kernels.MR, g.k, g.n)
	if g.placed() {
		g.runPlaced()
	} else {
		g.runPacked()
	}
	g.c, g.add, g.a, g.b, g.deep = nil, nil, operand{}, operand{}, false
}

// runPacked packs B, as much of it at a time as packLimit allows, and then computes the tiles of C.
func (g *gemm) runPacked() {
	nr := g.device.kernels.NR
	depth := max(kDepth, packLimit/roundUp(g.n, nr)/kDepth*kDepth)
	for g.k0 = 0; g.k0 < g.k; g.k0 += depth {
		g.packed = panels{k: min(depth, g.k-g.k0), n: g.n, pairs: g.device.pairs}
		g.packed.data = grow(&g.buffer, g.packed.size(nr))
		g.device.pool.run(g.packed.tiles(g.b, nr), packPhase{g})
		g.device.pool.run(len(g.rects), tilePhase{g})
	}
}

// mostPanels and leastPanels are how many panels of A a tile has: all of them packed stay in the second-level cache, and
// a panel of B is worth fetching. Where each tile packs B itself, that is worth more: several workers then have
// sharedPanels, as they compete for the cache that they share, and where B comes from memory it is deepPanels.
const mostPanels, leastPanels, sharedPanels, deepPanels = 8, 2, 14, 20

func (g *gemm) mostPanels() int {
	switch {
	case !g.placed():
		return mostPanels
	case g.deep:
		return deepPanels
	case len(g.device.workers) > 1:
		return sharedPanels
	}
	return mostPanels
}

// A rect is a part of C: m rows from row on, a multiple of MR, and n columns from col on, a multiple of NR.
type rect struct{ row, m, col, n int }

// partition cuts C into tiles, some for each worker. Tiles become smaller towards the end, so that no worker waits long for
// another's last (guided self-scheduling). It may look at the number of workers, as every element of C is the same sum in
// whatever tile it is.
func (g *gemm) partition() {
	g.rects = g.rects[:0]
	high, wide := ceilDiv(g.m, g.device.kernels.MR), ceilDiv(g.n, g.device.kernels.NR)
	share := 1
	if workers := len(g.device.workers); workers > 1 {
		share = 2 * workers
	}
	if g.placed() {
		g.partitionPlaced(high, wide, share)
		return
	}
	// Few rows rather than few columns, so that A is packed or fetched once.
	next := func(at int) int { return min(high, at+min(mostPanels, max(leastPanels, ceilDiv(high-at, share)))) }
	count := 0
	for at := 0; at < high; at = next(at) {
		count++
	}
	cols := ceilDiv(wide, min(wide, ceilDiv(4*len(g.device.workers), count)))
	for at := 0; at < high; at = next(at) {
		if share > 1 && next(at)-at <= leastPanels { // among the last
			cols = min(cols, roundUp(ceilDiv(wide, 2), 2))
		}
		for col := 0; col < wide; col += cols {
			g.addTile(at, next(at), col, min(wide, col+cols))
		}
	}
}

// partitionPlaced does it where each tile packs both its operands: as high as the second-level cache allows, and what
// share says is cut from the columns.
func (g *gemm) partitionPlaced(high, wide, share int) {
	rows := ceilDiv(high, ceilDiv(high, g.mostPanels()))
	for at := 0; at < high; at += rows {
		end := min(high, at+rows)
		for col := 0; col < wide; {
			left := (high-at)*wide - (end-at)*col
			to := min(wide, col+ceilDiv(left, share*(end-at)))
			g.addTile(at, end, col, to)
			col = to
		}
	}
}

// addTile adds panels [row, end) of A by panels [col, to) of B.
func (g *gemm) addTile(row, end, col, to int) {
	mr, nr := g.device.kernels.MR, g.device.kernels.NR
	row, end, col, to = row*mr, min(end*mr, g.m), col*nr, min(to*nr, g.n)
	g.rects = append(g.rects, rect{row, end - row, col, to - col})
}

// tile packs part i of B.
func (g packPhase) tile(i, w int) { g.packed.pack(g.device, &g.device.workers[w], g.b, g.k0, i) }

// tile computes tile i of C.
func (g tilePhase) tile(i, w int) {
	r := g.rects[i]
	init := g.add
	if g.k0 > 0 {
		init = g.c
	}
	g.device.multiply(&g.device.workers[w], g.c[r.row*g.ldc:], rowsFrom(init, r.row*g.ldc), g.ldc, g.a, r.row, r.m, g.k0, g.packed, r.col, r.n)
}

// reserveBlock readies the workers for multiply with m rows, depth k and n columns.
func (d *device) reserveBlock(m, k, n int) {
	size := m * min(k, kDepth)
	if d.pairs { // rounded rows, and those of the last, incomplete panel once more
		size = (m+d.kernels.MR)*min(ceilDiv(k, 2), kDepth) + m*apart
		d.reservePairs()
	}
	d.reserve(size, func(w *worker) *[]float32 { return &w.a })
	if n%d.kernels.NR > 0 {
		d.reserve(m*d.kernels.NR, func(w *worker) *[]float32 { return &w.edge })
	}
}

// evenDepth is how much of a depth one run of the micro-kernel goes through, of as few even runs as kDepth allows.
func evenDepth(all int) int { return roundUp(ceilDiv(all, ceilDiv(all, kDepth)), 8) }

// multiply sets columns [col, col+n) of c = init + a·b, where a is m rows of the operand from row on and from depth k0,
// b is packed and c has m rows. col is a multiple of NR. init may be nil or c.
func (d *device) multiply(w *worker, c, init []float32, ldc int, a operand, row, m, k0 int, b panels, col, n int) {
	if d.wide(a, b, n) {
		d.multiplyWide(w, c, init, ldc, a, row, m, k0, b, col, n)
		return
	}
	nr, all := d.kernels.NR, b.depth()
	depth := evenDepth(all)
	for k := 0; k < all; k += depth {
		kc := min(depth, all-k)
		var block rowBlock
		if b.pairs {
			block = d.pairBlock(w, a, row, m, k0+2*k, min(2*kc, b.k-2*k))
		} else {
			block = d.rowBlock(w, a, row, m, k0+k, kc)
		}
		ahead := d.nextBlock(a, row, m, k0, k, kc, b, n)
		for j := col; j < col+n; j += nr {
			ahead.fetch(d)
			bp := b.data[(j/nr*all+k)*nr:]
			bp = bp[:min(len(bp), all*nr)] // kernels call for what follows: the same part of the next panel
			from := rowsFrom(init, j)
			if j+nr <= b.n {
				d.blockColumn(block, kc, bp, c[j:], ldc, from, ldc)
				continue
			}
			edge := w.edge[:m*nr]
			d.blockColumn(block, kc, bp, edge, nr, nil, 0)
			storeEdge(c[j:], from, ldc, edge, nr, m, b.n-j)
		}
		init = c
	}
}

// wide reports whether multiply goes through two panels of B at a time, so that rows of A can stay where they are though
// they are a multiple of 2 KiB apart.
func (d *device) wide(a operand, b panels, n int) bool {
	return d.kernels.WideGemm != nil && !a.transposed && a.ld%512 == 0 && !b.pairs && n%(2*d.kernels.NR) == 0 && b.n%d.kernels.NR == 0
}

// multiplyWide is multiply where wide holds.
func (d *device) multiplyWide(w *worker, c, init []float32, ldc int, a operand, row, m, k0 int, b panels, col, n int) {
	nr, all, rows := d.kernels.NR, b.k, m/d.kernels.WideRows*d.kernels.WideRows
	depth := evenDepth(all)
	for k := 0; k < all; k += depth {
		kc := min(depth, all-k)
		rest := packedRows{w.a[:(m-rows)*kc], m - rows, kc, false}
		d.packA(rest.data, a, row+rows, rest.m, k0+k, kc)
		ahead := d.nextBlock(a, row, m, k0, k, kc, b, n)
		for j := col; j < col+n; j += 2 * nr {
			ahead.fetch(d)
			ahead.fetch(d)
			bp := b.data[(j/nr*all+k)*nr:]
			d.kernels.WideGemm(kc, rows/d.kernels.WideRows, a.data[row*a.ld+k0+k:], a.ld, bp, all*nr, c[j:], ldc, rowsFrom(init, j), ldc)
			if rest.m == 0 {
				continue
			}
			at := rows*ldc + j
			d.column(rest, bp, c[at:], ldc, rowsFrom(init, at), ldc)
			d.column(rest, bp[all*nr:], c[at+nr:], ldc, rowsFrom(init, at+nr), ldc)
		}
		init = c
	}
}

// rowsFrom is x from an offset on, or nil if it is nil.
func rowsFrom(x []float32, offset int) []float32 {
	if x == nil {
		return nil
	}
	return x[offset:]
}

// nextBlock is the block of a that is likely to be packed next: the same rows further on, or the next tile's.
func (d *device) nextBlock(a operand, row, m, k0, k, kc int, b panels, n int) ahead {
	if !a.transposed && !b.pairs && a.ld%512 != 0 {
		return ahead{} // it is not packed, and the kernel sees to it
	}
	per := 1 // numbers
	if b.pairs {
		per = 2
	}
	k, left := k+kc, b.depth()-k-kc
	if left == 0 {
		row, k, left = row+m*len(d.workers), 0, b.depth()
	}
	k, depth := k0+per*k, per*min(kc, left)
	from, rows, cols := row*a.ld+k, m, depth
	if a.transposed {
		from, rows, cols = k*a.ld+row, depth, m
	}
	if from+cols > len(a.data) {
		return ahead{}
	}
	rows = min(rows, (len(a.data)-from-cols)/a.ld+1)
	return ahead{a.data[from:], a.ld, rows, cols, ceilDiv(rows, ceilDiv(n, d.kernels.NR))}
}

// ahead is a part of an operand that is called into the cache bit by bit while others are worked on.
type ahead struct {
	data           []float32
	ld, rows, cols int
	step           int // rows at a time
}

func (f *ahead) fetch(d *device) {
	if rows := min(f.step, f.rows); rows > 0 {
		d.kernels.Fetch(f.data, f.ld, rows, f.cols)
		f.rows -= rows
		f.data = f.data[min(len(f.data), rows*f.ld):]
	}
}

// A rowBlock is a block of an operand A: rows that are read where they lie, then rows that are packed.
type rowBlock struct {
	inPlace []float32
	ld      int
	rows    int // in place, a multiple of MR
	packed  packedRows
}

// rowBlock readies m rows of a from row on, from depth k0 to k0+kc. Rows can stay where they are unless they are a
// multiple of 2 KiB apart: then those of a panel would drive one another from the first-level cache.
func (d *device) rowBlock(w *worker, a operand, row, m, k0, kc int) rowBlock {
	var block rowBlock
	if !a.transposed && a.ld%512 != 0 {
		block = rowBlock{inPlace: a.data[row*a.ld+k0:], ld: a.ld, rows: m / d.kernels.MR * d.kernels.MR}
	}
	left := m - block.rows
	block.packed = packedRows{w.a[:left*kc], left, kc, false}
	d.packA(block.packed.data, a, row+block.rows, left, k0, kc)
	return block
}

// pairBlock is rowBlock for pairs. Rows are rounded to scratch and stay there as they lie, at a distance that is no
// multiple of 2 KiB; those of a last, incomplete panel are packed.
func (d *device) pairBlock(w *worker, a operand, row, m, k0, k int) rowBlock {
	mr, depth := d.kernels.MR, ceilDiv(k, 2)
	if a.transposed {
		block := rowBlock{packed: packedRows{w.a[:m*depth], m, depth, true}}
		d.packPairs(block.packed.data, a, row, m, k0, k)
		return block
	}
	ld := depth
	if ld%512 == 0 {
		ld += apart
	}
	d.kernels.Pairs.Round(w.a, ld, a.data[row*a.ld+k0:], a.ld, m, k)
	block := rowBlock{inPlace: w.a, ld: ld, rows: m / mr * mr}
	left := m - block.rows
	block.packed = packedRows{w.a[m*ld:][:left*depth], left, depth, true}
	if left > 0 {
		d.kernels.Transpose(block.packed.data, left, w.a[block.rows*ld:], ld, left, depth)
	}
	return block
}

// blockColumn is column for a rowBlock.
func (d *device) blockColumn(a rowBlock, kc int, b, c []float32, ldc int, init []float32, ldi int) {
	if a.rows > 0 {
		rows := d.kernels.RowsGemm
		if a.packed.pairs {
			rows = d.kernels.Pairs.RowsGemm
		}
		rows(kc, a.rows/d.kernels.MR, a.inPlace, a.ld, b, c, ldc, init, ldi)
		if a.packed.m == 0 {
			return
		}
		c = c[a.rows*ldc:]
		if init != nil {
			init = init[a.rows*ldi:]
		}
	}
	d.column(a.packed, b, c, ldc, init, ldi)
}

// storeEdge sets m rows of c, of which only cols columns exist, to init + edge.
func storeEdge(c, init []float32, ldc int, edge []float32, nr, m, cols int) {
	for i := range m {
		out := c[i*ldc:][:cols]
		if init == nil {
			copy(out, edge[i*nr:])
			continue
		}
		from := init[i*ldc:][:cols]
		for j, x := range edge[i*nr:][:cols] {
			out[j] = from[j] + x
		}
	}
}

// column sets a column of tiles c = init + a·b, of as many rows as a and NR columns; b is a panel as deep as a.
func (d *device) column(a packedRows, b, c []float32, ldc int, init []float32, ldi int) {
	k := d.kernels
	gemm := k.Gemm
	if a.pairs {
		gemm = k.Pairs.Gemm
	}
	n := a.m / k.MR
	if n > 0 {
		gemm[k.MR](a.depth, n, a.depth*k.MR, a.data, b, c, ldc, init, ldi)
	}
	if left := a.m - n*k.MR; left > 0 {
		row := n * k.MR
		gemm[left](a.depth, 1, 0, a.data[row*a.depth:], b, c[row*ldc:], ldc, rowsFrom(init, row*ldi), ldi)
	}
}
