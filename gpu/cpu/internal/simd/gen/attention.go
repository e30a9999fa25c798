package main

import "fmt"

// emitAttention writes what goes along rows of scores.
func emitAttention(f *file) {
	f.function("rowMax", "m, s []float32, ld, cols, seen int", false, (*function).rowMax)
	f.function("rowExp", "s []float32, ld, cols, seen int, scale float32, m, sum []float32", false, (*function).rowExp)
	f.function("rowScale", "dst []float32, ldd int, s []float32, ld, cols int, m []float32", false, (*function).rowScale)
	f.function("logSum", "m, sum []float32, scale float32", false, func(f *function) {
		f.broadcast("scale", 4)
		f.each([]string{"m", "sum"}, func(p []string) {
			f.op("VMOVUPS", p[1], f.v(0))
			f.log(0, 1, 2, 3)
			f.op("VFMADD231PS", p[0], f.v(4), f.v(1))
			f.op("VMOVUPS", f.v(1), p[0])
		})
	})
	f.function("scoreBackward", "s, dp []float32, ld, cols, seen int, scale float32, lse, delta []float32", false,
		(*function).scoreBackward)
	f.function("rowDot", "out, x []float32, ldx int, y []float32, ldy, cols int", false, (*function).rowDot)
}

func (f *function) rowMax() {
	f.seenRows("m", []string{"s"}, false, func() {
		for i := range rowSums {
			f.op("VBROADCASTSS", "(BX)", f.v(i))
		}
	}, func(i int, p []string, last bool) {
		switch {
		case !last:
			f.op("VMAXPS", p[0], f.v(i), f.v(i))
		case f.wide():
			f.op("VMAXPS", p[0], f.v(i), lastMask, f.v(i))
		default:
			f.op("VBLENDVPS", f.v(lastRegister), p[0], f.v(i), f.v(rowSums))
			f.op("VMAXPS", f.v(rowSums), f.v(i), f.v(i))
		}
	}, func() {
		f.foldRow("VMAXPS")
		f.op("VMOVSS", "X0", "(BX)")
		f.advance(4, "BX")
	})
}

func (f *function) rowExp() {
	f.loadConstants2()
	f.broadcast("scale", 4)
	f.op("VMULPS", f.constant2("log2e"), f.v(4), f.v(4))
	f.pointer("sum", "R9")
	f.seenRows("m", []string{"s"}, true, func() {
		for i := range rowSums {
			f.clear(i)
		}
		f.op("VBROADCASTSS", "(BX)", f.v(5))
	}, func(i int, p []string, last bool) {
		x := 6
		if f.wide() {
			x += 3 * i
		}
		f.op("VMOVUPS", p[0], f.v(x))
		f.op("VSUBPS", f.v(5), f.v(x), f.v(x))
		f.op("VMULPS", f.v(4), f.v(x), f.v(x))
		f.exp2(x, x+1, x+2, x+3)
		f.drop(x, last)
		f.op("VMOVUPS", f.v(x), p[0])
		f.op("VADDPS", f.v(x), f.v(i), f.v(i))
	}, func() {
		f.foldRow("VADDPS")
		f.op("VADDSS", "(R9)", "X0", "X0")
		f.op("VMOVSS", "X0", "(R9)")
		f.advance(4, "BX", "R9")
	})
}

func (f *function) rowScale() {
	f.pointer("dst", "R10")
	f.stride("ldd", "R11")
	f.scoreRows("m", []string{"s"}, func(base []string) {
		f.op("VBROADCASTSS", "(BX)", f.v(rowSums))
		f.op("MOVQ", base[0], "AX")
		f.op("MOVQ", "R10", "R9")
		f.stride("cols", "CX")
		f.registers([]string{"AX", "R9"}, func(i int, p []string) {
			f.op("VMULPS", p[0], f.v(rowSums), f.v(i))
			f.op("VMOVUPS", f.v(i), p[1])
		})
		f.op("ADDQ", "R11", "R10")
		f.advance(4, "BX")
	})
}

func (f *function) scoreBackward() {
	f.loadConstants2()
	f.broadcast("scale", 2)
	f.op("VMULPS", f.constant2("log2e"), f.v(2), f.v(3))
	f.pointer("delta", "R9")
	f.seenRows("lse", []string{"s", "dp"}, true, func() {
		f.op("VBROADCASTSS", "(BX)", f.v(0))
		f.op("VMULPS", f.constant2("log2e"), f.v(0), f.v(0))
		f.op("VBROADCASTSS", "(R9)", f.v(1))
	}, func(i int, p []string, last bool) {
		x := 5
		if f.wide() {
			x = 4 + 4*i
		}
		f.op("VMOVUPS", p[0], f.v(x))
		f.op("VFMSUB213PS", f.v(0), f.v(3), f.v(x))
		f.exp2(x, x+1, x+2, x+3)
		f.drop(x, last)
		f.op("VMOVUPS", f.v(x), p[0])
		f.op("VMULPS", f.v(2), f.v(x), f.v(x))
		f.op("VMOVUPS", p[1], f.v(x+1))
		f.op("VSUBPS", f.v(1), f.v(x+1), f.v(x+1))
		f.op("VMULPS", f.v(x+1), f.v(x), f.v(x))
		f.drop(x, last) // what was never computed may be NaN
		f.op("VMOVUPS", f.v(x), p[1])
	}, func() { f.advance(4, "BX", "R9") })
}

// rowDot adds up the products of whole registers of two rows, as reduce does.
func (f *function) rowDot() {
	f.pointer("out", "BX")
	f.op("MOVQ", "out_len+8(FP)", "R12")
	f.pointer("x", "SI")
	f.stride("ldx", "R8")
	f.pointer("y", "DI")
	f.stride("ldy", "R9")
	f.times("R12", func() {
		f.op("MOVQ", "SI", "AX")
		f.op("MOVQ", "DI", "DX")
		f.stride("cols", "CX")
		for i := range rowSums {
			f.clear(i)
		}
		step := func(n int) {
			f.chunks(n*f.width(), func() {
				for i := range n {
					f.op("VMOVUPS", at("AX", i*f.width()), f.v(rowSums+i))
					f.op("VFMADD231PS", at("DX", i*f.width()), f.v(rowSums+i), f.v(i))
				}
				f.advance(n*f.width(), "AX", "DX")
			})
		}
		step(rowSums)
		step(1)
		f.foldRow("VADDPS")
		f.op("VMOVSS", "X0", "(BX)")
		f.advance(4, "BX")
		f.op("ADDQ", "R8", "SI")
		f.op("ADDQ", "R9", "DI")
	})
	f.ret()
}

// rowSums is how many running results a row has.
const rowSums = 4

// foldRow combines a row's running results into the lowest lane of register 0.
func (f *function) foldRow(op string) {
	f.op(op, f.v(1), f.v(0), f.v(0))
	f.op(op, f.v(3), f.v(2), f.v(2))
	f.op(op, f.v(2), f.v(0), f.v(0))
	f.fold(op, 1)
}

// The last register of what a row sees is masked: with AVX-512 by lastMask, else by lastRegister, both of which have ones
// where it sees something.
const (
	lastMask     = "K1"
	lastRegister = 15
	zeroRegister = 14 // of seenRows with AVX2, and with AVX-512 the one below
	zeroWide     = 20
)

// drop clears the lanes of register x that a row does not see, if this is the last register of the row.
func (f *function) drop(x int, last bool) {
	switch {
	case !last:
	case f.wide():
		f.op("VMOVAPS.Z", f.v(x), lastMask, f.v(x))
	default:
		f.op("VANDPS", f.v(lastRegister), f.v(x), f.v(x))
	}
}

// scoreRows goes through blocks of scores: rows that are ld apart, as many as the slice called numbers, at BX, has
// elements. row gets the bases of a row; between rows these registers move on.
func (f *function) scoreRows(numbers string, slices []string, row func(base []string)) {
	base := []string{"SI", "DI"}[:len(slices)]
	for i, s := range slices {
		f.pointer(s, base[i])
	}
	f.pointer(numbers, "BX")
	f.stride("ld", "DX")
	f.op("MOVQ", fmt.Sprintf("%s_len+%d(FP)", numbers, f.offsets[numbers]+8), "R12")
	f.times("R12", func() {
		row(base)
		for i := range base {
			f.op("ADDQ", "DX", base[i])
		}
	})
	f.ret()
}

// registers runs body for each register of the bytes that CX counts, with the number of the running result that is its.
func (f *function) registers(row []string, body func(i int, p []string)) {
	for _, n := range []int{rowSums, 1} {
		f.chunks(n*f.width(), func() {
			for i := range n {
				body(i, offsets(row, i*f.width()))
			}
			f.advance(n*f.width(), row...)
		})
	}
}

// offsets are operands a number of bytes after each of some registers.
func offsets(row []string, bytes int) []string {
	p := make([]string, len(row))
	for i, r := range row {
		p[i] = at(r, bytes)
	}
	return p
}

// seenRows is scoreRows where each row sees one column more than the one before it, up to all. start and end run for each
// row, body for each register that it sees anything of. What follows in the row becomes zeros if clear says so.
func (f *function) seenRows(numbers string, slices []string, clear bool, start func(), body func(i int, p []string, last bool), end func()) {
	row, zero := []string{"AX", "R8"}[:len(slices)], zeroRegister
	if f.wide() {
		zero = zeroWide
	}
	if clear {
		f.clear(zero)
	}
	f.stride("seen", "R13")
	f.stride("cols", "R15")
	f.scoreRows(numbers, slices, func(base []string) {
		for i := range base {
			f.op("MOVQ", base[i], row[i])
		}
		start()
		f.op("MOVQ", "R15", "CX")
		f.op("CMPQ", "R13", "CX")
		f.op("CMOVQLT", "R13", "CX")
		f.maskLast()
		f.registers(row, func(i int, p []string) { body(i, p, false) })
		body(0, offsets(row, 0), true)
		if clear {
			f.clearTo(row, base[0], zero)
		}
		end()
		f.advance(4, "R13")
	})
}

// maskLast sets the mask for the last register, whole or not, of the bytes that CX counts, and takes it from CX.
func (f *function) maskLast() {
	f.op("LEAQ", "-4(CX)", "R14")
	f.op("ANDQ", fmt.Sprintf("$%d", f.width()-4), "R14")
	f.op("SUBQ", "R14", "CX")
	f.op("SUBQ", "$4", "CX")
	f.op("SHRQ", "$2", "R14")
	if f.wide() {
		f.op("INCQ", "R14")
		f.mask("R14", lastMask)
		return
	}
	f.op("NEGQ", "R14")
	f.op("LEAQ", fmt.Sprintf("seen%s<>+%d(SB)", f.suffix, 4*(f.lanes-1)), "R10")
	f.op("VMOVUPS", "(R10)(R14*4)", f.v(lastRegister))
}

// clearTo clears the registers after the one at row, up to the end of the row.
func (f *function) clearTo(row []string, base string, zero int) {
	loop, done := f.label(), f.label()
	f.op("LEAQ", "("+base+")(R15*1)", "R14")
	f.place(loop)
	f.advance(f.width(), row...)
	f.op("CMPQ", row[0], "R14")
	f.op("JGE", done)
	for _, p := range offsets(row, 0) {
		f.op("VMOVUPS", f.v(zero), p)
	}
	f.op("JMP", loop)
	f.place(done)
}
