package simd

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// scoreTrials are blocks of n%7 rows.
func scoreTrials(n int, k *Kernels) []trial {
	rows, cols := n%7, n%11*k.NR/2
	ld := cols + n%3
	block := max(0, (rows-1)*ld+cols)
	if rows == 0 {
		block = 0
	}
	return []trial{
		{"RowMax", []int{rows, block}, none(func(k *Kernels, s [][]float32) {
			if cols > 0 {
				k.RowMax(s[0], s[1], ld, cols)
			}
		})},
		{"RowExp", []int{block, rows, rows}, none(func(k *Kernels, s [][]float32) { k.RowExp(s[0], ld, cols, 0.5, s[1], s[2]) })},
		{"RowScale", []int{block, block, rows}, none(func(k *Kernels, s [][]float32) { k.RowScale(s[0], ld, s[1], ld, cols, s[2]) })},
		{"RowScale,inPlace", []int{block, rows}, none(func(k *Kernels, s [][]float32) { k.RowScale(s[0], ld, s[0], ld, cols, s[1]) })},
		{"ScoreBackward", []int{block, block, rows, rows}, none(func(k *Kernels, s [][]float32) {
			k.ScoreBackward(s[0], s[1], ld, cols, 0.5, s[2], s[3])
		})},
	}
}

// headTrials are blocks of 1+n%7 rows.
func headTrials(n int, k *Kernels) []trial {
	rows, cols := 1+n%7, n%4*k.NR
	ld := cols + n%3
	block := (rows-1)*ld + cols
	return []trial{
		{"ColumnExp", []int{cols, cols, block}, none(func(k *Kernels, s [][]float32) { k.ColumnExp(s[0], s[1], s[2], ld, rows, 0.5) })},
		{"ColumnScale", []int{block, cols}, none(func(k *Kernels, s [][]float32) { k.ColumnScale(s[0], ld, rows, s[1]) })},
	}
}

// TestTiles compares every number of rows and halves of tiles, several depths and kinds of init with sums in float64.
func TestTiles(t *testing.T) {
	for _, k := range Available() {
		for mr := 1; mr <= k.MR; mr++ {
			for _, kc := range []int{1, 3, 4, 6, 65} {
				for halves := range 4 {
					for _, init := range []string{"none", "other", "c"} {
						t.Run(fmt.Sprintf("%s/%d,depth=%d,halves=%d,%s", k.Name, mr, kc, halves, init), func(t *testing.T) {
							tileTrial(t, k.Tile[mr], k, mr, kc, halves, init, false)
							tileTrial(t, k.Turned[mr], k, mr, kc, halves, init, true)
						})
					}
				}
			}
		}
	}
}

// tileTrial runs a micro-kernel of mr rows on rows or columns of A.
func tileTrial(t *testing.T, tile TileFunc, k *Kernels, mr, kc, halves int, kind string, turned bool) {
	cols := halves * k.NR / 2
	lda, step, ldc := max(kc, mr)+3, kc*k.NR+5, cols+1
	size := (mr-1)*ldc + cols
	all := guarded([]int{(max(kc, mr)-1)*lda + max(kc, mr), (halves/2 + 1) * step, size, size})
	s := inner(all)
	var init []float32
	switch kind {
	case "other":
		init = s[3]
	case "c":
		init = s[2]
	}
	before, from := slices.Clone(s[2]), slices.Clone(init)
	tile(kc, halves, s[0], lda, s[1], step, s[2], ldc, init, ldc)
	for at, got := range s[2] {
		i, j := at/ldc, at%ldc
		want := float64(before[at])
		if j < cols {
			want = 0
			if from != nil {
				want = float64(from[at])
			}
			for x := range kc {
				a := s[0][i*lda+x]
				if turned {
					a = s[0][x*lda+i]
				}
				want += float64(a) * float64(s[1][j/k.NR*step+x*k.NR+j%k.NR])
			}
		}
		if math.Abs(float64(got)-want) > 2e-5*(1+math.Abs(want)) {
			t.Fatalf("turned %v: element %d, %d: %v, want %v", turned, i, j, got, want)
		}
	}
	for _, x := range slices.Concat(all[2][:guard], all[2][guard+size:]) {
		if x != guardValue {
			t.Fatalf("turned %v: written beside c", turned)
		}
	}
}

// TestRowExp holds the exponential of attention to its stated error, below 0 as it is called for, and to its ends.
func TestRowExp(t *testing.T) {
	for _, k := range Available() {
		t.Run(k.Name, func(t *testing.T) {
			const cols = 1 << 10
			worst := 0.0
			for from := -86.0; from < 0; from += 0.5 {
				x := make([]float32, cols)
				for i := range x {
					x[i] = float32(from + 0.5*float64(i)/cols)
				}
				y := slices.Clone(x)
				k.RowExp(y, cols, cols, 1, []float32{0}, []float32{0})
				for i, v := range x {
					// What the argument loses when it is multiplied by log₂ e counts apart.
					want := math.Exp(float64(v))
					worst = max(worst, math.Abs(float64(y[i])-want)/want/(1+math.Abs(float64(v))))
				}
			}
			if worst > 1.5e-7 {
				t.Errorf("relative error %.3g", worst)
			}
			inf := float32(math.Inf(-1))
			got := slices.Repeat([]float32{inf, -1e30, -200, 0, float32(math.NaN()), inf, inf, inf}, 4)
			k.RowExp(got, len(got), len(got), 1, []float32{0}, []float32{0})
			for i, want := range []float32{0, 0, 0, 1} {
				if got[i] != want {
					t.Errorf("end %d: %v, want %v", i, got[i], want)
				}
			}
			if got[4] == got[4] {
				t.Errorf("exp(NaN) = %v", got[4])
			}
		})
	}
}
