package simd

import "math"

// portableTiles has the micro-kernels of attention by their number of rows.
func portableTiles(turned bool) []TileFunc {
	table := make([]TileFunc, portableMR+1)
	for mr := 1; mr <= portableMR; mr++ {
		table[mr] = func(kc, halves int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, init []float32, ldi int, _ []float32, _ int) {
			row, col := lda, 1
			if turned {
				row, col = 1, lda
			}
			for i := range halves / 2 {
				at := i * portableNR
				portableTile(mr, kc, a, row, col, b[i*step:], ldb, c[at:], ldc, rowsFrom(init, at), ldi)
			}
			if halves%2 == 1 {
				at := halves / 2
				portableHalf(mr, kc, a, row, col, b[at*step:], ldb, c[at*portableNR:], ldc, rowsFrom(init, at*portableNR), ldi)
			}
		}
	}
	return table
}

// oneRow and oneColumn are the kernels of a single row.
var oneRow, oneColumn = portableTiles(false)[1], portableTiles(true)[1]

func wedgePortable(kc, halves int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, init []float32, ldi int, next []float32, ldn int) {
	for i := range portableMR {
		oneRow(kc-(portableMR-1)+i, halves, a[i*lda:], lda, b, ldb, step, c[i*ldc:], ldc, rowsFrom(init, i*ldi), ldi, next, ldn)
	}
}

func turnedWedgePortable(kc, halves int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, init []float32, ldi int, next []float32, ldn int) {
	for i := range portableMR {
		oneColumn(kc-i, halves, a[i*lda+i:], lda, b[i*ldb:], ldb, step, c[i*ldc:], ldc, rowsFrom(init, i*ldi), ldi, next, ldn)
	}
}

func scoresPortable(kc, halves, rows int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, next []float32, ldn int) {
	for i := range portableMR {
		n := halves - 1
		if i >= portableMR-rows {
			n = halves
		}
		oneRow(kc, n, a[i*lda:], lda, b, ldb, step, c[i*ldc:], ldc, nil, 0, next, ldn)
	}
}

func rowMaxPortable(m, s []float32, ld, cols, seen int) {
	for r := range m {
		m[r] = max(m[r], maxPortable(s[r*ld:][:min(cols, seen+r)]))
	}
}

func rowExpPortable(s []float32, ld, cols, seen int, scale float32, m, sum []float32) {
	for r := range m {
		row := s[r*ld:][:cols]
		total, n := sum[r], min(cols, seen+r)
		for c, x := range row[:n] {
			e := exp((x - m[r]) * scale)
			row[c] = e
			total += e
		}
		clear(row[n:])
		sum[r] = total
	}
}

func rowScalePortable(dst []float32, ldd int, s []float32, lds, cols int, f []float32) {
	for r := range f {
		to := dst[r*ldd:][:cols]
		for c, x := range s[r*lds:][:cols] {
			to[c] = x * f[r]
		}
	}
}

func logSumPortable(m, sum []float32, scale float32) {
	for r, x := range sum {
		m[r] = float32(float64(m[r])*float64(scale) + math.Log(float64(x)))
	}
}

func scoreBackwardPortable(s, dp []float32, ld, cols, seen int, scale float32, lse, delta []float32) {
	for r := range lse {
		row, drow := s[r*ld:][:cols], dp[r*ld:][:cols]
		n := min(cols, seen+r)
		for c, x := range row[:n] {
			p := exp(x*scale - lse[r])
			row[c] = p
			drow[c] = p * (drow[c] - delta[r]) * scale
		}
		clear(row[n:])
		clear(drow[n:])
	}
}

func rowDotPortable(out, x []float32, ldx int, y []float32, ldy, cols int) {
	for r := range out {
		out[r] = dotPortable(x[r*ldx:][:cols], y[r*ldy:][:cols])
	}
}
