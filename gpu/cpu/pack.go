package cpu

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

// packedRows is an operand A of m rows and some depth, packed: panels [depth][MR], and one of [depth][left].
type packedRows struct {
	data     []float32
	m, depth int
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

// packPanel packs columns [col, col+cols) of b, which is transposed, from depth k0 to k0+kc as [kc][NR] with zeros
// beyond cols.
func (d *device) packPanel(dst []float32, b operand, k0, kc, col, cols int) {
	nr := d.kernels.NR
	if cols < nr {
		clear(dst[:kc*nr])
	}
	d.kernels.Transpose(dst, nr, b.data[col*b.ld+k0:], b.ld, cols, kc)
}

// packRows packs rows [k, k+rows) of all panels, row 0 of which is row k0 of b, which is not transposed.
func (p panels) packRows(d *device, b operand, k0, k, rows int) {
	nr := d.kernels.NR
	src, dst, step := b.data[(k0+k)*b.ld:], p.data[k*nr:], p.k*nr
	whole := p.n / nr
	d.kernels.Split(dst, step, nr, nr, src, b.ld, rows, whole)
	left := p.n - whole*nr
	if left == 0 {
		return
	}
	clear(dst[whole*step:][:rows*nr])
	d.kernels.Split(dst[whole*step:], 0, nr, left, src[whole*nr:], b.ld, rows, 1)
}

// packTile is how many rows of an operand B that is not transposed are packed at a time.
const packTile = 32

// tiles is into how many tiles the packing of b is cut: panels, or runs of rows.
func (p panels) tiles(b operand, nr int) int {
	if b.transposed {
		return ceilDiv(p.n, nr)
	}
	return ceilDiv(p.k, packTile)
}

// pack packs tile i of b from row k0 on.
func (p panels) pack(d *device, b operand, k0, i int) {
	nr := d.kernels.NR
	if b.transposed {
		d.packPanel(p.panel(i, nr), b, k0, p.k, i*nr, min(nr, p.n-i*nr))
	} else {
		p.packRows(d, b, k0, i*packTile, min(packTile, p.k-i*packTile))
	}
}

// panel returns panel i.
func (p panels) panel(i, nr int) []float32 { return p.data[i*p.k*nr:][:p.k*nr] }

func ceilDiv(a, b int) int { return (a + b - 1) / b }

// roundUp is the least multiple of b that is at least a.
func roundUp(a, b int) int { return ceilDiv(a, b) * b }
