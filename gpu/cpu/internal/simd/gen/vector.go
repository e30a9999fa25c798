package main

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
		f.fold("VMAXPS", 0, 1)
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
		f.fold("VADDPS", 0, 1)
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
	f.fold("VADDPS", 0, 1)
	f.returns(0)
}

// fold combines the lanes of register x into its lowest one by halves and uses register t.
func (f *function) fold(op string, x, t int) {
	half := isa{reg: "Y"}
	quarter := isa{reg: "X"}
	if f.isa == avx512 {
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

// dotRows takes four rows of w at a time; their number is a multiple of four, and x of a register.
func (f *function) dotRows() {
	const rows = 4
	f.pointer("out", "DI")
	f.op("MOVQ", "out_len+8(FP)", "R12")
	f.op("SHRQ", "$2", "R12")
	f.pointer("w", "R8")
	f.stride("ldw", "SI")
	f.times("R12", func() {
		f.pointer("x", "AX")
		f.count("x")
		row := []string{"R8", "R9", "R10", "R11"}
		for i := 1; i < rows; i++ {
			f.op("LEAQ", "("+row[i-1]+")(SI*1)", row[i])
		}
		f.op("LEAQ", "(R11)(SI*1)", "R13")
		for i := range 2 * rows {
			f.clear(i)
		}
		f.chunks(2*f.width(), func() {
			for half := range 2 {
				f.op("VMOVUPS", at("AX", half*f.width()), f.v(8+half))
				for i, r := range row {
					f.op("VFMADD231PS", at(r, half*f.width()), f.v(8+half), f.v(2*i+half))
				}
			}
			f.advance(2*f.width(), append(row, "AX")...)
		})
		f.chunks(f.width(), func() {
			f.op("VMOVUPS", "(AX)", f.v(8))
			for i, r := range row {
				f.op("VFMADD231PS", "("+r+")", f.v(8), f.v(2*i))
			}
			f.advance(f.width(), append(row, "AX")...)
		})
		for i := range rows {
			f.op("VADDPS", f.v(2*i+1), f.v(2*i), f.v(2*i))
			f.fold("VADDPS", 2*i, 10)
			f.op("VMOVSS", (&isa{reg: "X"}).v(2*i), at("DI", 4*i))
		}
		f.advance(4*rows, "DI")
		f.op("MOVQ", "R13", "R8")
	})
	f.ret()
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
