package cpu

import "athanor/gpu/cpu/internal/simd"

// errands are what a tile of attention calls for while it multiplies, to be in the cache when the next tile of this worker
// needs it: rows that are short and far apart, which the processor itself does not foresee. Micro-kernels run most of them;
// what these do not get round to, as short segments have few whole tiles, the caller does.
type errands struct {
	parts [8]farRows
	count int
	turn  int // the part under way
	share int // how many rows each product should call for, so that all will have been
	owed  int // how many rows too few were called for up to now
	wide  int // how many elements of a row are called for at a time
}

// farRows are rows of cols elements that are ld apart.
type farRows struct {
	data           []float32
	ld, rows, cols int
	at             int // the next row to call for
}

// add adds rows of cols elements that are ld apart.
func (e *errands) add(data []float32, ld, rows, cols int) {
	e.parts[e.count] = farRows{data, ld, rows, cols, 0}
	e.count++
}

// plan spreads the errands over a number of products.
func (e *errands) plan(products int) {
	all := 0
	for _, p := range e.parts[:e.count] {
		all += p.rows * ceilDiv(p.cols, e.wide)
	}
	e.share = ceilDiv(all, products)
}

// nowhere is what micro-kernels call for when there is nothing left.
var nowhere [cacheLine]float32

// take returns what a kernel shall call for that does so n times. As it knows no end, it may go too far.
func (e *errands) take(n int) (rows []float32, ld int) {
	p := e.part()
	if p == nil {
		return nowhere[:], 0
	}
	e.owed -= n
	rows, p.at = p.data[p.at*p.ld:], p.at+n
	return rows, p.ld
}

// part is the part under way, or nil if all is done.
func (e *errands) part() *farRows {
	for e.turn < e.count {
		p := &e.parts[e.turn]
		if p.at < p.rows {
			return p
		}
		if p.cols -= e.wide; p.cols > 0 {
			p.data, p.at = p.data[e.wide:], 0
		} else {
			e.turn++
		}
	}
	return nil
}

// catchUp is called after each product, and calls for what is owed by then.
func (e *errands) catchUp(k *simd.Kernels) {
	for e.owed += e.share; e.owed > 0; {
		p := e.part()
		if p == nil {
			return
		}
		n := min(e.owed, p.rows-p.at)
		k.Fetch(p.data[p.at*p.ld:], p.ld, n, min(p.cols, e.wide))
		p.at, e.owed = p.at+n, e.owed-n
	}
}

// A tiler multiplies for a tile of attention, and runs its errands.
type tiler struct {
	kernels *simd.Kernels
	errands errands
}

// A blockA is an operand A of few rows, or of as few columns if it is turned. If it is diagonal, its last row ends where it
// does and each row before that one step earlier; or its first column begins where it does and each after that one step later.
// What lies beyond is zeros.
type blockA struct {
	data             []float32
	ld, rows         int
	turned, diagonal bool
}

// panelsB is an operand B whose rows are ld and whose panels are step elements apart.
type panelsB struct {
	data     []float32
	ld, step int
}

// newTiler returns one without errands.
func newTiler(k *simd.Kernels) tiler { return tiler{kernels: k, errands: errands{wide: k.NR}} }

// transposed is a B that packColumns has packed.
func (t *tiler) transposed(data []float32, size int) panelsB {
	return panelsB{data, t.kernels.NR, t.kernels.NR * size}
}

// inPlace is a B of rows as they lie, from one on.
func (t *tiler) inPlace(b operand, row int) panelsB {
	return panelsB{b.data[row*b.ld:], b.ld, t.kernels.NR}
}

// multiply sets c = init + a·b for a depth of kc and as many halves of panels as halves says.
func (t *tiler) multiply(a blockA, b panelsB, kc, halves int, c []float32, ldc int, init []float32) {
	k, steps := t.kernels, kc
	tiles, wedge := k.Tile, k.Wedge
	if a.turned {
		tiles, wedge = k.Turned, k.TurnedWedge
	}
	tile := tiles[a.rows]
	if a.diagonal && a.rows == k.MR {
		tile, steps = wedge, kc-k.MR+1
	}
	if a.rows < k.MR {
		steps = 0
	}
	next, ldn := t.errands.take(halves / 2 * (steps / 4) * k.Ahead)
	tile(kc, halves, a.data, a.ld, b.data, b.ld, b.step, c, ldc, init, ldc, next, ldn)
	t.errands.catchUp(k)
}

// scores sets those elements of c = a·b that rows of a see, and some more: the first sees seen columns, each after it one more.
func (t *tiler) scores(a blockA, b panelsB, kc, halves, seen int, c []float32, ldc int) {
	k := t.kernels
	last := (halves - 1) * k.NR / 2
	rows := roundUp(seen+a.rows-1-last, 2) // that see some of the last half, if not more
	if a.rows < k.MR || rows >= k.MR {
		t.multiply(a, b, kc, halves, c, ldc, nil)
		return
	}
	next, ldn := t.errands.take((halves - 1) / 2 * (kc / 4) * k.Ahead)
	k.Scores(kc, halves, rows, a.data, a.ld, b.data, b.ld, b.step, c, ldc, next, ldn)
	t.errands.catchUp(k)
}

// wellPlaced returns rows of a that micro-kernels can take where they lie, as an operand A or B: themselves, or a copy if
// they are a multiple of 2 KiB apart (see rowBlock), or if a half of a panel would end beyond them.
func (d *device) wellPlaced(scratch []float32, a operand, rows, cols int) operand {
	wide := roundUp(cols, d.kernels.NR/2)
	if a.ld%512 != 0 && wide == cols {
		return a
	}
	for i := range rows {
		copy(scratch[i*wide:][:cols], a.data[i*a.ld:])
	}
	return operand{scratch, wide, false}
}
