package main

import "fmt"

// emitGemm writes a micro-kernel for every number of rows. A tile is two registers wide; its sums stay in registers
// 0 … 2·mr−1. A step of the depth loads one row of the panel of B and broadcasts mr elements of A.
func emitGemm(f *file) {
	const params = "kc, n, step int, a, b, c []float32, ldc int, init []float32, ldi int"
	for mr := 1; mr <= f.mr; mr++ {
		f.function(fmt.Sprintf("gemm%d", mr), params, false, func(f *function) { f.gemm(mr) })
	}
	const inPlace = "kc, n int, a []float32, lda int, b, c []float32, ldc int, init []float32, ldi int"
	f.function("rowsGemm", inPlace, false, func(f *function) { f.rowsGemm() })
	if !f.pairs {
		const placed = "kc int, a []float32, lda int, packedA, b []float32, ldb int, packedB, c []float32, ldc int, init []float32, ldi int"
		f.function("packA", placed, false, func(f *function) { packGemm{f, true, false}.emit() })
		f.function("packB", placed, false, func(f *function) { packGemm{f, false, true}.emit() })
		f.function("packBoth", placed, false, func(f *function) { packGemm{f, true, true}.emit() })
		f.function("fewColumns", "kc, n int, a []float32, lda int, b, c []float32", false, (*function).fewColumns)
	}
}

func (f *function) gemm(mr int) {
	f.pointer("a", "R10")
	f.stride("step", "R11")
	f.integer("n", "R12")
	f.pointer("c", "DX")
	f.stride("ldc", "SI")
	f.pointer("init", "DI")
	f.stride("ldi", "R8")
	f.end("b", "R13")
	f.times("R12", func() {
		f.gemmSums(mr)
		f.gemmStore(mr)
		f.op("ADDQ", "R11", "R10")
	})
	f.ret()
}

// rowsGemm is gemm with A where it is, mr rows that are lda apart: every third has a register that points to it, and the
// two after it are one and two strides further. On the way the next mr rows are called into the cache, for what comes
// from memory for the first time comes slowly; after the last rows of a block they are those of the next block.
func (f *function) rowsGemm() {
	const unroll = 4
	f.pointer("a", "AX")
	f.stride("lda", "R11")
	f.integer("n", "R12")
	rows := []string{"AX", "R8", "R9", "R10", "R13"}[:(f.mr+2)/3]
	next := []string{"SI", "DI", "DX"} // how far the first, second and third row of three are from those to come
	element := func(i, k int) string {
		row := at(rows[i/3], 4*k)
		if i%3 > 0 {
			row += fmt.Sprintf("(R11*%d)", i%3)
		}
		return row
	}
	f.end("b", "R15")
	f.times("R12", func() {
		f.pointer("c", "DX")
		f.stride("ldc", "SI")
		f.gemmStart(f.mr)
		f.tileEnd(f.mr, "R8")
		f.op("MOVQ", "R8", f.spare("c_len"))
		f.op("MOVQ", "SI", f.spare("c_cap"))
		for i := 1; i < len(rows); i++ {
			f.op("LEAQ", "("+rows[i-1]+")(R11*2)", rows[i])
			f.op("ADDQ", "R11", rows[i])
		}
		for i, r := range next {
			f.op("IMUL3Q", fmt.Sprintf("$%d", f.mr+i), "R11", r)
		}
		f.integer("kc", "CX")
		f.op("SHRQ", "$2", "CX")
		f.times("CX", func() {
			for i := range f.mr {
				f.op("PREFETCHT0", "("+rows[i/3]+")("+next[i%3]+"*1)")
			}
			f.callNext("R15")
			f.callTile(f.spare("c_cap"), f.spare("c_len"), f.spare("c_base"))
			for k := range unroll {
				f.gemmStep(f.mr, k, element)
			}
			f.advance(unroll*4, rows...)
			f.advance(unroll*2*f.width(), "BX")
		})
		f.integer("kc", "CX")
		f.op("ANDQ", fmt.Sprintf("$%d", unroll-1), "CX")
		f.times("CX", func() {
			f.gemmStep(f.mr, 0, element)
			f.advance(4, rows...)
			f.advance(2*f.width(), "BX")
		})
		f.pointer("c", "DX")
		f.stride("ldc", "SI")
		f.pointer("init", "DI")
		f.stride("ldi", "R8")
		f.gemmStore(f.mr)
		f.keep("DX", "c")
		f.keep("DI", "init")
		f.pointer("a", "AX")
		f.op("IMUL3Q", fmt.Sprintf("$%d", f.mr), "R11", "R9")
		f.op("ADDQ", "R9", "AX")
		f.keep("AX", "a")
	})
	f.ret()
}

// fewRows is how many rows of A fewColumns takes at a time: fewer than a set of the first-level cache has lines, so that
// rows a power of two apart do not drive one another out.
const fewRows = 7

// fewColumns is rowsGemm for a B of one register: what a product of a few rows is when its operands change places. Tiles
// of C follow one another without gaps.
func (f *function) fewColumns() {
	const unroll = 4
	rows, next := []string{"AX", "R8", "R9"}, []string{"SI", "DI", "R10"}
	step := func(k int) {
		b := fewRows
		f.op("VMOVUPS", at("BX", k*f.width()), f.v(b))
		for i := range fewRows {
			element := at(rows[i/3], 4*k)
			if i%3 > 0 {
				element += fmt.Sprintf("(R11*%d)", i%3)
			}
			a := b + 1 + i%2
			f.op("VBROADCASTSS", element, f.v(a))
			f.multiplyAdd(b, a, i)
		}
	}
	f.pointer("a", "AX")
	f.stride("lda", "R11")
	f.integer("n", "R12")
	f.pointer("c", "DX")
	for i, r := range next {
		f.op("IMUL3Q", fmt.Sprintf("$%d", fewRows+i), "R11", r)
	}
	f.times("R12", func() {
		f.pointer("b", "BX")
		f.op("LEAQ", "(AX)(SI*1)", "R13")
		for i := range fewRows {
			f.clear(i)
		}
		for i := 1; i < len(rows); i++ {
			f.op("LEAQ", "("+rows[i-1]+")(R11*2)", rows[i])
			f.op("ADDQ", "R11", rows[i])
		}
		f.integer("kc", "CX")
		f.op("SHRQ", "$2", "CX")
		f.times("CX", func() {
			for i := range fewRows {
				f.op("PREFETCHT0", "("+rows[i/3]+")("+next[i%3]+"*1)")
			}
			for k := range unroll {
				step(k)
			}
			f.advance(unroll*4, rows...)
			f.advance(unroll*f.width(), "BX")
		})
		f.integer("kc", "CX")
		f.op("ANDQ", fmt.Sprintf("$%d", unroll-1), "CX")
		f.times("CX", func() {
			step(0)
			f.advance(4, rows...)
			f.advance(f.width(), "BX")
		})
		for i := range fewRows {
			f.op("VMOVUPS", f.v(i), at("DX", i*f.width()))
		}
		f.advance(fewRows*f.width(), "DX")
		f.op("MOVQ", "R13", "AX")
	})
	f.ret()
}

// gemmStart clears the sums, and calls for the tile of C, to be there when they are done.
func (f *function) gemmStart(mr int) {
	f.pointer("b", "BX")
	f.clearTile(mr)
}

// clearTile is gemmStart without the pointer to B.
func (f *function) clearTile(mr int) {
	for i := range 2 * mr {
		f.clear(i)
	}
	f.op("MOVQ", "DX", "R14")
}

// callTile calls for one row of the tile of C after the other, from DX on, round and round: all at once would keep A and B
// waiting.
func (f *function) callTile(ldc, end, start string) {
	f.op("PREFETCHT0", "(R14)")
	f.op("PREFETCHT0", at("R14", 2*f.width()-4))
	f.op("ADDQ", ldc, "R14")
	f.op("CMPQ", "R14", end)
	f.op("CMOVQEQ", start, "R14")
}

// tileEnd sets a register to where callTile begins anew.
func (f *function) tileEnd(mr int, reg string) {
	f.op("IMUL3Q", fmt.Sprintf("$%d", mr), "SI", reg)
	f.op("ADDQ", "DX", reg)
}

// callNext calls for two cache lines, of the panel or panels that come after the one at work: at a register, or one at each
// of two. Called once in four steps of the depth, a panel is in the second-level cache after four tiles, or eight.
func (f *function) callNext(regs ...string) {
	if len(regs) == 1 {
		f.op("PREFETCHT1", "("+regs[0]+")")
		f.op("PREFETCHT1", at(regs[0], 64))
		f.advance(128, regs[0])
		return
	}
	for _, reg := range regs {
		f.op("PREFETCHT1", "("+reg+")")
		f.advance(64, reg)
	}
}

// gemmSums computes the sums of one tile.
func (f *function) gemmSums(mr int) {
	const unroll = 4
	element := func(i, k int) string { return at("AX", 4*(k*mr+i)) }
	f.gemmStart(mr)
	f.tileEnd(mr, "R15")
	f.integer("kc", "CX")
	f.op("MOVQ", "R10", "AX")
	f.op("MOVQ", "CX", "R9")
	f.op("SHRQ", "$2", "R9")
	f.times("R9", func() {
		f.callNext("R13")
		f.callTile("SI", "R15", "DX")
		for k := range unroll {
			f.gemmStep(mr, k, element)
		}
		f.advance(unroll*mr*4, "AX")
		f.advance(unroll*2*f.width(), "BX")
	})
	f.op("ANDQ", fmt.Sprintf("$%d", unroll-1), "CX")
	f.times("CX", func() {
		f.gemmStep(mr, 0, element)
		f.advance(mr*4, "AX")
		f.advance(2*f.width(), "BX")
	})
}

// gemmStore adds init, stores the tile and moves on to the one below.
func (f *function) gemmStore(mr int) {
	store := f.label()
	f.op("TESTQ", "DI", "DI")
	f.op("JZ", store)
	for i := range mr {
		f.op("VADDPS", "(DI)", f.v(2*i), f.v(2*i))
		f.op("VADDPS", at("DI", f.width()), f.v(2*i+1), f.v(2*i+1))
		f.op("ADDQ", "R8", "DI")
	}
	f.place(store)
	for i := range mr {
		f.op("VMOVUPS", f.v(2*i), "(DX)")
		f.op("VMOVUPS", f.v(2*i+1), at("DX", f.width()))
		f.op("ADDQ", "SI", "DX")
	}
}

// gemmStep is step k of the unrolled loop; element says where A's are.
func (f *function) gemmStep(mr, k int, element func(i, k int) string) {
	b0, b1 := 2*f.mr, 2*f.mr+1
	f.op("VMOVUPS", at("BX", 2*k*f.width()), f.v(b0))
	f.op("VMOVUPS", at("BX", (2*k+1)*f.width()), f.v(b1))
	f.gemmRow(mr, func(i int) string { return element(i, k) }, nil)
}

// gemmRow multiplies the row of B that is loaded by mr elements of A. loaded, if not nil, is told the register of each.
func (f *function) gemmRow(mr int, element func(i int) string, loaded func(i, a int)) {
	b0, b1 := 2*f.mr, 2*f.mr+1
	for i := range mr {
		a := 2*f.mr + 2 + i%2
		f.op("VBROADCASTSS", element(i), f.v(a))
		if loaded != nil {
			loaded(i, a)
		}
		f.multiplyAdd(b0, a, 2*i)
		f.multiplyAdd(b1, a, 2*i+1)
	}
}
