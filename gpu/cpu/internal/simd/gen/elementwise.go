package main

// emitElementwise writes what goes through slices of equal length, a multiple of a register, side by side.
func emitElementwise(f *file) {
	f.function("add", "out, x []float32", false, func(f *function) {
		f.each([]string{"out", "x"}, func(p []string) {
			f.op("VMOVUPS", p[0], f.v(0))
			f.op("VADDPS", p[1], f.v(0), f.v(0))
			f.op("VMOVUPS", f.v(0), p[0])
		})
	})
	f.function("scale", "x []float32, s float32", false, func(f *function) {
		f.broadcast("s", 1)
		f.each([]string{"x"}, func(p []string) {
			f.op("VMULPS", p[0], f.v(1), f.v(0))
			f.op("VMOVUPS", f.v(0), p[0])
		})
	})
	f.function("scaleMul", "out, x, w []float32, s float32", false, func(f *function) {
		f.broadcast("s", 1)
		f.each([]string{"out", "x", "w"}, func(p []string) {
			f.op("VMULPS", p[1], f.v(1), f.v(0))
			f.op("VMULPS", p[2], f.v(0), f.v(0))
			f.op("VMOVUPS", f.v(0), p[0])
		})
	})
	f.function("rotate", "a, b, cos, sin []float32", false, func(f *function) {
		f.each([]string{"a", "b", "cos", "sin"}, func(p []string) {
			f.op("VMOVUPS", p[0], f.v(0))
			f.op("VMOVUPS", p[1], f.v(1))
			f.op("VMOVUPS", p[2], f.v(2))
			f.op("VMOVUPS", p[3], f.v(3))
			f.op("VMULPS", f.v(1), f.v(3), f.v(4))
			f.op("VMULPS", f.v(0), f.v(3), f.v(3))
			f.op("VFMSUB213PS", f.v(4), f.v(2), f.v(0)) // a·cos − b·sin
			f.op("VFMADD213PS", f.v(3), f.v(2), f.v(1)) // b·cos + a·sin
			f.op("VMOVUPS", f.v(0), p[0])
			f.op("VMOVUPS", f.v(1), p[1])
		})
	})
	f.function("normBackward", "dx, dw, dy, x, w, add []float32, rstd, c float32", false, func(f *function) {
		f.normBackward(true)
	})
	f.function("normBackwardSet", "dx, dw, dy, x, w []float32, rstd, c float32", false, func(f *function) {
		f.normBackward(false)
	})
	f.function("adamW", "w, g, m, v []float32, p *AdamW", false, (*function).adamW)
	emitSwiGLU(f)
}

func emitSwiGLU(f *file) {
	f.function("swiglu", "out, gate, up []float32", false, func(f *function) {
		f.loadConstants()
		f.each([]string{"out", "gate", "up"}, func(p []string) {
			f.op("VMOVUPS", p[1], f.v(0))
			f.sigmoid(0, 1, 2, 3, 4)
			f.op("VMULPS", f.v(1), f.v(0), f.v(0))
			f.op("VMULPS", p[2], f.v(0), f.v(0))
			f.op("VMOVUPS", f.v(0), p[0])
		})
	})
	f.function("swigluBackward", "dGate, dUp, out, dOut, gate, up []float32", false, func(f *function) {
		f.loadConstants()
		f.each([]string{"dGate", "dUp", "out", "dOut", "gate", "up"}, func(p []string) {
			g, s, d, t := f.v(0), f.v(1), f.v(2), f.v(3)
			f.op("VMOVUPS", p[4], g)
			f.sigmoid(0, 1, 2, 3, 4)
			f.op("VMOVUPS", p[3], d)
			f.op("VMULPS", s, g, t)
			f.op("VMULPS", p[5], t, t) // out = gate·σ·up
			f.op("VMOVUPS", t, p[2])
			f.op("VMULPS", p[5], d, f.v(4)) // dOut·up, before dUp may overwrite up
			f.op("VMULPS", s, d, d)         // dOut·σ
			f.op("VMULPS", g, d, t)         // dUp = dOut·gate·σ
			f.op("VMOVUPS", t, p[1])
			f.op("VMOVUPS", f.constant("one"), t)
			f.op("VSUBPS", s, t, t)                      // 1 − σ
			f.op("VFMADD213PS", f.constant("one"), g, t) // 1 + gate·(1 − σ)
			f.op("VMULPS", s, t, t)
			f.op("VMULPS", f.v(4), t, t)
			f.op("VMOVUPS", t, p[0])
		})
	})
}

// each runs body for every register of the slices; body gets their memory operands.
func (f *function) each(slices []string, body func(p []string)) {
	regs := []string{"AX", "BX", "DX", "SI", "DI", "R8"}[:len(slices)]
	operands := make([]string, len(slices))
	for i, s := range slices {
		f.pointer(s, regs[i])
		operands[i] = "(" + regs[i] + ")"
	}
	f.count(slices[0])
	f.chunks(f.width(), func() {
		body(operands)
		f.advance(f.width(), regs...)
	})
	f.ret()
}

// sigmoid sets s = 1/(1 + exp(−x)) and uses three more registers.
func (f *function) sigmoid(x, s, p, n, m int) {
	f.clear(s)
	f.op("VSUBPS", f.v(x), f.v(s), f.v(s))
	f.exp(s, p, n, m)
	f.op("VADDPS", f.constant("one"), f.v(s), f.v(s))
	f.op("VMOVUPS", f.constant("one"), f.v(p))
	f.op("VDIVPS", f.v(s), f.v(p), f.v(s))
}

func (f *function) normBackward(add bool) {
	rstd, c, dy, x := f.v(0), f.v(1), f.v(2), f.v(3)
	f.broadcast("rstd", 0)
	f.broadcast("c", 1)
	slices := []string{"dx", "dw", "dy", "x", "w"}
	if add {
		slices = append(slices, "add")
	}
	f.each(slices, func(p []string) {
		f.op("VMOVUPS", p[2], dy)
		f.op("VMOVUPS", p[3], x)
		f.op("VMULPS", rstd, dy, f.v(4))
		f.op("VFMADD213PS", p[1], x, f.v(4)) // dw + dy·rstd·x
		f.op("VMOVUPS", f.v(4), p[1])
		f.op("VMULPS", c, x, x)
		f.op("VFMSUB132PS", p[4], x, dy) // dy·w − x·c
		if add {
			f.op("VFMADD213PS", p[5], rstd, dy)
		} else {
			f.op("VMULPS", rstd, dy, dy)
		}
		f.op("VMOVUPS", dy, p[0])
	})
}

// adamW follows the fields of the struct AdamW.
func (f *function) adamW() {
	const gradScale, beta1, rest1, beta2, rest2, step, invBias2, eps, keep = 0, 1, 2, 3, 4, 5, 6, 7, 8
	f.integer("p", "R9")
	for i := range keep + 1 {
		f.op("VBROADCASTSS", at("R9", 4*i), f.v(i))
	}
	f.each([]string{"w", "g", "m", "v"}, func(p []string) {
		g, m, v, t := f.v(9), f.v(10), f.v(11), f.v(12)
		f.op("VMULPS", p[1], f.v(gradScale), g)
		f.op("VMULPS", p[2], f.v(beta1), m)
		f.op("VFMADD231PS", g, f.v(rest1), m)
		f.op("VMOVUPS", m, p[2])
		f.op("VMULPS", p[3], f.v(beta2), v)
		f.op("VMULPS", g, f.v(rest2), t)
		f.op("VFMADD231PS", g, t, v)
		f.op("VMOVUPS", v, p[3])
		f.op("VSQRTPS", v, v)
		f.op("VFMADD213PS", f.v(eps), f.v(invBias2), v)
		f.op("VMULPS", f.v(step), m, m)
		f.op("VDIVPS", v, m, m)
		f.op("VMULPS", p[0], f.v(keep), t)
		f.op("VSUBPS", m, t, t)
		f.op("VMOVUPS", t, p[0])
	})
}
