package cpu

// An operand is a matrix in memory: element (r, c) is data[r·ld+c], or data[c·ld+r] if it is transposed.
type operand struct {
	data       []float32
	ld         int
	transposed bool
}

// Packed operands are made of float32 numbers, or of pairs of bfloat16 (simd.Pairs): two numbers that follow one another
// in depth. Depths below count elements of the operand where they are called k, and numbers or pairs elsewhere.

// panels is an operand B of k rows and n columns, packed: panel p is [depth][NR] and holds columns p·NR onwards, filled
// up with zeros.
type panels struct {
	data  []float32
	k, n  int
	pairs bool
}

// depth is how many numbers or pairs a column has.
func (p panels) depth() int {
	if p.pairs {
		return ceilDiv(p.k, 2)
	}
	return p.k
}

// size is how many numbers or pairs the panels have.
func (p panels) size(nr int) int { return p.depth() * roundUp(p.n, nr) }

// packedRows is an operand A of m rows and some depth, packed: panels [depth][MR], and one of [depth][left].
type packedRows struct {
	data     []float32
	m, depth int
	pairs    bool
}

// packA packs rows [row, row+m) of a, from depth k0 to k0+kc, as panels [kc][MR] and, if rows are left, one of [kc][left].
func (d *device) packA(dst []float32, a operand, row, m, k0, kc int) {
	mr := d.kernels.MR
	if !a.transposed {
		for i := 0; i < m; i += mr {
			rows := min(mr, m-i)
			d.kernels.Transpose(dst[i*kc:], rows, a.data[(row+i)*a.ld+k0:], a.ld, rows, kc)
		}
		return
	}
	whole := m / mr * mr
	d.kernels.Split(dst, mr*kc, mr, mr, a.data[k0*a.ld+row:], a.ld, kc, m/mr)
	if left := m - whole; left > 0 {
		d.kernels.Split(dst[whole*kc:], 0, left, left, a.data[k0*a.ld+row+whole:], a.ld, kc, 1)
	}
}

// packPairs is packA for pairs, of an operand that is transposed.
func (d *device) packPairs(dst []float32, a operand, row, m, k0, k int) {
	mr, depth := d.kernels.MR, ceilDiv(k, 2)
	whole := m / mr * mr
	split, from := d.kernels.Pairs.Split, a.data[k0*a.ld+row:]
	split(dst, mr*depth, mr, mr, from, a.ld, k, m/mr)
	if left := m - whole; left > 0 {
		split(dst[whole*depth:], 0, left, left, from[whole:], a.ld, k, 1)
	}
}

// packPanel packs columns [col, col+cols) of b, which is transposed, from depth k0 to k0+kc as [kc][NR] with zeros
// beyond cols.
func (d *device) packPanel(dst []float32, b operand, k0, kc, col, cols int) {
	nr := d.kernels.NR
	if cols < nr {
		clear(dst[:kc*nr])
	}
	d.kernels.Transpose(dst, nr, b.data[col*b.ld+k0:], b.ld, cols, kc)
}

// apart is added to the distance of rows in scratch where it would else be a power of two, and these rows would drive one
// another from the cache: the numbers of one of its lines.
const apart = 16

// pairChunk is how much of the depth is rounded at a time before it is transposed.
const pairChunk = 512

// packPairsPanel is packPanel for pairs. Rounded rows lie in the worker's scratch before they are transposed, not a power
// of two apart.
func (d *device) packPairsPanel(w *worker, dst []float32, b operand, k0, k, col, cols int) {
	const ld = pairChunk/2 + apart
	nr := d.kernels.NR
	if cols < nr {
		clear(dst[:ceilDiv(k, 2)*nr])
	}
	for from := 0; from < k; from += pairChunk {
		n := min(pairChunk, k-from)
		d.kernels.Pairs.Round(w.pairs, ld, b.data[col*b.ld+k0+from:], b.ld, cols, n)
		d.kernels.Transpose(dst[from/2*nr:], nr, w.pairs, ld, cols, ceilDiv(n, 2))
	}
}

// reservePairs readies the workers for packPairsPanel.
func (d *device) reservePairs() {
	d.reserve(d.kernels.NR*(pairChunk/2+apart), func(w *worker) *[]float32 { return &w.pairs })
}

// packRows packs rows [k, k+rows) of all panels, row 0 of which is row k0 of b, which is not transposed. k is even.
func (p panels) packRows(d *device, b operand, k0, k, rows int) {
	nr, split, at, high := d.kernels.NR, d.kernels.Split, k, rows
	if p.pairs {
		split, at, high = d.kernels.Pairs.Split, k/2, ceilDiv(rows, 2)
	}
	src, dst, step := b.data[(k0+k)*b.ld:], p.data[at*nr:], p.depth()*nr
	whole := p.n / nr
	split(dst, step, nr, nr, src, b.ld, rows, whole)
	left := p.n - whole*nr
	if left == 0 {
		return
	}
	clear(dst[whole*step:][:high*nr])
	split(dst[whole*step:], 0, nr, left, src[whole*nr:], b.ld, rows, 1)
}

// packTile is how many rows of an operand B that is not transposed are packed at a time, an even number.
const packTile = 32

// tiles is into how many tiles the packing of b is cut: panels, or runs of rows.
func (p panels) tiles(b operand, nr int) int {
	if b.transposed {
		return ceilDiv(p.n, nr)
	}
	return ceilDiv(p.k, packTile)
}

// pack packs tile i of b from row k0 on.
func (p panels) pack(d *device, w *worker, b operand, k0, i int) {
	nr := d.kernels.NR
	switch {
	case !b.transposed:
		p.packRows(d, b, k0, i*packTile, min(packTile, p.k-i*packTile))
	case p.pairs:
		d.packPairsPanel(w, p.panel(i, nr), b, k0, p.k, i*nr, min(nr, p.n-i*nr))
	default:
		d.packPanel(p.panel(i, nr), b, k0, p.k, i*nr, min(nr, p.n-i*nr))
	}
}

// panel returns panel i.
func (p panels) panel(i, nr int) []float32 { return p.data[i*p.depth()*nr:][:p.depth()*nr] }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// roundUp is the least multiple of b that is at least a.
func roundUp(a, b int) int { return ceilDiv(a, b) * b }
