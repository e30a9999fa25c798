package simd

const portableMR, portableNR = 4, 8

// portableGemm has the micro-kernels by their number of rows.
func portableGemm() []GemmFunc {
	table := make([]GemmFunc, portableMR+1)
	for mr := 1; mr <= portableMR; mr++ {
		table[mr] = func(kc, n, step int, a, b, c []float32, ldc int, init []float32, ldi int) {
			for i := range n {
				portableTile(mr, kc, a[i*step:], 1, mr, b, portableNR, c[i*mr*ldc:], ldc, rowsFrom(init, i*mr*ldi), ldi)
			}
		}
	}
	return table
}

func rowsGemmPortable(kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int) {
	const mr = portableMR
	for i := range n {
		portableTile(mr, kc, a[i*mr*lda:], lda, 1, b, portableNR, c[i*mr*ldc:], ldc, rowsFrom(init, i*mr*ldi), ldi)
	}
}

func packGemmPortable(packA, packB bool) PackGemmFunc {
	return func(kc int, a []float32, lda int, packedA, b []float32, ldb int, packedB, c []float32, ldc int, init []float32, ldi int) {
		if packA {
			splitPortable(packedA, 0, portableMR, portableMR, a, lda, kc, 1)
			a = packedA
		}
		if packB {
			splitPortable(packedB, 0, portableNR, portableNR, b, ldb, kc, 1)
			b = packedB
		}
		portableTile(portableMR, kc, a, 1, portableMR, b, portableNR, c, ldc, init, ldi)
	}
}

func fewColumnsPortable(kc, n int, a []float32, lda int, b, c []float32) {
	rowsGemmPortable(kc, n, a, lda, b, c, portableNR, nil, 0)
}

// rowsFrom is x from an offset on, or nil if it is nil.
func rowsFrom(x []float32, offset int) []float32 {
	if x == nil {
		return nil
	}
	return x[offset:]
}

// portableTile computes one tile, where element (i, k) of A is a[i·row + k·col], and rows of B are ldb apart. It keeps a
// block of 2×4 of the tile in registers at a time, and 1×4 for an odd last row.
func portableTile(mr, kc int, a []float32, row, col int, b []float32, ldb int, c []float32, ldc int, init []float32, ldi int) {
	const half = portableNR / 2
	portableHalf(mr, kc, a, row, col, b, ldb, c, ldc, init, ldi)
	portableHalf(mr, kc, a, row, col, b[half:], ldb, c[half:], ldc, rowsFrom(init, half), ldi)
}

// portableHalf is portableTile for half of the columns.
func portableHalf(mr, kc int, a []float32, row, col int, b []float32, ldb int, c []float32, ldc int, init []float32, ldi int) {
	var sum [2][portableNR / 2]float32
	for i := 0; i < mr; i += 2 {
		rows := min(2, mr-i)
		if rows == 2 {
			sum = portable2x4(kc, a[i*row:], row, col, b, ldb)
		} else {
			sum[0] = portable1x4(kc, a[i*row:], col, b, ldb)
		}
		for r := range rows {
			out := c[(i+r)*ldc:][:len(sum[r])]
			if init == nil {
				copy(out, sum[r][:])
				continue
			}
			from := init[(i+r)*ldi:][:len(sum[r])]
			for x, s := range sum[r] {
				out[x] = from[x] + s
			}
		}
	}
}

func portable2x4(kc int, a []float32, row, col int, b []float32, ldb int) [2][4]float32 {
	var p0, p1, p2, p3, q0, q1, q2, q3 float32
	for k := range kc {
		p, q := a[k*col], a[k*col+row]
		y := b[k*ldb:][:4]
		p0 += p * y[0]
		p1 += p * y[1]
		p2 += p * y[2]
		p3 += p * y[3]
		q0 += q * y[0]
		q1 += q * y[1]
		q2 += q * y[2]
		q3 += q * y[3]
	}
	return [2][4]float32{{p0, p1, p2, p3}, {q0, q1, q2, q3}}
}

func portable1x4(kc int, a []float32, col int, b []float32, ldb int) [4]float32 {
	var p0, p1, p2, p3 float32
	for k := range kc {
		p := a[k*col]
		y := b[k*ldb:][:4]
		p0 += p * y[0]
		p1 += p * y[1]
		p2 += p * y[2]
		p3 += p * y[3]
	}
	return [4]float32{p0, p1, p2, p3}
}

func transposePortable(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for i := range rows {
		for j, x := range src[i*lds:][:cols] {
			dst[j*ldd+i] = x
		}
	}
}

func splitPortable(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int) {
	for i := range rows {
		for p := range pieces {
			copy(dst[p*step+i*ldd:][:width], src[i*lds+p*width:])
		}
	}
}

func probePortable(n int) int {
	var a, b, c, d, e, f, g, h float32
	for range n {
		a += a * a
		b += b * b
		c += c * c
		d += d * d
		e += e * e
		f += f * f
		g += g * g
		h += h * h
	}
	return 16*n + int(a+b+c+d+e+f+g+h) // that is 0, which the compiler does not see
}
