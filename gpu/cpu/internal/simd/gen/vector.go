package main

import "fmt"

// probeSums is how many independent sums the probe keeps: more than the latency of an FMA times the units for it.
const probeSums = 12

// emitReductions writes what turns rows into a number: four running results hide the latency of the additions.
func emitReductions(f *file) {
	f.function("dot", "x, y []float32", true, func(f *function) {
		f.reduce([]string{"x", "y"}, func(sum, tmp int, ptr []string, offset int) {
			f.op("VMOVUPS", at(ptr[0], offset), f.v(tmp))
			f.op("VFMADD231PS", at(ptr[1], offset), f.v(tmp), f.v(sum))
		})
	})
	f.function("dot3", "x, y, z []float32", true, func(f *function) {
		f.reduce([]string{"x", "y", "z"}, func(sum, tmp int, ptr []string, offset int) {
			f.op("VMOVUPS", at(ptr[0], offset), f.v(tmp))
			f.op("VMULPS", at(ptr[1], offset), f.v(tmp), f.v(tmp))
			f.op("VFMADD231PS", at(ptr[2], offset), f.v(tmp), f.v(sum))
		})
	})
	f.function("max", "x []float32", true, func(f *function) {
		f.pointer("x", "AX")
		f.count("x")
		f.op("VMOVUPS", "(AX)", f.v(0))
		f.chunks(f.width(), func() {
			f.op("VMAXPS", "(AX)", f.v(0), f.v(0))
			f.advance(f.width(), "AX")
		})
		f.fold("VMAXPS", 1)
		f.returns(0)
	})
	f.function("expSum", "x []float32, scale, shift float32", true, func(f *function) {
		f.loadConstants()
		f.broadcast("scale", 1)
		f.broadcast("shift", 2)
		f.clear(0)
		f.pointer("x", "AX")
		f.count("x")
		f.chunks(f.width(), func() {
			f.op("VMOVUPS", "(AX)", f.v(3))
			f.op("VFMSUB213PS", f.v(2), f.v(1), f.v(3))
			f.exp(3, 4, 5, 6)
			f.op("VMOVUPS", f.v(3), "(AX)")
			f.op("VADDPS", f.v(3), f.v(0), f.v(0))
			f.advance(f.width(), "AX")
		})
		f.fold("VADDPS", 1)
		f.returns(0)
	})
	f.function("probe", "n int", false, func(f *function) {
		f.integer("n", "CX")
		for i := range probeSums {
			f.clear(i)
		}
		f.times("CX", func() {
			for i := range probeSums {
				f.op("VFMADD231PS", f.v(probeSums), f.v(probeSums), f.v(i))
			}
		})
		f.ret()
	})
	f.function("dotRows", "out, x, w []float32, ldw int", false, (*function).dotRows)
	f.function("dotBlock", "out []float32, ldo int, x []float32, ldx int, w []float32, ldw, k, n int", false,
		(*function).dotBlock)
	f.function("addRows", "out, p, v []float32, ldv int", false, (*function).addRows)
}

// reduce writes a sum over slices of equal length, a multiple of a register. term adds what is at an offset to a sum.
func (f *function) reduce(slices []string, term func(sum, tmp int, ptr []string, offset int)) {
	const sums = 4
	ptr := []string{"AX", "BX", "DX"}[:len(slices)]
	for i, s := range slices {
		f.pointer(s, ptr[i])
	}
	f.count(slices[0])
	for i := range sums {
		f.clear(i)
	}
	f.chunks(sums*f.width(), func() {
		for i := range sums {
			term(i, sums+i, ptr, i*f.width())
		}
		f.advance(sums*f.width(), ptr...)
	})
	f.chunks(f.width(), func() {
		term(0, sums, ptr, 0)
		f.advance(f.width(), ptr...)
	})
	f.op("VADDPS", f.v(1), f.v(0), f.v(0))
	f.op("VADDPS", f.v(3), f.v(2), f.v(2))
	f.op("VADDPS", f.v(2), f.v(0), f.v(0))
	f.fold("VADDPS", 1)
	f.returns(0)
}

// fold combines the lanes of register 0 into its lowest one by halves and uses register t.
func (f *function) fold(op string, t int) {
	const x = 0
	half := isa{reg: "Y"}
	quarter := isa{reg: "X"}
	if f.wide() {
		f.op("VEXTRACTF64X4", "$1", f.v(x), half.v(t))
		f.op(op, half.v(t), half.v(x), half.v(x))
	}
	f.op("VEXTRACTF128", "$1", half.v(x), quarter.v(t))
	f.op(op, quarter.v(t), quarter.v(x), quarter.v(x))
	for _, order := range []string{"$0x4e", "$0xb1"} {
		f.op("VPERMILPS", order, quarter.v(x), quarter.v(t))
		f.op(op, quarter.v(t), quarter.v(x), quarter.v(x))
	}
}

// dotRows goes through one row of w after the other, which is what the processor foresees best: in decoding they come from
// memory. x is a multiple of a register.
func (f *function) dotRows() {
	f.pointer("out", "DI")
	f.op("MOVQ", "out_len+8(FP)", "R12")
	f.pointer("w", "R8")
	f.stride("ldw", "SI")
	f.times("R12", func() {
		f.pointer("x", "AX")
		f.count("x")
		f.op("MOVQ", "R8", "R9")
		f.clear(0)
		f.clear(1)
		f.chunks(2*f.width(), func() {
			for half := range 2 {
				f.op("VMOVUPS", at("AX", half*f.width()), f.v(8+half))
				f.op("VFMADD231PS", at("R9", half*f.width()), f.v(8+half), f.v(half))
			}
			f.advance(2*f.width(), "R9", "AX")
		})
		f.chunks(f.width(), func() {
			f.op("VMOVUPS", "(AX)", f.v(8))
			f.op("VFMADD231PS", "(R9)", f.v(8), f.v(0))
			f.advance(f.width(), "R9", "AX")
		})
		f.op("VADDPS", f.v(1), f.v(0), f.v(0))
		f.fold("VADDPS", 10)
		f.op("VMOVSS", (&isa{reg: "X"}).v(0), "(DI)")
		f.advance(4, "DI")
		f.op("ADDQ", "SI", "R8")
	})
	f.ret()
}

// dotBlock multiplies a quarter of a register of rows of x with n times four rows of w, one row of these after the other as
// dotRows does; k is a multiple of a register. Each of the sums has a register, and in the end one register takes the
// totals of all.
func (f *function) dotBlock() {
	const wide = 4
	high := f.lanes / wide
	f.pointer("out", "DI")
	f.stride("ldo", "SI")
	f.stride("ldx", "DX")
	f.pointer("w", "R8")
	f.stride("ldw", "R9")
	f.integer("n", "R12")
	x, w := []string{"AX", "BX", "R10", "R11"}[:high], "R13"
	f.times("R12", func() {
		for i := range high * wide {
			f.clear(i)
		}
		for j := range wide {
			f.pointer("x", "AX")
			for i := 1; i < high; i++ {
				f.op("LEAQ", "("+x[i-1]+")(DX*1)", x[i])
			}
			f.op("MOVQ", "R8", w)
			f.stride("k", "CX")
			f.chunks(f.width(), func() {
				row := f.v(high * wide)
				f.op("VMOVUPS", "("+w+")", row)
				for i, r := range x {
					f.op("VFMADD231PS", "("+r+")", row, f.v(i*wide+j))
				}
				f.advance(f.width(), append(x[:high:high], w)...)
			})
			f.op("ADDQ", "R9", "R8")
		}
		f.totals(high)
		f.op("MOVQ", "DI", "AX")
		for i := range high {
			switch {
			case i == 0:
				f.op("VMOVUPS", "X0", "(AX)")
			case f.wide():
				f.op("VEXTRACTF32X4", fmt.Sprintf("$%d", i), "Z0", "(AX)")
			default:
				f.op("VEXTRACTF128", fmt.Sprintf("$%d", i), "Y0", "(AX)")
			}
			f.op("ADDQ", "SI", "AX")
		}
		f.advance(4*wide, "DI")
	})
	f.ret()
}

// totals adds up the lanes of registers 0 … 4·high−1, each; the totals of registers 4·i … 4·i+3 go to quarter, or half,
// i of register 0. Neighbours are interleaved and added, until each register holds the partial sums of four; then the
// parts of these are.
func (f *function) totals(high int) {
	t, u := f.v(4*high), f.v(4*high+1)
	sum := func(low, up string, a, b, to int) {
		f.op(low, f.v(b), f.v(a), t)
		f.op(up, f.v(b), f.v(a), u)
		f.op("VADDPS", u, t, f.v(to))
	}
	for i := range 2 * high {
		sum("VUNPCKLPS", "VUNPCKHPS", 2*i, 2*i+1, i)
	}
	for i := range high {
		sum("VUNPCKLPD", "VUNPCKHPD", 2*i, 2*i+1, i)
	}
	if !f.wide() {
		sum("VPERM2F128 $0x20,", "VPERM2F128 $0x31,", 0, 1, 0)
		return
	}
	sum("VSHUFF32X4 $0x88,", "VSHUFF32X4 $0xdd,", 0, 1, 0)
	sum("VSHUFF32X4 $0x88,", "VSHUFF32X4 $0xdd,", 2, 3, 1)
	sum("VSHUFF32X4 $0x88,", "VSHUFF32X4 $0xdd,", 0, 1, 0)
}

// addRows keeps up to four registers of out while it goes down the rows.
func (f *function) addRows() {
	f.pointer("out", "DI")
	f.count("out")
	f.pointer("v", "BX")
	f.stride("ldv", "SI")
	for _, n := range []int{4, 1} {
		f.chunks(n*f.width(), func() {
			for i := range n {
				f.op("VMOVUPS", at("DI", i*f.width()), f.v(i))
			}
			f.op("MOVQ", "BX", "DX")
			f.pointer("p", "AX")
			f.op("MOVQ", "p_len+32(FP)", "R8")
			f.times("R8", func() {
				f.op("VBROADCASTSS", "(AX)", f.v(4))
				for i := range n {
					f.op("VFMADD231PS", at("DX", i*f.width()), f.v(4), f.v(i))
				}
				f.advance(4, "AX")
				f.op("ADDQ", "SI", "DX")
			})
			for i := range n {
				f.op("VMOVUPS", f.v(i), at("DI", i*f.width()))
			}
			f.advance(n*f.width(), "DI", "BX")
		})
	}
	f.ret()
}
