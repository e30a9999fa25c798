package simd

// assembly is the generated functions of one instruction set. Unlike those of Kernels they ask for slices of whole
// registers, and leave what remains to the caller.
type assembly struct {
	gemm            []GemmFunc // by the number of rows
	rowsGemm        func(kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int)
	wideGemm        func(kc, n int, a []float32, lda int, b []float32, step int, c []float32, ldc int, init []float32, ldi int) // nil with AVX2
	packA           PackGemmFunc
	packB           PackGemmFunc
	packBoth        PackGemmFunc
	fewColumns      func(kc, n int, a []float32, lda int, b, c []float32)
	transpose       func(dst []float32, ldd int, src []float32, lds, rows, cols int) // nil with AVX-512
	transposeTail   func(dst []float32, ldd int, src []float32, lds, rows, cols int) // nil with AVX2
	probe           func(n int)
	splitWide       func(dst []float32, step, ldd int, src []float32, lds, rows, pieces int)
	splitNarrow     func(dst []float32, step, ldd int, src []float32, lds, rows, pieces, width int)
	fetch           func(src []float32, lds, rows, cols int)
	dot             func(x, y []float32) float32
	dot3            func(x, y, z []float32) float32
	max             func(x []float32) float32
	expSum          func(x []float32, scale, shift float32) float32
	dotRows         func(out, x, w []float32, ldw int)
	dotBlock        func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw, k, n int)
	addRows         func(out, p, v []float32, ldv int)
	add             func(out, x []float32)
	scale           func(x []float32, s float32)
	scaleMul        func(out, x, w []float32, s float32)
	rotate          func(a, b, cos, sin []float32)
	normBackward    func(dx, dw, dy, x, w, add []float32, rstd, c float32)
	normBackwardSet func(dx, dw, dy, x, w []float32, rstd, c float32)
	swiglu          func(out, gate, up []float32)
	swigluBackward  func(dGate, dUp, out, dOut, gate, up []float32)
	adamW           func(w, g, m, v []float32, p *AdamW)
	rowMax          func(m, s []float32, ld, cols, seen int)
	rowExp          func(s []float32, ld, cols, seen int, scale float32, m, sum []float32)
	rowScale        func(dst []float32, ldd int, s []float32, ld, cols int, m []float32)
	logSum          func(m, sum []float32, scale float32)
	scoreBackward   func(s, dp []float32, ld, cols, seen int, scale float32, lse, delta []float32)
	rowDot          func(out, x []float32, ldx int, y []float32, ldy, cols int)
	columnExp       func(m, sum, s []float32, ld, rows int, scale float32)
	columnScale     func(s []float32, ld, rows int, f []float32)
	tile, turned    []TileFunc
	wedge           TileFunc
	turnedWedge     TileFunc
	scores          func(kc, halves, rows int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, next []float32, ldn int)

	// Of pairs: gemm and rowsGemm are then products of pairs.
	round      func(dst []float32, ldd int, src []float32, lds, rows, cols int)
	pairWide   func(dst []float32, step, ldd int, src []float32, lds, rows, pieces int)
	pairNarrow func(dst []float32, step, ldd int, src []float32, lds, rows, pieces, width int)
}

// kernels wraps the functions: each does its whole registers in assembly and the rest in Go.
func (a *assembly) kernels(name string, lanes, mr int) Kernels {
	k := Kernels{
		Name: name, MR: mr, NR: 2 * lanes,
		Gemm: a.gemm, RowsGemm: a.rowsGemm, WideGemm: a.wideGemm, WideRows: 7, PackA: a.packA, PackB: a.packB, PackBoth: a.packBoth, FewColumns: a.fewColumns, FewRows: 7, Few: lanes,
		Probe: func(n int) int {
			a.probe(n)
			return n * 2 * 12 * lanes
		},
		RowMax: a.rowMax, RowExp: a.rowExp, RowScale: a.rowScale, ScoreBackward: a.scoreBackward, ColumnExp: a.columnExp, ColumnScale: a.columnScale,
		Tile: a.tile, Turned: a.turned,
		Wedge: a.wedge, TurnedWedge: a.turnedWedge, Scores: a.scores, Ahead: lanes / 8,
	}
	a.wrapBlocks(&k, lanes)
	a.wrapReductions(&k, lanes)
	a.wrapElementwise(&k, lanes)
	return k
}

// wrapBlocks sets what moves blocks.
func (a *assembly) wrapBlocks(k *Kernels, lanes int) {
	wide := k.NR
	k.Transpose, k.Fetch = a.transposeBlock, a.fetch
	k.Split = func(dst []float32, step, ldd, width int, src []float32, lds, rows, pieces int) {
		switch {
		case rows == 0 || pieces == 0:
		case width == wide:
			a.splitWide(dst, step, ldd, src, lds, rows, pieces)
		case width <= lanes:
			a.splitNarrow(dst, step, ldd, src, lds, rows, pieces, width)
		default:
			splitPortable(dst, step, ldd, width, src, lds, rows, pieces)
		}
	}
}

// transposeBlock transposes eight rows at a time. Whole registers are stored where nothing else is, or where what
// overhangs is overwritten: by the next column, and by the rows above, which come later.
func (a *assembly) transposeBlock(dst []float32, ldd int, src []float32, lds, rows, cols int) {
	const group = 8
	for i := (rows - 1) / group * group; i >= 0; i -= group {
		n, fast := min(group, rows-i), 0
		switch {
		case n == group:
			fast = cols &^ (group - 1)
		case rows == ldd && cols > group:
			fast = (cols - group) &^ (group - 1) // what is left is enough for the last column not to overhang
		}
		if fast > 0 {
			assemblyAVX2.transpose(dst[i:], ldd, src[i*lds:], lds, n, fast)
		}
		if fast == cols {
			continue
		}
		if a.transposeTail != nil {
			a.transposeTail(dst[fast*ldd+i:], ldd, src[i*lds+fast:], lds, n, cols-fast)
		} else {
			transposePortable(dst[fast*ldd+i:], ldd, src[i*lds+fast:], lds, n, cols-fast)
		}
	}
}

// wrapReductions sets what turns rows into numbers.
func (a *assembly) wrapReductions(k *Kernels, lanes int) {
	k.Dot = func(x, y []float32) float32 {
		n := len(x) &^ (lanes - 1)
		sum := a.dot(x[:n], y[:n])
		if n < len(x) {
			sum += dotPortable(x[n:], y[n:])
		}
		return sum
	}
	k.Dot3 = func(x, y, z []float32) float32 {
		n := len(x) &^ (lanes - 1)
		sum := a.dot3(x[:n], y[:n], z[:n])
		if n < len(x) {
			sum += dot3Portable(x[n:], y[n:], z[n:])
		}
		return sum
	}
	k.Max = func(x []float32) float32 {
		n := len(x) &^ (lanes - 1)
		if n == 0 {
			return maxPortable(x)
		}
		m := a.max(x[:n])
		if n < len(x) {
			m = max(m, maxPortable(x[n:]))
		}
		return m
	}
	k.RowDot = func(out, x []float32, ldx int, y []float32, ldy, cols int) {
		n := cols &^ (lanes - 1)
		a.rowDot(out, x, ldx, y, ldy, n)
		if n < cols {
			for r := range out {
				out[r] += dotPortable(x[r*ldx+n:][:cols-n], y[r*ldy+n:][:cols-n])
			}
		}
	}
	k.ExpSum = func(x []float32, scale, shift float32) float64 {
		const short = 2048 // so many in float32
		sum, n := 0.0, len(x)&^(lanes-1)
		for i := 0; i < n; i += short {
			sum += float64(a.expSum(x[i:min(n, i+short)], scale, shift))
		}
		return sum + expSumPortable(x[n:], scale, shift)
	}
	k.DotRows = func(out, x, w []float32, ldw int) {
		n := len(x) &^ (lanes - 1)
		a.dotRows(out, x[:n], w, ldw)
		if n < len(x) {
			for i := range out {
				out[i] += dotPortable(x[n:], w[i*ldw:][n:len(x)])
			}
		}
	}
	k.DotBlockRows = lanes / 4
	k.DotBlock = func(out []float32, ldo int, x []float32, ldx int, w []float32, ldw, depth, n int) {
		whole := depth &^ (lanes - 1)
		a.dotBlock(out, ldo, x, ldx, w, ldw, whole, n/4)
		if whole < depth {
			addDots(out, ldo, x[whole:], ldx, w[whole:], ldw, depth-whole, k.DotBlockRows, n)
		}
	}
	k.AddRows = func(out, p, v []float32, ldv int) {
		n := len(out) &^ (lanes - 1)
		a.addRows(out[:n], p, v, ldv)
		if n < len(out) {
			addRowsPortable(out[n:], p, v[min(n, len(v)):], ldv)
		}
	}
}

// wrapElementwise sets what goes through slices side by side.
func (a *assembly) wrapElementwise(k *Kernels, lanes int) {
	k.Add = func(out, x []float32) {
		n := len(x) &^ (lanes - 1)
		a.add(out[:n], x[:n])
		addPortable(out[n:], x[n:])
	}
	k.Scale = func(x []float32, s float32) {
		n := len(x) &^ (lanes - 1)
		a.scale(x[:n], s)
		scalePortable(x[n:], s)
	}
	k.ScaleMul = func(out, x, w []float32, s float32) {
		n := len(x) &^ (lanes - 1)
		a.scaleMul(out[:n], x[:n], w[:n], s)
		scaleMulPortable(out[n:], x[n:], w[n:], s)
	}
	k.NormBackward = func(dx, dw, dy, x, w, add []float32, rstd, c float32) {
		n := len(x) &^ (lanes - 1)
		if add == nil {
			a.normBackwardSet(dx[:n], dw[:n], dy[:n], x[:n], w[:n], rstd, c)
		} else {
			a.normBackward(dx[:n], dw[:n], dy[:n], x[:n], w[:n], add[:n], rstd, c)
			add = add[n:]
		}
		normBackwardPortable(dx[n:], dw[n:], dy[n:], x[n:], w[n:], add, rstd, c)
	}
	k.Rotate = func(x, y, cos, sin []float32) {
		n := len(x) &^ (lanes - 1)
		a.rotate(x[:n], y[:n], cos[:n], sin[:n])
		rotatePortable(x[n:], y[n:], cos[n:], sin[n:])
	}
	k.SwiGLU = func(out, gate, up []float32) {
		n := len(out) &^ (lanes - 1)
		a.swiglu(out[:n], gate[:n], up[:n])
		swigluPortable(out[n:], gate[n:], up[n:])
	}
	k.SwiGLUBackward = func(dGate, dUp, out, dOut, gate, up []float32) {
		n := len(gate) &^ (lanes - 1)
		a.swigluBackward(dGate[:n], dUp[:n], out[:n], dOut[:n], gate[:n], up[:n])
		swigluBackwardPortable(dGate[n:], dUp[n:], out[n:], dOut[n:], gate[n:], up[n:])
	}
	k.LogSum = func(m, sum []float32, scale float32) {
		n := len(m) &^ (lanes - 1)
		a.logSum(m[:n], sum[:n], scale)
		logSumPortable(m[n:], sum[n:], scale)
	}
	k.AdamW = func(w, g, m, v []float32, p *AdamW) {
		n := len(w) &^ (lanes - 1)
		a.adamW(w[:n], g[:n], m[:n], v[:n], p)
		adamWPortable(w[n:], g[n:], m[n:], v[n:], p)
	}
}
