package main

import (
	"fmt"
	"strings"
)

// Products of bfloat16 work on pairs: two numbers that follow one another in depth lie in the 32 bits of one float32, so
// that panels, tiles and what moves them are those of float32, half as deep. VDPBF16PS multiplies both halves of a pair
// with those of another and adds both products to a float32 sum; it takes denormal numbers for zero.
//
// Go's assembler does not know these instructions. Their bytes are EVEX prefixes (Intel's manual, volume 2, section
// 2.7), an opcode and the registers.

// The prefixes pp of EVEX.
const (
	prefixF3 = 2
	prefixF2 = 3
)

// evex writes an instruction of the map 0F38 on whole 512-bit registers: dst = op(first, second), where second is what
// Intel writes last.
func (f *function) evex(comment string, prefix, opcode, dst, first, second int) {
	inverted := func(register, bit int) int { return ^register >> bit & 1 }
	code := []int{
		0x62,
		inverted(dst, 3)<<7 | inverted(second, 4)<<6 | inverted(second, 3)<<5 | inverted(dst, 4)<<4 | 2,
		^first&15<<3 | 1<<2 | prefix,
		2<<5 | inverted(first, 4)<<3,
		opcode,
		3<<6 | dst&7<<3 | second&7,
	}
	text := make([]string, len(code))
	for i, b := range code {
		text[i] = fmt.Sprintf("BYTE $0x%02x", b)
	}
	fmt.Fprintf(&f.text, "\t%s // %s Z%d, Z%d, Z%d\n", strings.Join(text, "; "), comment, second, first, dst)
}

// multiplyAdd adds a·b to a sum, all registers by number.
func (f *function) multiplyAdd(b, a, sum int) {
	if f.pairs {
		f.evex("VDPBF16PS", prefixF3, 0x52, sum, a, b)
	} else {
		f.op("VFMADD231PS", f.v(b), f.v(a), f.v(sum))
	}
}

// round2 rounds registers 0 and 1 to bfloat16, into the lower and the upper half of register 2.
func (f *function) round2() { f.evex("VCVTNE2PS2BF16", prefixF2, 0x72, 2, 1, 0) }

// interleaveTable tells VPERMW to take from the two halves of a register in turn.
var interleaveTable = func() string {
	var text strings.Builder
	text.WriteByte('\n')
	for i := range 16 {
		fmt.Fprintf(&text, "DATA interleave<>+%d(SB)/4, $%#08x\n", 4*i, (16+i)<<16|i)
	}
	text.WriteString("GLOBL interleave<>(SB), RODATA|NOPTR, $64\n")
	return text.String()
}()

// emitPairs writes what makes pairs.
func emitPairs(f *file) {
	f.function("round", blockParams, false, (*function).round)
	f.function("pairWide", "dst []float32, step, ldd int, src []float32, lds, rows, pieces int", false, func(f *function) {
		f.interleaved()
		f.split(2, func() {
			for half := range 2 {
				f.op("VMOVUPS", at("AX", half*f.width()), f.v(0))
				f.op("VMOVUPS", at("AX", half*f.width())+"(DX*1)", f.v(1))
				f.round2()
				f.op("VPERMW", f.v(2), f.v(31), f.v(2))
				f.op("VMOVUPS", f.v(2), at("R12", half*f.width()))
			}
			f.advance(2*f.width(), "AX")
		})
	})
	f.function("pairNarrow", "dst []float32, step, ldd int, src []float32, lds, rows, pieces, width int", false, func(f *function) {
		f.interleaved()
		f.integer("width", "R13")
		f.mask("R13", "K1")
		f.op("SHLQ", "$2", "R13")
		f.split(2, func() {
			f.op("VMOVUPS.Z", "(AX)", "K1", f.v(0))
			f.op("VMOVUPS.Z", "(AX)(DX*1)", "K1", f.v(1))
			f.round2()
			f.op("VPERMW", f.v(2), f.v(31), f.v(2))
			f.op("VMOVUPS", f.v(2), "K1", "(R12)")
			f.op("ADDQ", "R13", "AX")
		})
	})
}

func (f *function) interleaved() { f.op("VMOVUPS", "interleave<>(SB)", f.v(31)) }

// round rounds rows to pairs; of an odd last number the other half is 0.
func (f *function) round() {
	f.pointer("dst", "DI")
	f.stride("ldd", "SI")
	f.pointer("src", "BX")
	f.stride("lds", "DX")
	f.integer("rows", "R8")
	f.integer("cols", "R9")
	f.op("ANDQ", fmt.Sprintf("$%d", 2*f.lanes-1), "R9") // what remains: 16 numbers at most in each of two registers
	f.op("MOVQ", "R9", "R12")
	f.least("R12", f.lanes)
	f.mask("R12", "K1")
	f.op("SUBQ", "R9", "R12")
	f.op("NEGQ", "R12")
	f.mask("R12", "K2")
	f.op("MOVQ", "R9", "R12")
	f.op("INCQ", "R12")
	f.op("SHRQ", "$1", "R12")
	f.mask("R12", "K3")
	f.times("R8", func() {
		f.op("MOVQ", "BX", "AX")
		f.op("MOVQ", "DI", "R12")
		f.stride("cols", "CX")
		f.chunks(2*f.width(), func() {
			f.op("VMOVUPS", "(AX)", f.v(0))
			f.op("VMOVUPS", at("AX", f.width()), f.v(1))
			f.round2()
			f.op("VMOVUPS", f.v(2), "(R12)")
			f.advance(2*f.width(), "AX")
			f.advance(f.width(), "R12")
		})
		f.op("VMOVUPS.Z", "(AX)", "K1", f.v(0))
		f.op("VMOVUPS.Z", at("AX", f.width()), "K2", f.v(1))
		f.round2()
		f.op("VMOVUPS", f.v(2), "K3", "(R12)")
		f.op("ADDQ", "DX", "BX")
		f.op("ADDQ", "SI", "DI")
	})
	f.ret()
}

// least lowers a register to a limit.
func (f *function) least(reg string, limit int) {
	below := f.label()
	f.op("CMPQ", reg, fmt.Sprintf("$%d", limit))
	f.op("JLE", below)
	f.op("MOVQ", fmt.Sprintf("$%d", limit), reg)
	f.place(below)
}
