package main

import "fmt"

// wideRows is how many rows of A wideGemm takes at a time: fewer than a set of the first-level cache has lines.
const wideRows = 7

// emitWide writes rowsGemm for rows that are a power of two apart: of 14 of them most would drive one another out of the
// first-level cache. A tile is seven rows high and two panels wide. Only AVX-512 has registers for that, as it multiplies
// by an element of A without loading it into one.
func emitWide(f *file) {
	const params = "kc, n int, a []float32, lda int, b []float32, step int, c []float32, ldc int, init []float32, ldi int"
	f.function("wideGemm", params, false, (*function).wideGemm)
}

func (f *function) wideGemm() {
	const unroll = 4
	rows := []string{"AX", "R8", "R9"}
	f.stride("lda", "R11")
	f.integer("n", "R12")
	f.pointer("b", "R13") // what the next two panels begin with, in two registers
	f.stride("step", "DI")
	f.op("LEAQ", "(R13)(DI*2)", "R13")
	f.op("ADDQ", "R13", "DI")
	f.times("R12", func() {
		f.pointer("a", "AX")
		f.pointer("b", "BX")
		f.stride("step", "R10")
		f.op("ADDQ", "BX", "R10")
		f.pointer("c", "DX")
		f.stride("ldc", "SI")
		for i := range 4 * wideRows {
			f.clear(i)
		}
		f.op("MOVQ", "DX", "R14")
		f.tileEnd(wideRows, "R15")
		for i := 1; i < len(rows); i++ {
			f.op("LEAQ", "("+rows[i-1]+")(R11*2)", rows[i])
			f.op("ADDQ", "R11", rows[i])
		}
		f.integer("kc", "CX")
		f.op("SHRQ", "$2", "CX")
		f.times("CX", func() {
			f.callNext("R13", "DI")
			f.callWide()
			for k := range unroll {
				f.wideStep(rows, k)
			}
			f.advance(unroll*4, rows...)
			f.advance(unroll*2*f.width(), "BX", "R10")
		})
		f.integer("kc", "CX")
		f.op("ANDQ", fmt.Sprintf("$%d", unroll-1), "CX")
		f.times("CX", func() {
			f.wideStep(rows, 0)
			f.advance(4, rows...)
			f.advance(2*f.width(), "BX", "R10")
		})
		f.wideStore()
		f.pointer("a", "AX")
		f.op("IMUL3Q", fmt.Sprintf("$%d", wideRows), "R11", "R9")
		f.op("ADDQ", "R9", "AX")
		f.keep("AX", "a")
	})
	f.ret()
}

// callWide is callTile for a tile of four registers.
func (f *function) callWide() {
	for line := range 4 {
		f.op("PREFETCHT0", at("R14", 64*line))
	}
	f.op("PREFETCHT0", at("R14", 4*f.width()-4))
	f.op("ADDQ", "SI", "R14")
	f.op("CMPQ", "R14", "R15")
	f.op("CMOVQEQ", "DX", "R14")
}

// wideStep is step k of an unrolled loop.
func (f *function) wideStep(rows []string, k int) {
	const b = 4 * wideRows
	for j := range 4 {
		f.op("VMOVUPS", at([]string{"BX", "R10"}[j/2], (2*k+j%2)*f.width()), f.v(b+j))
	}
	for i := range wideRows {
		element := at(rows[i/3], 4*k)
		if i%3 > 0 {
			element += fmt.Sprintf("(R11*%d)", i%3)
		}
		for j := range 4 {
			f.op("VFMADD231PS.BCST", element, f.v(b+j), f.v(4*i+j))
		}
	}
}

// wideStore is gemmStore for a tile of four registers, which are free afterwards; c and init go on to the next one.
func (f *function) wideStore() {
	store := f.label()
	f.pointer("init", "R8")
	f.stride("ldi", "R9")
	f.op("TESTQ", "R8", "R8")
	f.op("JZ", store)
	for i := range wideRows {
		for j := range 4 {
			f.op("VADDPS", at("R8", j*f.width()), f.v(4*i+j), f.v(4*i+j))
		}
		f.op("ADDQ", "R9", "R8")
	}
	f.keep("R8", "init")
	f.place(store)
	for i := range wideRows {
		for j := range 4 {
			f.op("VMOVUPS", f.v(4*i+j), at("DX", j*f.width()))
		}
		f.op("ADDQ", "SI", "DX")
	}
	f.keep("DX", "c")
}
