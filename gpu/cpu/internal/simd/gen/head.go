package main

// emitHead writes what goes down columns of logits.
func emitHead(f *file) {
	f.function("columnExp", "m, sum, s []float32, ld, rows int, scale float32", false, (*function).columnExp)
	f.function("columnScale", "s []float32, ld, rows int, f []float32", false, (*function).columnScale)
}

// columnExp takes two registers of columns at a time, twice: what the first pass has read is then in the first-level cache.
func (f *function) columnExp() {
	const wide, sums, scale, first = 2, 2, 4, 5
	f.loadConstants2()
	f.broadcast("scale", scale)
	f.op("VMULPS", f.constant2("log2e"), f.v(scale), f.v(scale))
	f.pointer("m", "BX")
	f.pointer("sum", "R9")
	f.pointer("s", "SI")
	f.stride("ld", "DX")
	f.count("m")
	down := func(body func(i int, p string)) {
		f.op("MOVQ", "SI", "AX")
		f.integer("rows", "R12")
		f.times("R12", func() {
			for i := range wide {
				body(i, at("AX", i*f.width()))
			}
			f.op("ADDQ", "DX", "AX")
		})
	}
	f.chunks(wide*f.width(), func() {
		for i := range wide {
			f.op("VMOVUPS", at("SI", i*f.width()), f.v(i))
			f.clear(sums + i)
		}
		down(func(i int, p string) { f.op("VMAXPS", p, f.v(i), f.v(i)) })
		down(func(i int, p string) {
			x := first
			if f.wide() {
				x += 4 * i
			}
			f.op("VMOVUPS", p, f.v(x))
			f.op("VSUBPS", f.v(i), f.v(x), f.v(x))
			f.op("VMULPS", f.v(scale), f.v(x), f.v(x))
			f.exp2(x, x+1, x+2, x+3)
			f.op("VMOVUPS", f.v(x), p)
			f.op("VADDPS", f.v(x), f.v(sums+i), f.v(sums+i))
		})
		for i := range wide {
			f.op("VMOVUPS", f.v(i), at("BX", i*f.width()))
			f.op("VMOVUPS", f.v(sums+i), at("R9", i*f.width()))
		}
		f.advance(wide*f.width(), "BX", "R9", "SI")
	})
	f.ret()
}

// columnScale goes along rows, as these come from far away.
func (f *function) columnScale() {
	const wide = 2
	f.pointer("s", "SI")
	f.stride("ld", "DX")
	f.integer("rows", "R12")
	f.times("R12", func() {
		f.op("MOVQ", "SI", "AX")
		f.pointer("f", "BX")
		f.count("f")
		f.chunks(wide*f.width(), func() {
			for i := range wide {
				f.op("VMOVUPS", at("BX", i*f.width()), f.v(i))
				f.op("VMULPS", at("AX", i*f.width()), f.v(i), f.v(i))
				f.op("VMOVUPS", f.v(i), at("AX", i*f.width()))
			}
			f.advance(wide*f.width(), "AX", "BX")
		})
		f.op("ADDQ", "DX", "SI")
	})
	f.ret()
}
