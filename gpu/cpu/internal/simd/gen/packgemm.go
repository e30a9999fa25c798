package main

import "fmt"

// packGemm is gemm for one tile of mr rows with A, B or both where they lie, [kc][mr] and [kc][NR] with rows lda and ldb
// apart, and packs them on the way: the stores have room beside the multiplications. Rows to come are called for some
// while before, as each may lie in another page; towards the end they are the first of the panel to the right.
type packGemm struct {
	*function
	a, b bool // which of both is packed
}

// How many steps of the depth a loop has, and how many rows before their use rows are called for.
const packUnroll, packBefore = 4, 96

func (f packGemm) emit() {
	f.start()
	f.integer("kc", "CX")
	f.op("SHRQ", "$2", "CX")
	last := f.label()
	f.op("SUBQ", fmt.Sprintf("$%d", packBefore/packUnroll), "CX")
	f.op("JLE", last)
	f.rows()
	f.place(last)
	f.op("ADDQ", fmt.Sprintf("$%d", packBefore/packUnroll), "CX")
	if f.a {
		f.nextPanel("R12", "DI", 4*f.mr)
	}
	if f.b {
		f.nextPanel("R11", "R13", 2*f.width())
	}
	f.rows()
	f.integer("kc", "CX")
	f.op("ANDQ", fmt.Sprintf("$%d", packUnroll-1), "CX")
	f.times("CX", func() { f.steps(1) })
	f.pointer("init", "DI")
	f.stride("ldi", "R8")
	f.gemmStore(f.mr)
	f.ret()
}

// start sets the registers: AX and BX point to what is read, R9 and R10 to where A and B are packed; R12 and R11 are lda
// and ldb, DI and R13 how far from AX and BX the rows are that are called for.
func (f packGemm) start() {
	f.pointer("a", "AX")
	f.pointer("b", "BX")
	f.pointer("c", "DX")
	f.stride("ldc", "SI")
	f.clearTile(f.mr)
	f.tileEnd(f.mr, "R15")
	if f.a {
		f.pointer("packedA", "R9")
		f.stride("lda", "R12")
		f.op("IMUL3Q", fmt.Sprintf("$%d", packBefore), "R12", "DI")
	}
	if f.b {
		f.pointer("packedB", "R10")
		f.stride("ldb", "R11")
		f.op("IMUL3Q", fmt.Sprintf("$%d", packBefore), "R11", "R13")
	}
}

// rows runs CX loops.
func (f packGemm) rows() {
	f.times("CX", func() {
		f.callTile("SI", "R15", "DX")
		f.steps(packUnroll)
	})
}

// steps writes n steps of the depth, and moves on.
func (f packGemm) steps(n int) {
	for k := range n {
		f.loadB(k)
		f.multiplyA(k)
	}
	panelA, panelB := "AX", "BX" // what is read or written one panel row after the other
	if f.a {
		panelA = "R9"
	}
	if f.b {
		panelB = "R10"
	}
	f.advance(n*4*f.mr, panelA)
	f.advance(n*2*f.width(), panelB)
}

// loadB loads, and packs, the row of B of step k.
func (f packGemm) loadB(k int) {
	b0, b1 := f.v(2*f.mr), f.v(2*f.mr+1)
	if !f.b {
		f.op("VMOVUPS", at("BX", 2*k*f.width()), b0)
		f.op("VMOVUPS", at("BX", (2*k+1)*f.width()), b1)
		return
	}
	f.op("VMOVUPS", "(BX)", b0)
	f.op("VMOVUPS", at("BX", f.width()), b1)
	f.callRow("BX", "R13", 2*f.width())
	f.op("VMOVUPS", b0, at("R10", 2*k*f.width()))
	f.op("VMOVUPS", b1, at("R10", (2*k+1)*f.width()))
	f.op("ADDQ", "R11", "BX")
}

// multiplyA multiplies with the elements of A of step k, and packs them.
func (f packGemm) multiplyA(k int) {
	if !f.a {
		f.gemmRow(f.mr, func(i int) string { return at("AX", 4*(k*f.mr+i)) }, nil)
		return
	}
	f.callRow("AX", "DI", 4*f.mr)
	f.gemmRow(f.mr, func(i int) string { return at("AX", 4*i) },
		func(i, a int) { f.op("VMOVSS", fmt.Sprintf("X%d", a), at("R9", 4*(k*f.mr+i))) })
	f.op("ADDQ", "R12", "AX")
}

// nextPanel changes a distance that is some rows down to the right by some bytes, and up by kc rows.
func (f packGemm) nextPanel(ld, distance string, right int) {
	f.integer("kc", "R8")
	f.op("IMULQ", ld, "R8")
	f.op("SUBQ", "R8", distance)
	f.advance(right, distance)
}

// callRow calls for the bytes at a distance from a register.
func (f packGemm) callRow(reg, distance string, bytes int) {
	f.op("PREFETCHT1", "("+reg+")("+distance+"*1)")
	f.op("PREFETCHT1", at(reg, bytes-4)+"("+distance+"*1)")
}
