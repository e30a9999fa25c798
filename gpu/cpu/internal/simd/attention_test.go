package simd

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// scoreTrials are blocks of n%7 rows, of which the first sees up to 37 columns.
func scoreTrials(n int, k *Kernels) []trial {
	rows, cols, seen := n%7, (1+n%11)*k.NR/2, 1+n*5%37
	ld := cols + n%3
	block := max(0, (rows-1)*ld+cols)
	if rows == 0 {
		block = 0
	}
	unseen := func(s []float32) { // what nobody has computed
		for r := range rows {
			for c := min(cols, seen+r); c < cols; c++ {
				s[r*ld+c] = float32(math.NaN())
			}
		}
	}
	return []trial{
		{"RowMax", []int{rows, block}, none(func(k *Kernels, s [][]float32) {
			before := slices.Clone(s[1])
			unseen(s[1])
			k.RowMax(s[0], s[1], ld, cols, seen)
			copy(s[1], before)
		})},
		{"RowExp", []int{block, rows, rows}, none(func(k *Kernels, s [][]float32) {
			unseen(s[0])
			k.RowExp(s[0], ld, cols, seen, 0.5, s[1], s[2])
		})},
		{"RowScale", []int{block, block, rows}, none(func(k *Kernels, s [][]float32) { k.RowScale(s[0], ld, s[1], ld, cols, s[2]) })},
		{"RowScale,inPlace", []int{block, rows}, none(func(k *Kernels, s [][]float32) { k.RowScale(s[0], ld, s[0], ld, cols, s[1]) })},
		{"ScoreBackward", []int{block, block, rows, rows}, none(func(k *Kernels, s [][]float32) {
			unseen(s[0])
			unseen(s[1])
			k.ScoreBackward(s[0], s[1], ld, cols, seen, 0.5, s[2], s[3])
		})},
		{"RowDot", []int{rows, rows * 100, rows * 101}, none(func(k *Kernels, s [][]float32) {
			k.RowDot(s[0], s[1], 100, s[2], 101, n)
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
			for _, kc := range []int{1, 3, 4, 6, 14, 65} {
				for halves := range 4 {
					for _, init := range []string{"none", "other", "c"} {
						t.Run(fmt.Sprintf("%s/%d,depth=%d,halves=%d,%s", k.Name, mr, kc, halves, init), func(t *testing.T) {
							for _, packed := range []bool{true, false} {
								tileTrial(t, k.Tile[mr], k, mr, kc, halves, init, packed, false, false)
								tileTrial(t, k.Turned[mr], k, mr, kc, halves, init, packed, true, false)
								if mr == k.MR && kc >= mr {
									tileTrial(t, k.Wedge, k, mr, kc, halves, init, packed, false, true)
									tileTrial(t, k.TurnedWedge, k, mr, kc, halves, init, packed, true, true)
								}
							}
						})
					}
				}
			}
		}
	}
}

// tileTrial runs a micro-kernel of mr rows on rows or columns of A. Of a wedge, what it must not read is NaN.
func tileTrial(t *testing.T, tile TileFunc, k *Kernels, mr, kc, halves int, kind string, packed, turned, wedge bool) {
	cols := halves * k.NR / 2
	lda, ldb, step, ldc := max(kc, mr)+3, k.NR, kc*k.NR+5, cols+1
	if !packed {
		ldb, step = cols+7, k.NR
	}
	size := (mr-1)*ldc + cols
	at := func(i, x int) int {
		if turned {
			return x*lda + i
		}
		return i*lda + x
	}
	skipped := func(i, x int) bool { return wedge && (turned && x < i || !turned && x > kc-mr+i) }
	all := guarded([]int{(max(kc, mr)-1)*lda + max(kc, mr), (halves/2+1)*step + kc*ldb, size, size})
	s := inner(all)
	for i := range mr {
		for x := range kc {
			if skipped(i, x) {
				s[0][at(i, x)] = float32(math.NaN())
			}
		}
	}
	var init []float32
	switch kind {
	case "other":
		init = s[3]
	case "c":
		init = s[2]
	}
	before, from := slices.Clone(s[2]), slices.Clone(init)
	tile(kc, halves, s[0], lda, s[1], ldb, step, s[2], ldc, init, ldc, s[1], k.NR)
	for n, got := range s[2] {
		i, j := n/ldc, n%ldc
		want := float64(before[n])
		if j < cols {
			want = 0
			if from != nil {
				want = float64(from[n])
			}
			for x := range kc {
				if !skipped(i, x) {
					want += float64(s[0][at(i, x)]) * float64(s[1][j/k.NR*step+x*ldb+j%k.NR])
				}
			}
		}
		if !(math.Abs(float64(got)-want) <= 2e-5*(1+math.Abs(want))) {
			t.Fatalf("turned %v, wedge %v: element %d, %d: %v, want %v", turned, wedge, i, j, got, want)
		}
	}
	for _, x := range slices.Concat(all[2][:guard], all[2][guard+size:]) {
		if x != guardValue {
			t.Fatalf("turned %v, wedge %v: written beside c", turned, wedge)
		}
	}
}

// TestScores compares the scores that are asked for with those of Tile.
func TestScores(t *testing.T) {
	for _, k := range Available() {
		for rows := 2; rows < k.MR; rows += 2 {
			for halves := 1; halves < 5; halves++ {
				t.Run(fmt.Sprintf("%s/%d,halves=%d", k.Name, rows, halves), func(t *testing.T) {
					const kc = 7
					half := k.NR / 2
					ldc, step := halves*half+1, kc*k.NR
					size := (k.MR-1)*ldc + halves*half
					all := guarded([]int{k.MR * kc, (halves + 1) / 2 * step, size, size})
					s := inner(all)
					before := slices.Clone(s[2])
					k.Scores(kc, halves, rows, s[0], kc, s[1], k.NR, step, s[2], ldc, s[1], k.NR)
					k.Tile[k.MR](kc, halves, s[0], kc, s[1], k.NR, step, s[3], ldc, nil, 0, s[1], k.NR)
					for n, got := range s[2] {
						i, j := n/ldc, n%ldc
						want := s[3][n]
						if j == halves*half || i < k.MR-rows && j >= (halves-1)*half {
							want = before[n]
						}
						if got != want {
							t.Fatalf("element %d, %d: %v, want %v", i, j, got, want)
						}
					}
					for _, x := range slices.Concat(all[2][:guard], all[2][guard+size:]) {
						if x != guardValue {
							t.Fatal("written beside c")
						}
					}
				})
			}
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
				k.RowExp(y, cols, cols, cols, 1, []float32{0}, []float32{0})
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
			k.RowExp(got, len(got), len(got), len(got), 1, []float32{0}, []float32{0})
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
