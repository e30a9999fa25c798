package main

import (
	"fmt"
	"strings"
)

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
		f.function("packA", placed, false, func(f *function) { f.packGemm(true, false) })
		f.function("packB", placed, false, func(f *function) { f.packGemm(false, true) })
		f.function("packBoth", placed, false, func(f *function) { f.packGemm(true, true) })
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

// packGemm is gemm for one tile of mr rows with A, B or both where they lie, [kc][mr] and [kc][NR] with rows lda and ldb
// apart, and packs them on the way: the stores have room beside the multiplications. Rows to come are called for some
// while before, as each may lie in another page; towards the end they are the first of the panel to the right.
func (f *function) packGemm(packA, packB bool) {
	const unroll, before = 4, 48 // rows
	b0, b1 := 2*f.mr, 2*f.mr+1
	f.pointer("a", "AX")
	f.pointer("b", "BX")
	f.pointer("c", "DX")
	f.stride("ldc", "SI")
	f.clearTile(f.mr)
	f.tileEnd(f.mr, "R15")
	if packA {
		f.pointer("packedA", "R9")
		f.stride("lda", "R12")
		f.op("IMUL3Q", fmt.Sprintf("$%d", before), "R12", "DI")
	}
	if packB {
		f.pointer("packedB", "R10")
		f.stride("ldb", "R11")
		f.op("IMUL3Q", fmt.Sprintf("$%d", before), "R11", "R13")
	}
	step := func(k int) {
		if packB {
			f.op("VMOVUPS", "(BX)", f.v(b0))
			f.op("VMOVUPS", at("BX", f.width()), f.v(b1))
			f.callRow("BX", "R13", 2*f.width())
			f.op("VMOVUPS", f.v(b0), at("R10", 2*k*f.width()))
			f.op("VMOVUPS", f.v(b1), at("R10", (2*k+1)*f.width()))
			f.op("ADDQ", "R11", "BX")
		} else {
			f.op("VMOVUPS", at("BX", 2*k*f.width()), f.v(b0))
			f.op("VMOVUPS", at("BX", (2*k+1)*f.width()), f.v(b1))
		}
		if !packA {
			f.gemmRow(f.mr, func(i int) string { return at("AX", 4*(k*f.mr+i)) }, nil)
			return
		}
		f.callRow("AX", "DI", 4*f.mr)
		f.gemmRow(f.mr, func(i int) string { return at("AX", 4*i) },
			func(i, a int) { f.op("VMOVSS", fmt.Sprintf("X%d", a), at("R9", 4*(k*f.mr+i))) })
		f.op("ADDQ", "R12", "AX")
	}
	steps := func(n int) {
		for k := range n {
			step(k)
		}
		panelA, panelB := "AX", "BX" // what is read or written one panel row after the other
		if packA {
			panelA = "R9"
		}
		if packB {
			panelB = "R10"
		}
		f.advance(n*4*f.mr, panelA)
		f.advance(n*2*f.width(), panelB)
	}
	rows := func() {
		f.times("CX", func() {
			f.callTile("SI", "R15", "DX")
			steps(unroll)
		})
	}
	f.integer("kc", "CX")
	f.op("SHRQ", "$2", "CX")
	last := f.label()
	f.op("SUBQ", fmt.Sprintf("$%d", before/unroll), "CX")
	f.op("JLE", last)
	rows()
	f.place(last)
	f.op("ADDQ", fmt.Sprintf("$%d", before/unroll), "CX")
	if packA {
		f.nextPanel("R12", "DI", 4*f.mr)
	}
	if packB {
		f.nextPanel("R11", "R13", 2*f.width())
	}
	rows()
	f.integer("kc", "CX")
	f.op("ANDQ", fmt.Sprintf("$%d", unroll-1), "CX")
	f.times("CX", func() { steps(1) })
	f.pointer("init", "DI")
	f.stride("ldi", "R8")
	f.gemmStore(f.mr)
	f.ret()
}

// nextPanel changes a distance that is some rows down to the right by some bytes, and up by kc rows.
func (f *function) nextPanel(ld, distance string, right int) {
	f.integer("kc", "R8")
	f.op("IMULQ", ld, "R8")
	f.op("SUBQ", "R8", distance)
	f.advance(right, distance)
}

// callRow calls for the bytes at a distance from a register.
func (f *function) callRow(reg, distance string, bytes int) {
	f.op("PREFETCHT1", "("+reg+")("+distance+"*1)")
	f.op("PREFETCHT1", at(reg, bytes-4)+"("+distance+"*1)")
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

// callNext calls for the two cache lines at reg, of the panel that comes after the one at work, once in four steps of the
// depth: so it is in the second-level cache after four tiles.
func (f *function) callNext(reg string) {
	f.op("PREFETCHT1", "("+reg+")")
	f.op("PREFETCHT1", at(reg, 64))
	f.advance(128, reg)
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

const blockParams = "dst []float32, ldd int, src []float32, lds, rows, cols int"

// emitTranspose writes the transpose of at most eight rows and a multiple of eight columns, with AVX2 for both sets: it
// is as fast as with wider registers, and where rows are a power of two apart, so that all fall on the same few sets of
// the cache, three times as fast. It stores whole registers: what it writes beyond rows, the next column overwrites or
// the caller leaves room for.
//
// With AVX-512, transposeTail takes up to 16 rows and any number of columns, and stores what it must and no more.
func emitTranspose(f *file) {
	if f.wide() {
		f.function("transposeTail", blockParams, false, func(f *function) { f.transpose() })
	} else {
		f.function("transpose", blockParams, false, func(f *function) { f.transpose() })
	}
}

func (f *function) transpose() {
	f.pointer("dst", "DI")
	f.stride("ldd", "SI")
	f.pointer("src", "BX")
	f.stride("lds", "DX")
	f.integer("rows", "R8")
	f.integer("cols", "CX")
	if f.wide() {
		f.mask("R8", "K1")
	}
	loop, done := f.label(), f.label()
	f.place(loop)
	f.op("TESTQ", "CX", "CX")
	f.op("JLE", done)
	if f.wide() {
		f.op("MOVQ", "CX", "R9")
		whole := f.label()
		f.op("CMPQ", "R9", fmt.Sprintf("$%d", f.lanes))
		f.op("JLE", whole)
		f.op("MOVQ", fmt.Sprintf("$%d", f.lanes), "R9")
		f.place(whole)
		f.mask("R9", "K2")
	}
	f.loadRows()
	if f.wide() {
		f.transpose16()
	} else {
		f.transpose8()
	}
	f.advance(f.width(), "BX")
	f.op("SUBQ", fmt.Sprintf("$%d", f.lanes), "CX")
	f.op("JMP", loop)
	f.place(done)
	f.ret()
}

// mask sets the lowest bits of a mask register, as many as count says (at most one register of them).
func (f *function) mask(count, k string) {
	f.op("MOVQ", "CX", "R11")
	f.op("MOVQ", count, "CX")
	f.op("MOVQ", "$1", "R10")
	f.op("SHLQ", "CX", "R10")
	f.op("DECQ", "R10")
	f.op("KMOVW", "R10", k)
	f.op("MOVQ", "R11", "CX")
}

// loadRows loads one register of each row; those that do not exist keep what they hold.
func (f *function) loadRows() {
	loaded := f.label()
	f.op("MOVQ", "BX", "AX")
	for i := range f.lanes {
		if i > 0 {
			f.op("CMPQ", "R8", fmt.Sprintf("$%d", i))
			f.op("JLE", loaded)
		}
		if f.wide() {
			f.op("VMOVUPS.Z", "(AX)", "K2", f.v(i))
		} else {
			f.op("VMOVUPS", "(AX)", f.v(i))
		}
		f.op("ADDQ", "DX", "AX")
	}
	f.place(loaded)
}

// transpose16 turns Z0 … Z15 and stores the 16 columns: pairs of rows are interleaved, then pairs of pairs, which
// leaves 4×4 blocks in the quarters of each register; two rounds of shuffling quarters bring these in order.
func (f *function) transpose16() {
	z := f.v
	for i := 0; i < 16; i += 2 {
		f.op("VUNPCKLPS", z(i+1), z(i), z(16+i))
		f.op("VUNPCKHPS", z(i+1), z(i), z(17+i))
	}
	for i := 0; i < 16; i += 4 {
		f.op("VUNPCKLPD", z(18+i), z(16+i), z(i))
		f.op("VUNPCKHPD", z(18+i), z(16+i), z(i+1))
		f.op("VUNPCKLPD", z(19+i), z(17+i), z(i+2))
		f.op("VUNPCKHPD", z(19+i), z(17+i), z(i+3))
	}
	for c := range 4 {
		f.op("VSHUFF32X4", "$0x88", z(4+c), z(c), z(16+c))
		f.op("VSHUFF32X4", "$0x88", z(12+c), z(8+c), z(20+c))
		f.op("VSHUFF32X4", "$0xdd", z(4+c), z(c), z(24+c))
		f.op("VSHUFF32X4", "$0xdd", z(12+c), z(8+c), z(28+c))
	}
	for c := range 4 {
		f.op("VSHUFF32X4", "$0x88", z(20+c), z(16+c), z(c))
		f.op("VSHUFF32X4", "$0xdd", z(20+c), z(16+c), z(8+c))
		f.op("VSHUFF32X4", "$0x88", z(28+c), z(24+c), z(4+c))
		f.op("VSHUFF32X4", "$0xdd", z(28+c), z(24+c), z(12+c))
	}
	f.storeColumns(0)
}

// transpose8 turns Y0 … Y7 in the same way, with halves instead of quarters.
func (f *function) transpose8() {
	y := f.v
	for i := 0; i < 8; i += 2 {
		f.op("VUNPCKLPS", y(i+1), y(i), y(8+i))
		f.op("VUNPCKHPS", y(i+1), y(i), y(9+i))
	}
	for i := 0; i < 8; i += 4 {
		f.op("VUNPCKLPD", y(10+i), y(8+i), y(i))
		f.op("VUNPCKHPD", y(10+i), y(8+i), y(i+1))
		f.op("VUNPCKLPD", y(11+i), y(9+i), y(i+2))
		f.op("VUNPCKHPD", y(11+i), y(9+i), y(i+3))
	}
	for c := range 4 {
		f.op("VPERM2F128", "$0x20", y(4+c), y(c), y(8+c))
		f.op("VPERM2F128", "$0x31", y(4+c), y(c), y(12+c))
	}
	f.storeColumns(8)
}

// storeColumns stores the columns in the registers from first on.
func (f *function) storeColumns(first int) {
	stored := f.label()
	for c := range f.lanes {
		if f.wide() {
			if c > 0 {
				f.op("CMPQ", "R9", fmt.Sprintf("$%d", c))
				f.op("JLE", stored)
			}
			f.op("VMOVUPS", f.v(first+c), "K1", "(DI)")
		} else {
			f.op("VMOVUPS", f.v(first+c), "(DI)")
		}
		f.op("ADDQ", "SI", "DI")
	}
	f.place(stored)
}

// emitCopy writes what cuts rows into pieces: wide ones of NR columns and narrow ones of at most one register. Piece p of
// row i goes to dst[p·step + i·ldd]. The pieces of a row go one after the other, so that each row is read once.
func emitCopy(f *file) {
	f.function("splitWide", "dst []float32, step, ldd int, src []float32, lds, rows, pieces int", false, func(f *function) {
		f.split(1, func() {
			f.op("VMOVUPS", "(AX)", f.v(0))
			f.op("VMOVUPS", at("AX", f.width()), f.v(1))
			f.op("VMOVUPS", f.v(0), "(R12)")
			f.op("VMOVUPS", f.v(1), at("R12", f.width()))
			f.advance(2*f.width(), "AX")
		})
	})
	params := "dst []float32, step, ldd int, src []float32, lds, rows, pieces, width int"
	f.function("splitNarrow", params, false, func(f *function) {
		f.integer("width", "R13")
		if f.wide() {
			f.mask("R13", "K1")
		} else {
			f.op("LEAQ", "tail"+f.suffix+"<>(SB)", "AX")
			f.op("MOVQ", fmt.Sprintf("$%d", f.lanes), "CX")
			f.op("SUBQ", "R13", "CX")
			f.op("VMOVUPS", "(AX)(CX*4)", f.v(15))
		}
		f.op("SHLQ", "$2", "R13")
		f.split(1, func() {
			f.op("PREFETCHT0", "(AX)(DX*8)") // as rows are short and apart, nobody else does
			if f.wide() {
				f.op("VMOVUPS.Z", "(AX)", "K1", f.v(0))
				f.op("VMOVUPS", f.v(0), "K1", "(R12)")
			} else {
				f.op("VMASKMOVPS", "(AX)", f.v(15), f.v(0))
				f.op("VMASKMOVPS", f.v(0), f.v(15), "(R12)")
			}
			f.op("ADDQ", "R13", "AX")
		})
	})
}

// emitFetch writes what calls rows into the second-level cache, line by line; the last line of a row too if it begins in
// one before.
func emitFetch(f *file) {
	f.function("fetch", "src []float32, lds, rows, cols int", false, func(f *function) {
		f.pointer("src", "BX")
		f.stride("lds", "DX")
		f.integer("rows", "R8")
		f.stride("cols", "R9")
		f.times("R8", func() {
			f.op("LEAQ", "-4(BX)(R9*1)", "DI")
			f.op("PREFETCHT1", "(DI)")
			f.op("MOVQ", "BX", "AX")
			f.op("MOVQ", "R9", "CX")
			f.chunks(64, func() {
				f.op("PREFETCHT1", "(AX)")
				f.advance(64, "AX")
			})
			f.op("ADDQ", "DX", "BX")
		})
		f.ret()
	})
}

// tailMasks writes what splitNarrow takes its mask from, which AVX-512 does not need: a register of ones, then one of
// zeros.
func (s *isa) tailMasks() string {
	if s.wide() {
		return ""
	}
	var text strings.Builder
	for i := range 2 * s.lanes {
		fmt.Fprintf(&text, "DATA tail%s<>+%d(SB)/4, $%d\n", s.suffix, 4*i, i/s.lanes-1)
	}
	fmt.Fprintf(&text, "GLOBL tail%s<>(SB), RODATA|NOPTR, $%d\n", s.suffix, 8*s.lanes)
	return "\n" + text.String()
}

// split runs body for every piece of every row, or group of rows, with the source at AX, which body moves on, and the
// destination at R12. Rows of the source are DX bytes apart.
func (f *function) split(group int, body func()) {
	f.pointer("dst", "DI")
	f.stride("step", "R10")
	f.stride("ldd", "SI")
	f.pointer("src", "BX")
	f.stride("lds", "DX")
	f.integer("rows", "R8")
	f.integer("pieces", "R9")
	f.times("R8", func() {
		f.op("MOVQ", "BX", "AX")
		f.op("MOVQ", "DI", "R12")
		f.op("MOVQ", "R9", "CX")
		f.times("CX", func() {
			body()
			f.op("ADDQ", "R10", "R12")
		})
		for range group {
			f.op("ADDQ", "DX", "BX")
		}
		f.op("ADDQ", "SI", "DI")
	})
	f.ret()
}
