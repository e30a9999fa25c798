// Package simd holds the inner loops of the CPU device: a [Kernels] for each instruction set, all with the same
// functions and the same meaning. It knows nothing of tensors, threads or models: gpu/cpu cuts the work into tiles,
// packs panels and calls these.
//
// The portable set is plain Go and serves two ends: it runs everywhere, and the others are tested against it. The sets
// avx2, avx512 and avx512bf16 (that is avx512 and products of bfloat16) are assembly written by the generator in the folder gen; run go generate here after changing it.
// Another processor family gets its own file beside kernels_amd64.go and its own emitter in gen.
//
// Start at [Select]. Unless a function says otherwise its slices have equal lengths, and no alignment is asked for.
//
//go:generate go run ./gen
package simd

import (
	"fmt"
	"strings"
)

// Kernels is one set of inner loops.
type Kernels struct {
	Name string // "portable", "avx2", "avx512" or "avx512bf16"

	// MR and NR are the most rows and the exact number of columns that Gemm computes at once.
	MR, NR int

	// Gemm[mr] computes n register tiles c = init + a·b, one below the other, each of mr ≤ MR rows and NR columns. a is n
	// packed panels [kc][mr] that begin step elements apart, b a packed panel [kc][NR], with kc ≥ 1; rows of c and init
	// are ldc and ldi elements apart. A nil init counts as zero; it may be c. Four tiles also call into the cache what
	// follows b in memory, so that it is there when a caller goes on from panel to panel; b ends where that begins.
	Gemm []GemmFunc
	// RowsGemm is Gemm[MR] with A as it lies in memory: n·MR rows of kc elements that are lda apart.
	RowsGemm func(kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int)
	// WideGemm is RowsGemm for tiles of WideRows rows and two panels of B that are step elements apart, for rows of A that a
	// cache would hold only few of, being a power of two apart. It is nil where there are no registers for that.
	WideGemm func(kc, n int, a []float32, lda int, b []float32, step int, c []float32, ldc int, init []float32, ldi int)
	WideRows int
	// PackA, PackB and PackBoth are Gemm[MR] for one tile with A, B or both as they lie in memory, [kc][MR] and [kc][NR] with
	// rows lda and ldb apart, and pack what they read so for the tiles to come.
	PackA, PackB, PackBoth PackGemmFunc
	// FewColumns computes c = a·b for n·FewRows rows of kc elements that are lda apart, and a packed panel b [kc][Few], with
	// kc ≥ 1; c is [n·FewRows][Few].
	FewColumns   func(kc, n int, a []float32, lda int, b, c []float32)
	FewRows, Few int
	// Probe does n rounds of multiplications and additions within registers, the most that this set can ask of the
	// machine, and returns how many operations these were.
	Probe func(n int) int
	// Transpose sets dst[j·ldd+i] = src[i·lds+j] for i < rows, j < cols.
	Transpose func(dst []float32, ldd int, src []float32, lds, rows, cols int)
	// Split cuts rows into pieces: dst[p·step + i·ldd + j] = src[i·lds + p·width + j] for i < rows, p < pieces,
	// j < width.
	Split func(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int)
	// Fetch may call what Split or Transpose will read, rows of cols elements that are lds apart, into the cache.
	Fetch func(src []float32, lds, rows, cols int)

	// Dot returns Σ x·y.
	Dot func(x, y []float32) float32
	// DotRows sets out[i] = Σ_j x[j]·w[i·ldw+j] for every i < len(out).
	DotRows func(out, x, w []float32, ldw int)
	// DotBlock sets out[i·ldo+j] = Σ_l x[i·ldx+l]·w[j·ldw+l] for i < DotBlockRows, j < n and l < depth; n is a multiple of
	// four.
	DotBlock     func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw, depth, n int)
	DotBlockRows int
	// AddRows adds Σ_i p[i]·v[i·ldv+j] to out[j].
	AddRows func(out, p, v []float32, ldv int)
	// Add adds x to out.
	Add func(out, x []float32)
	// Scale multiplies x by s.
	Scale func(x []float32, s float32)
	// Max returns the largest of x, which is not empty.
	Max func(x []float32) float32

	// ScaleMul sets out = x·w·s (the forward of RMSNorm).
	ScaleMul func(out, x, w []float32, s float32)
	// NormBackward adds dy·x·rstd to dw and sets dx = add + rstd·(dy·w − x·c). add may be nil, or dx.
	NormBackward func(dx, dw, dy, x, w, add []float32, rstd, c float32)
	// Dot3 returns Σ x·y·z.
	Dot3 func(x, y, z []float32) float32
	// Rotate turns the pairs (a[i], b[i]) by the angles whose cosines and sines are given.
	Rotate func(a, b, cos, sin []float32)
	// SwiGLU sets out = gate·σ(gate)·up.
	SwiGLU func(out, gate, up []float32)
	// SwiGLUBackward sets both gradients and out; dGate may be gate, dUp may be up and out may be dOut.
	SwiGLUBackward func(dGate, dUp, out, dOut, gate, up []float32)
	// ExpSum sets x = exp(x·scale − shift) and returns the sum in float64, exact to about 1e-7 for any length.
	ExpSum func(x []float32, scale, shift float32) float64
	// AdamW updates the weights w and the moments m and v from the gradient g.
	AdamW func(w, g, m, v []float32, p *AdamW)

	// Tile[mr] computes mr ≤ MR rows of c = init + a·b, and Turned[mr] does too; see TileFunc.
	Tile, Turned []TileFunc
	Ahead        int
	// Wedge is Tile[MR] and TurnedWedge is Turned[MR] for scores on the diagonal, where elements that would be multiplied by
	// zeros are not read: row i ends MR−1−i steps before the last row does, or begins i steps after the first. kc ≥ MR.
	Wedge, TurnedWedge TileFunc
	// Scores is Tile[MR] without init that computes only the last rows rows, an even number less than MR, of the last half.
	Scores func(kc, halves, rows int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, next []float32, ldn int)

	// Attention works on blocks of scores: a row is a query, a column a key, and rows are ld apart. There are as many rows as
	// numbers, one of which belongs to each; cols is a multiple of NR/2. Row r sees the first seen+r columns, or all; what
	// it does not see may be anything before, and is zero afterwards where scores are written. seen ≥ 1.

	// RowMax sets m[r] = max(m[r], max_c s[r][c]).
	RowMax func(m, s []float32, ld, cols, seen int)
	// RowExp sets s = exp((s − m[r])·scale) and adds each row's sum to sum.
	RowExp func(s []float32, ld, cols, seen int, scale float32, m, sum []float32)
	// RowScale sets row r of dst to f[r] times that of s, all cols of it.
	RowScale func(dst []float32, ldd int, s []float32, ld, cols int, f []float32)
	// LogSum sets m = scale·m + ln(sum) for normal sums.
	LogSum func(m, sum []float32, scale float32)
	// ScoreBackward turns scores and the gradient of the probabilities into the probabilities p = exp(s·scale − lse[r])
	// in s, and the gradient of the scores p·(dp − delta[r])·scale in dp.
	ScoreBackward func(s, dp []float32, ld, cols, seen int, scale float32, lse, delta []float32)

	// RowDot sets out[r] = Σ_c x[r][c]·y[r][c] for c < cols; rows are ldx and ldy apart.
	RowDot func(out, x []float32, ldx int, y []float32, ldy, cols int)

	// The head works on blocks of logits: a row is a token of the vocabulary, a column a token to predict, and rows are ld
	// apart. There are as many columns as numbers, one of which belongs to each: a multiple of NR.

	// ColumnExp sets m[c] = max_r s[r][c], s = exp((s − m[c])·scale) and sum[c] to each column's sum of that; rows ≥ 1.
	ColumnExp func(m, sum, s []float32, ld, rows int, scale float32)
	// ColumnScale multiplies column c by f[c].
	ColumnScale func(s []float32, ld, rows int, f []float32)

	// Pairs is what products of bfloat16 are made of; nil where the set has none.
	Pairs *Pairs
}

// Pairs multiplies bfloat16 numbers and adds up in float32. Two numbers that follow one another in depth are a pair: the
// first in the lower and the second in the upper half of the bits of a float32. A panel of pairs is a panel like any
// other, half as deep; Transpose and Kernels.Split move pairs as they do numbers.
type Pairs struct {
	Fast bool // faster than products of float32

	// Gemm and RowsGemm are those of Kernels with pairs in a and b; kc and the distances count pairs. A number that is
	// denormal may count as zero.
	Gemm     []GemmFunc
	RowsGemm func(kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int)

	// Round rounds rows to nearest, ties to even: dst[i·ldd+j] is the pair of src[i·lds+2j] and the number after it, or 0 at
	// the end, for i < rows and 2j < cols.
	Round func(dst []float32, ldd int, src []float32, lds, rows, cols int)
	// Split is Kernels.Split for pairs of rows: dst[p·step + i·ldd + j] is the pair of src[2i·lds + p·width + j] and the
	// number below it, or 0 at the end, for 2i < rows.
	Split func(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int)
}

// A GemmFunc computes register tiles of a fixed number of rows.
type GemmFunc = func(kc, n, step int, a, b, c []float32, ldc int, init []float32, ldi int)

// A PackGemmFunc computes one register tile and packs operands. lda and packedA do not matter where a is packed, nor ldb
// and packedB where b is.
type PackGemmFunc = func(kc int, a []float32, lda int, packedA, b []float32, ldb int, packedB, c []float32, ldc int, init []float32, ldi int)

// A TileFunc computes c = init + a·b for a fixed number of rows, and as many halves of register tiles side by side as halves
// says. a stays where it is: Tile takes rows of kc elements that are lda apart, Turned takes columns, element (i, k) being
// a[k·lda+i]. b is panels [kc][NR] that begin step elements apart and have rows ldb elements apart: ldb is NR where they are
// packed, and step where they are columns of a matrix. Of the last one half may not be asked for, and is not read then. Rows
// of c and init are ldc and ldi elements apart. A nil init counts as zero; it may be c.
//
// A tile of MR rows and NR columns may call into the cache what a later product reads: for every four steps NR elements each
// of Ahead of the rows that begin at next and are ldn apart, whether or not there are so many.
type TileFunc = func(kc, halves int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, init []float32, ldi int, next []float32, ldn int)

// AdamW holds what is the same for every element of an AdamW step.
type AdamW struct {
	GradScale  float32 // multiplies the gradient first
	Beta1      float32
	Beta1Rest  float32 // 1 − β1
	Beta2      float32
	Beta2Rest  float32 // 1 − β2
	StepSize   float32 // learning rate over 1 − β1^t
	InvBias2   float32 // 1/√(1 − β2^t)
	Eps        float32
	WeightKeep float32 // 1 − learning rate·decay
}

// Select returns the set called name, or the best one for this processor if name is empty. A name that this processor
// cannot run is an error that lists those it can.
func Select(name string) (*Kernels, error) {
	sets := available()
	if name == "" {
		return sets[0], nil
	}
	var names []string
	for _, k := range sets {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return nil, fmt.Errorf("no CPU code path %q on this machine: choose one of %s", name, strings.Join(names, ", "))
}

// Available returns every set that this processor can run, the best first.
func Available() []*Kernels { return available() }
