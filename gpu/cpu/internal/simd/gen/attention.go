package main

// emitAttention writes what goes down blocks [rows][NR], of which a row is two registers.
func emitAttention(f *file) {
	f.function("columnMax", "m, s []float32, scale float32", false, func(f *function) {
		f.broadcast("scale", 4)
		f.pointer("m", "BX")
		f.both(func(i int) { f.op("VMOVUPS", at("BX", i*f.width()), f.v(i)) })
		f.rows([]string{"s"}, func(i int, p []string) {
			f.op("VMULPS", p[0], f.v(4), f.v(2+i))
			f.op("VMAXPS", f.v(2+i), f.v(i), f.v(i))
		})
		f.both(func(i int) { f.op("VMOVUPS", f.v(i), at("BX", i*f.width())) })
		f.ret()
	})
	f.function("columnExp", "s []float32, scale float32, m, sum []float32", false, func(f *function) {
		f.loadConstants()
		f.broadcast("scale", 4)
		f.pointer("m", "BX")
		f.pointer("sum", "DX")
		f.both(func(i int) {
			f.op("VMOVUPS", at("DX", i*f.width()), f.v(i))
			f.op("VMOVUPS", at("BX", i*f.width()), f.v(2+i))
		})
		f.rows([]string{"s"}, func(i int, p []string) {
			x := 5 + 4*i
			if !f.wide() {
				x = 5
			}
			f.op("VMOVUPS", p[0], f.v(x))
			f.op("VFMSUB213PS", f.v(2+i), f.v(4), f.v(x))
			f.exp(x, x+1, x+2, x+3)
			f.op("VMOVUPS", f.v(x), p[0])
			f.op("VADDPS", f.v(x), f.v(i), f.v(i))
		})
		f.both(func(i int) { f.op("VMOVUPS", f.v(i), at("DX", i*f.width())) })
		f.ret()
	})
	f.function("columnScale", "s, f []float32", false, func(f *function) {
		f.pointer("f", "BX")
		f.both(func(i int) { f.op("VMOVUPS", at("BX", i*f.width()), f.v(i)) })
		f.rows([]string{"s"}, func(i int, p []string) {
			f.op("VMULPS", p[0], f.v(i), f.v(2+i))
			f.op("VMOVUPS", f.v(2+i), p[0])
		})
		f.ret()
	})
	f.function("scoreBackward", "s, dp []float32, scale float32, lse, delta []float32", false, (*function).scoreBackward)
}

func (f *function) scoreBackward() {
	f.loadConstants()
	f.broadcast("scale", 4)
	f.pointer("lse", "BX")
	f.pointer("delta", "DX")
	f.both(func(i int) {
		f.op("VMOVUPS", at("BX", i*f.width()), f.v(i))
		f.op("VMOVUPS", at("DX", i*f.width()), f.v(2+i))
	})
	f.rows([]string{"s", "dp"}, func(i int, p []string) {
		x := 5
		f.op("VMOVUPS", p[0], f.v(x))
		f.op("VFMSUB213PS", f.v(i), f.v(4), f.v(x))
		f.exp(x, x+1, x+2, x+3)
		f.op("VMOVUPS", f.v(x), p[0])
		f.op("VMULPS", f.v(4), f.v(x), f.v(x))
		f.op("VMOVUPS", p[1], f.v(x+4))
		f.op("VSUBPS", f.v(2+i), f.v(x+4), f.v(x+4))
		f.op("VMULPS", f.v(x+4), f.v(x), f.v(x))
		f.op("VMOVUPS", f.v(x), p[1])
	})
	f.ret()
}

// both runs body for each of the two registers of a row.
func (f *function) both(body func(i int)) {
	body(0)
	body(1)
}

// rows runs body for both halves of every row of the blocks.
func (f *function) rows(slices []string, body func(i int, p []string)) {
	regs := []string{"AX", "SI"}[:len(slices)]
	for i, s := range slices {
		f.pointer(s, regs[i])
	}
	f.count(slices[0])
	f.chunks(2*f.width(), func() {
		f.both(func(i int) {
			p := make([]string, len(regs))
			for j, r := range regs {
				p[j] = at(r, i*f.width())
			}
			body(i, p)
		})
		f.advance(2*f.width(), regs...)
	})
}
