package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// pairSets are the sets with products of pairs, and the portable one among them.
func pairSets() []*Kernels {
	return slices.DeleteFunc(slices.Clone(Available()), func(k *Kernels) bool { return k.Pairs == nil })
}

// TestBFloat16 is about the numbers between two others, and about those that are none.
func TestBFloat16(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, c := range []struct{ x, want float32 }{
		{0, 0}, {1, 1}, {-1.5, -1.5}, {inf, inf}, {-inf, -inf}, {math.MaxFloat32, inf},
		{1 + 1.0/256, 1}, {1 + 3.0/256, 1 + 4.0/256}, {1 + 1.0/256 + 1.0/65536, 1 + 2.0/256}, // ties go to even
		{-1 - 3.0/256, -1 - 4.0/256}, {3.3895e38, 3.3895314e38},
	} {
		for _, k := range pairSets() {
			dst := make([]float32, 1)
			k.Pairs.Round(dst, 1, []float32{c.x, 2}, 2, 1, 2)
			if first, second := halves(dst[0]); first != c.want || second != 2 {
				t.Errorf("%s: %v is rounded to %v, and 2 to %v; want %v", k.Name, c.x, first, second, c.want)
			}
		}
	}
	for _, k := range pairSets() {
		dst := make([]float32, 1)
		k.Pairs.Round(dst, 1, []float32{float32(math.NaN())}, 1, 1, 1)
		if first, second := halves(dst[0]); first == first || second != 0 {
			t.Errorf("%s: NaN is rounded to %v, and nothing to %v", k.Name, first, second)
		}
	}
}

// TestPairsMove compares what rounds and moves pairs with the portable functions, bit by bit.
func TestPairsMove(t *testing.T) {
	for _, k := range pairSets() {
		for n := range 200 {
			r := rand.New(rand.NewPCG(4, uint64(n)))
			rows, cols, pieces := 1+r.IntN(9), 1+r.IntN(80), 1+r.IntN(3)
			lds, ldd := cols+r.IntN(3), (cols+1)/2+r.IntN(3)
			width := []int{k.MR, k.NR, 1 + r.IntN(k.NR)}[r.IntN(3)]
			step, row := (rows+1)/2*width+r.IntN(5), pieces*width+r.IntN(5)
			for _, c := range []trial{
				{fmt.Sprintf("Round/%dx%d", rows, cols), []int{(rows-1)*ldd + (cols+1)/2, (rows-1)*lds + cols},
					none(func(k *Kernels, s [][]float32) { k.Pairs.Round(s[0], ldd, s[1], lds, rows, cols) })},
				{fmt.Sprintf("Split/%dx%dx%d", rows, pieces, width), []int{(pieces-1)*step + (rows+1)/2*width, (rows-1)*row + pieces*width},
					none(func(k *Kernels, s [][]float32) { k.Pairs.Split(s[0], step, width, width, s[1], row, rows, pieces) })},
			} {
				got, want := guarded(c.lengths), guarded(c.lengths)
				c.call(k, inner(got))
				c.call(&portable, inner(want))
				for i := range got[0] {
					if g, w := math.Float32bits(got[0][i]), math.Float32bits(want[0][i]); g != w {
						t.Fatalf("%s/%s: element %d is %08x, want %08x", k.Name, c.name, i-guard, g, w)
					}
				}
			}
		}
	}
}

// TestPairsGemm compares every number of rows, several depths and kinds of init with sums of exact products in float64.
func TestPairsGemm(t *testing.T) {
	for _, k := range pairSets() {
		for mr := range k.MR + 1 {
			for _, kc := range []int{1, 3, 4, 5, 64, 130} {
				for _, init := range []string{"none", "other", "c"} {
					t.Run(fmt.Sprintf("%s/%dx%d,%s", k.Name, mr, kc, init), func(t *testing.T) { gemmTrial(t, paired(k), mr, kc, init, true) })
				}
			}
		}
	}
}

// paired is a set whose products are those of pairs.
func paired(k *Kernels) *Kernels {
	p := *k
	p.Gemm, p.RowsGemm = k.Pairs.Gemm, k.Pairs.RowsGemm
	return &p
}
