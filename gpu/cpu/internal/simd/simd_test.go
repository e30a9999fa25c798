package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// guard stands around every slice that a kernel gets, to show what it writes beside it.
const (
	guard      = 32
	guardValue = 12345
)

// A trial calls one function on slices of the given lengths, filled with numbers in [−2, 2), and returns its result.
type trial struct {
	name    string
	lengths []int
	call    func(k *Kernels, s [][]float32) float64
}

// none is the result of a function without one.
func none(call func(k *Kernels, s [][]float32)) func(*Kernels, [][]float32) float64 {
	return func(k *Kernels, s [][]float32) float64 {
		call(k, s)
		return 0
	}
}

// TestSetsAgree compares every set with the portable one, at every length from none to several registers.
func TestSetsAgree(t *testing.T) {
	for _, k := range Available() {
		t.Run(k.Name, func(t *testing.T) {
			for n := range 100 {
				for _, trial := range slices.Concat(vectorTrials(n), rowTrials(n), scoreTrials(n, k), headTrials(n, k), blockTrials(n, k)) {
					t.Run(fmt.Sprintf("%s/%d", trial.name, n), func(t *testing.T) { trial.compare(t, k) })
				}
			}
		})
	}
}

func vectorTrials(n int) []trial {
	params := AdamW{GradScale: 0.5, Beta1: 0.9, Beta1Rest: 0.1, Beta2: 0.95, Beta2Rest: 0.05, StepSize: 0.1, InvBias2: 2,
		Eps: 1e-3, WeightKeep: 0.99}
	return []trial{
		{"Dot", []int{n, n}, func(k *Kernels, s [][]float32) float64 { return float64(k.Dot(s[0], s[1])) }},
		{"Dot3", []int{n, n, n}, func(k *Kernels, s [][]float32) float64 { return float64(k.Dot3(s[0], s[1], s[2])) }},
		{"Max", []int{n + 1}, func(k *Kernels, s [][]float32) float64 { return float64(k.Max(s[0])) }},
		{"ExpSum", []int{n}, func(k *Kernels, s [][]float32) float64 { return k.ExpSum(s[0], 1.5, 0.5) }},
		{"Add", []int{n, n}, none(func(k *Kernels, s [][]float32) { k.Add(s[0], s[1]) })},
		{"Scale", []int{n}, none(func(k *Kernels, s [][]float32) { k.Scale(s[0], 0.7) })},
		{"ScaleMul", []int{n, n, n}, none(func(k *Kernels, s [][]float32) { k.ScaleMul(s[0], s[1], s[2], 0.7) })},
		{"Rotate", []int{n, n, n, n}, none(func(k *Kernels, s [][]float32) { k.Rotate(s[0], s[1], s[2], s[3]) })},
		{"NormBackward", []int{n, n, n, n, n, n}, none(func(k *Kernels, s [][]float32) {
			k.NormBackward(s[0], s[1], s[2], s[3], s[4], s[5], 0.7, 0.3)
		})},
		{"NormBackward,add=dx", []int{n, n, n, n, n}, none(func(k *Kernels, s [][]float32) {
			k.NormBackward(s[0], s[1], s[2], s[3], s[4], s[0], 0.7, 0.3)
		})},
		{"NormBackward,add=nil", []int{n, n, n, n, n}, none(func(k *Kernels, s [][]float32) {
			k.NormBackward(s[0], s[1], s[2], s[3], s[4], nil, 0.7, 0.3)
		})},
		{"LogSum", []int{n, n}, none(func(k *Kernels, s [][]float32) {
			for i, v := range s[1] {
				s[1][i] = 1 + 500*(v+2)*(v+2)
			}
			k.LogSum(s[0], s[1], 0.5)
		})},
		{"SwiGLU", []int{n, n, n}, none(func(k *Kernels, s [][]float32) { k.SwiGLU(s[0], s[1], s[2]) })},
		{"SwiGLUBackward", []int{n, n, n, n, n, n}, none(func(k *Kernels, s [][]float32) {
			k.SwiGLUBackward(s[0], s[1], s[2], s[3], s[4], s[5])
		})},
		{"SwiGLUBackward,inPlace", []int{n, n, n}, none(func(k *Kernels, s [][]float32) {
			k.SwiGLUBackward(s[1], s[2], s[0], s[0], s[1], s[2])
		})},
		{"AdamW", []int{n, n, n, n}, none(func(k *Kernels, s [][]float32) {
			for i, v := range s[3] {
				s[3][i] = v * v
			}
			k.AdamW(s[0], s[1], s[2], s[3], &params)
		})},
	}
}

func rowTrials(n int) []trial {
	rows, ld := n%11, n+3
	matrix := max(0, (rows-1)*ld+n)
	if rows == 0 {
		matrix = 0
	}
	return []trial{
		{"DotRows", []int{rows, n, matrix}, none(func(k *Kernels, s [][]float32) { k.DotRows(s[0], s[1], s[2], ld) })},
		{"AddRows", []int{n, rows, matrix}, none(func(k *Kernels, s [][]float32) { k.AddRows(s[0], s[1], s[2], ld) })},
	}
}

// blockTrials draws the n-th shapes.
func blockTrials(n int, k *Kernels) []trial {
	r := rand.New(rand.NewPCG(2, uint64(n)))
	rows, cols := 1+r.IntN(40), 1+r.IntN(40)
	lds, ldd := cols+r.IntN(3), rows+r.IntN(3)
	pieces := 1 + r.IntN(3)
	width := []int{k.MR, k.NR, 1 + r.IntN(k.NR)}[r.IntN(3)]
	step, row := rows*width+r.IntN(5), pieces*width+r.IntN(5)
	return []trial{
		{fmt.Sprintf("Transpose/%dx%d,lds=%d,ldd=%d", rows, cols, lds, ldd), []int{(cols-1)*ldd + rows, (rows-1)*lds + cols},
			none(func(k *Kernels, s [][]float32) { k.Transpose(s[0], ldd, s[1], lds, rows, cols) })},
		{fmt.Sprintf("Split/%dx%dx%d", rows, pieces, width), []int{(pieces-1)*step + rows*width, (rows-1)*row + pieces*width},
			none(func(k *Kernels, s [][]float32) { k.Split(s[0], step, width, width, s[1], row, rows, pieces) })},
	}
}

// compare runs the trial on k and on the portable set.
func (c trial) compare(t *testing.T, k *Kernels) {
	got, want := guarded(c.lengths), guarded(c.lengths)
	a, b := c.call(k, inner(got)), c.call(&portable, inner(want))
	near(t, "result", a, b)
	for i := range got {
		for j, x := range got[i] {
			near(t, fmt.Sprintf("slice %d, element %d of %d", i, j-guard, c.lengths[i]), float64(x), float64(want[i][j]))
		}
	}
}

// guarded returns slices of numbers that only depend on the lengths, with guards around them.
func guarded(lengths []int) [][]float32 {
	r := rand.New(rand.NewPCG(1, uint64(len(lengths))))
	all := make([][]float32, len(lengths))
	for i, n := range lengths {
		all[i] = slices.Repeat([]float32{guardValue}, n+2*guard)
		for j := range n {
			all[i][guard+j] = 4*r.Float32() - 2
		}
	}
	return all
}

func inner(guarded [][]float32) [][]float32 {
	all := make([][]float32, len(guarded))
	for i, s := range guarded {
		all[i] = s[guard : len(s)-guard]
	}
	return all
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 3e-6*(1+math.Abs(want))) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
}

// TestGemm compares every number of rows, several depths and kinds of init with sums in float64.
func TestGemm(t *testing.T) {
	for _, k := range Available() {
		for mr := range k.MR + 1 {
			for _, kc := range []int{1, 3, 4, 5, 64, 130} {
				for _, init := range []string{"none", "other", "c"} {
					t.Run(fmt.Sprintf("%s/%dx%d,%s", k.Name, mr, kc, init), func(t *testing.T) { gemmTrial(t, k, mr, kc, init, false) })
				}
			}
		}
	}
}

// gemmTrial runs the micro-kernel of mr rows on three packed panels, of numbers or of pairs; mr 0 stands for RowsGemm.
func gemmTrial(t *testing.T, k *Kernels, mr, kc int, kind string, pairs bool) {
	const n = 3
	inPlace := mr == 0
	if inPlace {
		mr = k.MR
	}
	ldc, step, lda := k.NR+5, mr*kc+7, kc+3
	size := (n*mr-1)*ldc + k.NR
	all := guarded([]int{max((n-1)*step+mr*kc, (n*mr-1)*lda+kc), kc * k.NR, size, size})
	s := inner(all)
	if pairs {
		for _, operand := range s[:2] {
			for i, x := range operand {
				operand[i] = pair(x, -x/3)
			}
		}
	}
	before := slices.Clone(s[2])
	var init []float32
	switch kind {
	case "other":
		init = s[3]
	case "c":
		init = s[2]
	}
	from := slices.Clone(init)
	element := func(i, x int) float32 { return s[0][i/mr*step+x*mr+i%mr] }
	if inPlace {
		k.RowsGemm(kc, n, s[0][:(n*mr-1)*lda+kc], lda, s[1], s[2], ldc, init, ldc)
		element = func(i, x int) float32 { return s[0][i*lda+x] }
	} else {
		k.Gemm[mr](kc, n, step, s[0], s[1], s[2], ldc, init, ldc)
	}
	for at, got := range s[2] {
		i, j := at/ldc, at%ldc
		want := float64(before[at])
		if j < k.NR {
			want = 0
			if from != nil {
				want = float64(from[at])
			}
			for x := range kc {
				want += product(element(i, x), s[1][x*k.NR+j], pairs)
			}
		}
		if math.Abs(float64(got)-want) > 2e-5*(1+math.Abs(want)) {
			t.Fatalf("element %d, %d: %v, want %v", i, j, got, want)
		}
	}
	for _, x := range slices.Concat(all[2][:guard], all[2][guard+size:]) {
		if x != guardValue {
			t.Fatal("written beside c")
		}
	}
}

// TestWideGemm compares with Gemm on packed rows: the same bits.
func TestWideGemm(t *testing.T) {
	for _, k := range Available() {
		if k.WideGemm == nil {
			continue
		}
		for _, kc := range []int{1, 3, 4, 7, 64, 131} {
			const n = 3
			rows, lda, ldc, step := n*k.WideRows, kc+5, 2*k.NR+3, kc*k.NR+9
			size := (rows-1)*ldc + 2*k.NR
			all := guarded([]int{(rows-1)*lda + kc, step + kc*k.NR, size, size})
			s := inner(all)
			for _, init := range [][]float32{nil, s[3], s[2]} {
				want := slices.Clone(s[2])
				for r := range rows {
					for p := range 2 {
						from := init
						if init != nil {
							from = slices.Clone(init[r*ldc+p*k.NR:])
						}
						k.Gemm[1](kc, 1, 0, s[0][r*lda:], s[1][p*step:], want[r*ldc+p*k.NR:], ldc, from, ldc)
					}
				}
				k.WideGemm(kc, n, s[0], lda, s[1], step, s[2], ldc, init, ldc)
				if !slices.Equal(s[2], want) {
					t.Fatalf("%s, depth %d: other sums", k.Name, kc)
				}
			}
			for _, x := range slices.Concat(all[2][:guard], all[2][guard+size:]) {
				if x != guardValue {
					t.Fatalf("%s, depth %d: written beside c", k.Name, kc)
				}
			}
		}
	}
}

// TestPackGemm compares with Gemm on operands that Split packed: the same bits, and the same panels.
func TestPackGemm(t *testing.T) {
	for _, k := range Available() {
		for _, kc := range []int{1, 3, 4, 7, 64, 131} {
			lda, ldb, ldc := k.MR+3, k.NR+5, k.NR+1
			size := (k.MR-1)*ldc + k.NR
			all := guarded([]int{(kc-1)*lda + k.MR, (kc-1)*ldb + k.NR, size, kc * k.MR, kc * k.NR})
			s := inner(all)
			a, b, want := make([]float32, kc*k.MR), make([]float32, kc*k.NR), slices.Clone(s[2])
			k.Split(a, 0, k.MR, k.MR, s[0], lda, kc, 1)
			k.Split(b, 0, k.NR, k.NR, s[1], ldb, kc, 1)
			k.Gemm[k.MR](kc, 1, 0, a, b, want, ldc, want, ldc)
			for i, pack := range []PackGemmFunc{k.PackA, k.PackB, k.PackBoth} {
				fromA, fromB := a, b
				if i != 1 {
					fromA = s[0]
				}
				if i != 0 {
					fromB = s[1]
				}
				c := guarded([]int{size})[0]
				copy(c[guard:], s[2])
				clear(s[3])
				clear(s[4])
				pack(kc, fromA, lda, s[3], fromB, ldb, s[4], c[guard:][:size], ldc, c[guard:][:size], ldc)
				if !slices.Equal(c[guard:][:size], want) {
					t.Fatalf("%s, depth %d, %d: other sums", k.Name, kc, i)
				}
				if i != 1 && !slices.Equal(s[3], a) || i != 0 && !slices.Equal(s[4], b) {
					t.Fatalf("%s, depth %d, %d: other panels", k.Name, kc, i)
				}
				for _, x := range slices.Concat(c[:guard], c[guard+size:], all[3][:guard], all[3][guard+len(s[3]):], all[4][:guard], all[4][guard+len(s[4]):]) {
					if x != guardValue {
						t.Fatalf("%s, depth %d, %d: written beside c or a panel", k.Name, kc, i)
					}
				}
			}
		}
	}
}

// TestFewColumns compares with sums in float64.
func TestFewColumns(t *testing.T) {
	for _, k := range Available() {
		for _, kc := range []int{1, 3, 4, 7, 64, 131} {
			const n = 3
			lda := kc + 2
			all := guarded([]int{(n*k.FewRows-1)*lda + kc, kc * k.Few, n * k.FewRows * k.Few})
			s := inner(all)
			k.FewColumns(kc, n, s[0], lda, s[1], s[2])
			for at, got := range s[2] {
				want := 0.0
				for x := range kc {
					want += float64(s[0][at/k.Few*lda+x]) * float64(s[1][x*k.Few+at%k.Few])
				}
				if math.Abs(float64(got)-want) > 2e-5*(1+math.Abs(want)) {
					t.Fatalf("%s, depth %d: element %d is %v, want %v", k.Name, kc, at, got, want)
				}
			}
			for _, x := range slices.Concat(all[2][:guard], all[2][guard+len(s[2]):]) {
				if x != guardValue {
					t.Fatalf("%s, depth %d: written beside c", k.Name, kc)
				}
			}
		}
	}
}

// product multiplies two numbers, or adds up the products of two pairs.
func product(x, y float32, pairs bool) float64 {
	if !pairs {
		return float64(x) * float64(y)
	}
	p, q := halves(x)
	r, s := halves(y)
	return float64(p)*float64(r) + float64(q)*float64(s)
}

// TestDotBlock compares with the portable dot product, row by row.
func TestDotBlock(t *testing.T) {
	for _, k := range Available() {
		for depth := range 70 {
			t.Run(fmt.Sprintf("%s/%d", k.Name, depth), func(t *testing.T) {
				const n = 8
				ldo, ldx, ldw := n+3, depth+1, depth+2
				all := guarded([]int{(k.DotBlockRows-1)*ldo + n, k.DotBlockRows * ldx, n * ldw})
				s := inner(all)
				want := slices.Clone(all[0])
				for i := range k.DotBlockRows {
					dotRowsPortable(want[guard+i*ldo:][:n], s[1][i*ldx:][:depth], s[2], ldw)
				}
				k.DotBlock(s[0], ldo, s[1], ldx, s[2], ldw, depth, n)
				for i, x := range all[0] {
					near(t, fmt.Sprintf("element %d", i-guard), float64(x), float64(want[i]))
				}
			})
		}
	}
}

// TestExp holds the exponential to its stated error over all that float32 can hold, and to its ends.
func TestExp(t *testing.T) {
	for _, k := range Available() {
		t.Run(k.Name, func(t *testing.T) {
			const step = 1 << 12
			worst := 0.0
			x := make([]float32, 0, step)
			for v := -87.3; v < 88.2; v += 1e-4 {
				if x = append(x, float32(v)); len(x) == step {
					worst = max(worst, expError(k, x))
					x = x[:0]
				}
			}
			if worst > 1.2e-7 {
				t.Errorf("relative error %.3g", worst)
			}
			inf := float32(math.Inf(1))
			ends := []float32{-inf, -1e30, -200, -104, 0, 200, inf, float32(math.NaN())}
			got := slices.Repeat(ends, 2*k.NR/len(ends)+1)
			k.ExpSum(got, 1, 0)
			for i, g := range got[:len(ends)] {
				e := math.Exp(float64(ends[i]))
				big := e > 1e38 && g > 2e38
				if !big && g != float32(e) && !(math.IsNaN(e) && g != g) {
					t.Errorf("exp(%v) = %v", ends[i], g)
				}
			}
		})
	}
}

// expError is the greatest relative error of the exponential over x.
func expError(k *Kernels, x []float32) float64 {
	y := slices.Clone(x)
	k.ExpSum(y, 1, 0)
	worst := 0.0
	for i, v := range x {
		want := math.Exp(float64(v))
		worst = max(worst, math.Abs(float64(y[i])-want)/want)
	}
	return worst
}

// TestSelect names the sets that there are.
func TestSelect(t *testing.T) {
	for _, k := range Available() {
		if got, err := Select(k.Name); err != nil || got != k {
			t.Errorf("Select(%q) = %v, %v", k.Name, got, err)
		}
	}
	if best, err := Select(""); err != nil || best != Available()[0] {
		t.Errorf("Select of nothing = %v, %v", best, err)
	}
	if _, err := Select("mmx"); err == nil || !strings.Contains(err.Error(), "choose one of") {
		t.Errorf("Select of an unknown set: %v", err)
	}
}
