package simd

import "math"

// portablePairs multiplies pairs in plain Go.
var portablePairs = Pairs{
	Gemm: portablePairsGemm(), RowsGemm: rowsPairsPortable, Round: roundPortable, Split: splitPairsPortable,
}

// bfloat16 are the bits of x rounded to nearest, ties to even.
func bfloat16(x float32) uint32 {
	bits := math.Float32bits(x)
	if x != x {
		return bits>>16 | 0x40 // quiet
	}
	return (bits + 0x7fff + bits>>16&1) >> 16
}

// pair is two numbers in the bits of one.
func pair(first, second float32) float32 {
	return math.Float32frombits(bfloat16(first) | bfloat16(second)<<16)
}

// halves are the two numbers of a pair.
func halves(pair float32) (first, second float32) {
	bits := math.Float32bits(pair)
	return math.Float32frombits(bits << 16), math.Float32frombits(bits &^ 0xffff)
}

func roundPortable(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	for i := range rows {
		row := src[i*lds:][:cols]
		for j := 0; j < cols; j += 2 {
			second := float32(0)
			if j+1 < cols {
				second = row[j+1]
			}
			dst[i*ldd+j/2] = pair(row[j], second)
		}
	}
}

func splitPairsPortable(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int) {
	for i := 0; i < rows; i += 2 {
		for p := range pieces {
			out := dst[p*step+i/2*ldd:][:width]
			for j := range out {
				at, second := i*lds+p*width+j, float32(0)
				if i+1 < rows {
					second = src[at+lds]
				}
				out[j] = pair(src[at], second)
			}
		}
	}
}

func portablePairsGemm() []GemmFunc {
	table := make([]GemmFunc, portableMR+1)
	for mr := 1; mr <= portableMR; mr++ {
		table[mr] = func(kc, n, step int, a, b, c []float32, ldc int, init []float32, ldi int) {
			for i := range n {
				pairsTile(mr, kc, a[i*step:], 1, mr, b, c[i*mr*ldc:], ldc, rowsFrom(init, i*mr*ldi), ldi)
			}
		}
	}
	return table
}

func rowsPairsPortable(kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int) {
	const mr = portableMR
	for i := range n {
		pairsTile(mr, kc, a[i*mr*lda:], lda, 1, b, c[i*mr*ldc:], ldc, rowsFrom(init, i*mr*ldi), ldi)
	}
}

// pairsTile computes one tile, where pair (i, k) of A is a[i·row + k·col]. Of a pair the second product is added first,
// as VDPBF16PS does.
func pairsTile(mr, kc int, a []float32, row, col int, b, c []float32, ldc int, init []float32, ldi int) {
	for i := range mr {
		var sum [portableNR]float32
		for k := range kc {
			p, q := halves(a[i*row+k*col])
			for j, y := range b[k*portableNR:][:portableNR] {
				r, s := halves(y)
				sum[j] += q * s
				sum[j] += p * r
			}
		}
		if init != nil {
			for j, x := range init[i*ldi:][:portableNR] {
				sum[j] += x
			}
		}
		copy(c[i*ldc:], sum[:])
	}
}
