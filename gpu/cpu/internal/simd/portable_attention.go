package simd

import "math"

// portableTiles has the micro-kernels of attention by their number of rows.
func portableTiles(turned bool) []TileFunc {
	table := make([]TileFunc, portableMR+1)
	for mr := 1; mr <= portableMR; mr++ {
		table[mr] = func(kc, halves int, a []float32, lda int, b []float32, step int, c []float32, ldc int, init []float32, ldi int) {
			row, col := lda, 1
			if turned {
				row, col = 1, lda
			}
			for i := range halves / 2 {
				at := i * portableNR
				portableTile(mr, kc, a, row, col, b[i*step:], c[at:], ldc, rowsFrom(init, at), ldi)
			}
			if halves%2 == 1 {
				at := halves / 2
				var tile [portableMR * portableNR]float32
				portableTile(mr, kc, a, row, col, b[at*step:], tile[:], portableNR, nil, 0)
				at *= portableNR
				for i := range mr {
					for j, x := range tile[i*portableNR:][:portableNR/2] {
						if init != nil {
							x += init[i*ldi+at+j]
						}
						c[i*ldc+at+j] = x
					}
				}
			}
		}
	}
	return table
}

func rowMaxPortable(m, s []float32, ld, cols int) {
	for r := range m {
		m[r] = max(m[r], maxPortable(s[r*ld:][:cols]))
	}
}

func rowExpPortable(s []float32, ld, cols int, scale float32, m, sum []float32) {
	for r := range m {
		row := s[r*ld:][:cols]
		total := sum[r]
		for c, x := range row {
			e := exp((x - m[r]) * scale)
			row[c] = e
			total += e
		}
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

func scoreBackwardPortable(s, dp []float32, ld, cols int, scale float32, lse, delta []float32) {
	for r := range lse {
		row, drow := s[r*ld:][:cols], dp[r*ld:][:cols]
		for c, x := range row {
			p := exp(x*scale - lse[r])
			row[c] = p
			drow[c] = p * (drow[c] - delta[r]) * scale
		}
	}
}
