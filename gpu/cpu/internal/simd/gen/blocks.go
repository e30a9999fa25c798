package main

import (
	"fmt"
	"strings"
)

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

// tailMasks writes a table called name to take masks from, which AVX-512 does not need: a register of ones, then one of
// zeros.
func (s *isa) tailMasks(name string) string {
	if s.wide() {
		return ""
	}
	var text strings.Builder
	for i := range 2 * s.lanes {
		fmt.Fprintf(&text, "DATA %s%s<>+%d(SB)/4, $%d\n", name, s.suffix, 4*i, i/s.lanes-1)
	}
	fmt.Fprintf(&text, "GLOBL %s%s<>(SB), RODATA|NOPTR, $%d\n", name, s.suffix, 8*s.lanes)
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
