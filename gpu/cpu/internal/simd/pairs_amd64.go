package simd

// withPairs is a set with the products of pairs that a has.
func withPairs(k Kernels, name string, a *assembly) Kernels {
	const lanes = 16
	k.Name = name
	k.Pairs = &Pairs{
		Fast: true, Gemm: a.gemm, RowsGemm: a.rowsGemm, Round: a.round,
		Split: func(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int) {
			if pieces == 0 {
				return
			}
			if pairs := rows / 2; pairs > 0 {
				switch {
				case width == 2*lanes:
					a.pairWide(dst, step, ldd, src, lds, pairs, pieces)
				case width <= lanes:
					a.pairNarrow(dst, step, ldd, src, lds, pairs, pieces, width)
				default:
					for p := range pieces {
						to, from := dst[p*step:], src[p*width:]
						a.pairNarrow(to, step, ldd, from, lds, pairs, 1, lanes)
						a.pairNarrow(to[lanes:], step, ldd, from[lanes:], lds, pairs, 1, width-lanes)
					}
				}
			}
			if last := rows &^ 1; last < rows {
				splitPairsPortable(dst[last/2*ldd:], step, ldd, width, src[last*lds:], lds, 1, pieces)
			}
		},
	}
	return k
}
