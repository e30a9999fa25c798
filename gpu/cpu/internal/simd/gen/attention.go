package main

import "fmt"

// emitAttention writes what goes along rows of scores.
func emitAttention(f *file) {
	f.function("rowMax", "m, s []float32, ld, cols int", false, (*function).rowMax)
	f.function("rowExp", "s []float32, ld, cols int, scale float32, m, sum []float32", false, (*function).rowExp)
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
	f.function("scoreBackward", "s, dp []float32, ld, cols int, scale float32, lse, delta []float32", false,
		(*function).scoreBackward)
}

func (f *function) rowMax() {
	f.scoreRows("m", []string{"s"}, func() {
		for i := range rowSums {
			f.op("VBROADCASTSS", "(BX)", f.v(i))
		}
	}, func(i int, p []string) {
		f.op("VMAXPS", p[0], f.v(i), f.v(i))
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
	f.scoreRows("m", []string{"s"}, func() {
		for i := range rowSums {
			f.clear(i)
		}
		f.op("VBROADCASTSS", "(BX)", f.v(5))
	}, func(i int, p []string) {
		x := 6
		if f.wide() {
			x += 3 * i
		}
		f.op("VMOVUPS", p[0], f.v(x))
		f.op("VSUBPS", f.v(5), f.v(x), f.v(x))
		f.op("VMULPS", f.v(4), f.v(x), f.v(x))
		f.exp2(x, x+1, x+2, x+3)
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
	f.scoreRows("m", []string{"s"}, func() {
		f.op("VBROADCASTSS", "(BX)", f.v(rowSums))
		f.op("MOVQ", "R10", "R9")
	}, func(i int, p []string) {
		f.op("VMULPS", p[0], f.v(rowSums), f.v(i))
		f.op("VMOVUPS", f.v(i), "(R9)")
		f.advance(f.width(), "R9")
	}, func() {
		f.op("ADDQ", "R11", "R10")
		f.advance(4, "BX")
	})
}

func (f *function) scoreBackward() {
	f.loadConstants2()
	f.broadcast("scale", 2)
	f.op("VMULPS", f.constant2("log2e"), f.v(2), f.v(3))
	f.pointer("delta", "R9")
	f.scoreRows("lse", []string{"s", "dp"}, func() {
		f.op("VBROADCASTSS", "(BX)", f.v(0))
		f.op("VMULPS", f.constant2("log2e"), f.v(0), f.v(0))
		f.op("VBROADCASTSS", "(R9)", f.v(1))
	}, func(i int, p []string) {
		x := 5
		if f.wide() {
			x = 4 + 4*i
		}
		f.op("VMOVUPS", p[0], f.v(x))
		f.op("VFMSUB213PS", f.v(0), f.v(3), f.v(x))
		f.exp2(x, x+1, x+2, x+3)
		f.op("VMOVUPS", f.v(x), p[0])
		f.op("VMULPS", f.v(2), f.v(x), f.v(x))
		f.op("VMOVUPS", p[1], f.v(x+1))
		f.op("VSUBPS", f.v(1), f.v(x+1), f.v(x+1))
		f.op("VMULPS", f.v(x+1), f.v(x), f.v(x))
		f.op("VMOVUPS", f.v(x), p[1])
	}, func() { f.advance(4, "BX", "R9") })
}

// rowSums is how many running results a row has.
const rowSums = 4

// foldRow combines a row's running results into the lowest lane of register 0.
func (f *function) foldRow(op string) {
	f.op(op, f.v(1), f.v(0), f.v(0))
	f.op(op, f.v(3), f.v(2), f.v(2))
	f.op(op, f.v(2), f.v(0), f.v(0))
	f.fold(op, 0, 1)
}

// scoreRows goes through blocks of scores: rows that are ld apart, as many as the slice called numbers, at BX, has
// elements, and cols columns, a multiple of a register. start and end run for each row, body for each register, with the
// number of the running result that is its.
func (f *function) scoreRows(numbers string, slices []string, start func(), body func(i int, p []string), end func()) {
	base, row := []string{"SI", "DI"}[:len(slices)], []string{"AX", "R8"}[:len(slices)]
	for i, s := range slices {
		f.pointer(s, base[i])
	}
	f.pointer(numbers, "BX")
	f.stride("ld", "DX")
	f.op("MOVQ", fmt.Sprintf("%s_len+%d(FP)", numbers, f.offsets[numbers]+8), "R12")
	f.times("R12", func() {
		for i := range base {
			f.op("MOVQ", base[i], row[i])
		}
		start()
		f.stride("cols", "CX")
		step := func(n int) {
			f.chunks(n*f.width(), func() {
				for i := range n {
					p := make([]string, len(row))
					for j, r := range row {
						p[j] = at(r, i*f.width())
					}
					body(i, p)
				}
				f.advance(n*f.width(), row...)
			})
		}
		step(rowSums)
		step(1)
		end()
		for i := range base {
			f.op("ADDQ", "DX", base[i])
		}
	})
	f.ret()
}
