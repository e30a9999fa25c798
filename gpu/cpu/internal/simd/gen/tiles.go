package main

import "fmt"

// emitTiles writes the micro-kernels of attention: those of gemm.go for operands A that lie in memory as rows (tile) or
// as columns (turned), for any number of rows. They go along the panels of B, and end with half of one where that is
// enough. A wedge is a tile of most rows on the diagonal, and leaves out the steps that the causal mask makes zeros.
func emitTiles(f *file) {
	const params = "kc, halves int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, init []float32, ldi int, next []float32, ldn int"
	for mr := 1; mr <= f.mr; mr++ {
		f.function(fmt.Sprintf("tile%d", mr), params, false, func(f *function) { f.tile(mr, f.rowSteps) })
	}
	for mr := 1; mr <= f.mr; mr++ {
		f.function(fmt.Sprintf("turned%d", mr), params, false, func(f *function) { f.tile(mr, f.columnSteps) })
	}
	f.function("wedge", params, false, func(f *function) { f.tile(f.mr, f.rowWedge) })
	f.function("turnedWedge", params, false, func(f *function) { f.tile(f.mr, f.columnWedge) })
	f.function("scores", "kc, halves, rows int, a []float32, lda int, b []float32, ldb, step int, c []float32, ldc int, next []float32, ldn int",
		false, (*function).scores)
}

// tile computes one row of tiles; steps writes the loop over the depth.
func (f *function) tile(mr int, steps func(mr, wide int)) {
	half, done := f.label(), f.label()
	f.stride("lda", "R11")
	f.integer("halves", "R12")
	if mr == f.mr {
		f.pointer("next", "R15")
		f.stride("ldn", "R14")
	}
	loop := f.label()
	f.place(loop)
	f.op("CMPQ", "R12", "$2")
	f.op("JLT", half)
	f.tileOf(mr, 2, steps)
	f.nextPanel()
	f.op("SUBQ", "$2", "R12")
	f.op("JMP", loop)
	f.place(half)
	f.op("TESTQ", "R12", "R12")
	f.op("JZ", done)
	f.tileOf(mr, 1, steps)
	f.place(done)
	f.ret()
}

// scores computes one row of tiles without init, but only an even number of last rows of the last half of a panel.
func (f *function) scores() {
	half, last, done := f.label(), f.label(), f.label()
	f.stride("lda", "R11")
	f.integer("halves", "R12")
	f.op("DECQ", "R12")
	f.pointer("next", "R15")
	f.stride("ldn", "R14")
	loop := f.label()
	f.place(loop)
	f.op("CMPQ", "R12", "$2")
	f.op("JLT", half)
	f.tileOf(f.mr, 2, f.rowSteps)
	f.nextPanel()
	f.op("SUBQ", "$2", "R12")
	f.op("JMP", loop)
	f.place(half)
	f.op("TESTQ", "R12", "R12")
	f.op("JZ", last)
	f.tileOf(f.mr, 1, f.rowSteps)
	f.pointer("b", "BX")
	f.advance(f.width(), "BX")
	f.keep("BX", "b")
	f.place(last)
	f.integer("rows", "CX")
	for _, x := range []string{"a", "c"} {
		f.op("MOVQ", fmt.Sprintf("$%d", f.mr), "R9")
		f.op("SUBQ", "CX", "R9")
		f.stride("ld"+x, "AX")
		f.op("IMULQ", "AX", "R9")
		f.pointer(x, "AX")
		f.op("ADDQ", "R9", "AX")
		f.keep("AX", x)
	}
	for rows := 2; rows < f.mr; rows += 2 {
		other := f.label()
		f.op("CMPQ", "CX", fmt.Sprintf("$%d", rows))
		f.op("JNE", other)
		f.tileOf(rows, 1, f.rowSteps)
		f.op("JMP", done)
		f.place(other)
	}
	f.place(done)
	f.ret()
}

// nextPanel moves on in B.
func (f *function) nextPanel() {
	f.pointer("b", "BX")
	f.stride("step", "R9")
	f.op("ADDQ", "R9", "BX")
	f.keep("BX", "b")
}

// tileOf computes one tile of as many registers in a row as wide says, and moves on in C and, if there is one, init.
func (f *function) tileOf(mr, wide int, steps func(mr, wide int)) {
	f.pointer("a", "AX")
	f.pointer("b", "BX")
	f.stride("ldb", "DX")
	f.op("LEAQ", "(DX)(DX*2)", "SI")
	for i := range wide * mr {
		f.clear(i)
	}
	steps(mr, wide)
	f.pointer("c", "DX")
	f.stride("ldc", "SI")
	if _, ok := f.offsets["init"]; ok {
		f.addInit(mr, wide)
	}
	f.op("LEAQ", at("DX", wide*f.width()), "R9")
	f.keep("R9", "c")
	for i := range mr {
		for j := range wide {
			f.op("VMOVUPS", f.v(wide*i+j), at("DX", j*f.width()))
		}
		f.op("ADDQ", "SI", "DX")
	}
}

// addInit adds init to the sums, unless it is nil, and moves on in it.
func (f *function) addInit(mr, wide int) {
	f.pointer("init", "DI")
	f.stride("ldi", "R8")
	store := f.label()
	f.op("TESTQ", "DI", "DI")
	f.op("JZ", store)
	f.op("LEAQ", at("DI", wide*f.width()), "R9")
	f.keep("R9", "init")
	for i := range mr {
		for j := range wide {
			f.op("VADDPS", at("DI", j*f.width()), f.v(wide*i+j), f.v(wide*i+j))
		}
		f.op("ADDQ", "R8", "DI")
	}
	f.place(store)
}

// tileStep is step k of at most four for rows [from, to); element says where A's are.
func (f *function) tileStep(from, to, wide, k int, element func(i, k int) string) {
	b := 2 * f.mr
	row := []string{"(BX)", "(BX)(DX*1)", "(BX)(DX*2)", "(BX)(SI*1)"}[k]
	for j := range wide {
		f.op("VMOVUPS", after(j*f.width(), row), f.v(b+j))
	}
	for i := from; i < to; i++ {
		a := b + 2 + i%2
		f.op("VBROADCASTSS", element(i, k), f.v(a))
		for j := range wide {
			f.multiplyAdd(b+j, a, wide*i+j)
		}
	}
}

// after is a memory operand a number of bytes after another, which has no offset.
func after(bytes int, operand string) string {
	if bytes == 0 {
		return operand
	}
	return fmt.Sprintf("%d%s", bytes, operand)
}

// depth runs body for all steps but some and moves on in B: four at a time in whole tiles, where nearly all work is, and
// else one. Whole tiles call for what a later product reads, about a line in the time of 28 registers' products: more at once
// would have to wait for one another. They do so into the first-level cache, though it is too small to keep them: on the way
// to the second-level one alone they took twice as long.
func (f *function) depth(mr, wide, but int, body func(steps int)) {
	count := func() {
		f.integer("kc", "CX")
		if but > 0 {
			f.op("SUBQ", fmt.Sprintf("$%d", but), "CX")
		}
	}
	count()
	if unroll := 4; mr == f.mr && wide == 2 {
		f.op("SHRQ", "$2", "CX")
		f.times("CX", func() {
			for range f.lanes / 8 { // as many as Kernels.Ahead says
				for line := 0; line < 2*f.width(); line += 64 {
					f.op("PREFETCHT0", at("R15", line))
				}
				f.op("ADDQ", "R14", "R15")
			}
			body(unroll)
			f.op("LEAQ", "(BX)(DX*4)", "BX")
		})
		count()
		f.op("ANDQ", "$3", "CX")
	}
	f.times("CX", func() {
		body(1)
		f.op("ADDQ", "DX", "BX")
	})
}

// rowSteps is for an A of rows.
func (f *function) rowSteps(mr, wide int) { f.alongRows(mr, wide, 0) }

// alongRows goes through rows of A but for so many steps at their ends, and returns where elements are then. Every third
// row has a register that points to it, and the two after it are one and two strides further.
func (f *function) alongRows(mr, wide, but int) (element func(i, k int) string) {
	rows := []string{"AX", "R8", "R9", "R10", "R13"}[:(mr+2)/3]
	for i := 1; i < len(rows); i++ {
		f.op("LEAQ", "("+rows[i-1]+")(R11*2)", rows[i])
		f.op("ADDQ", "R11", rows[i])
	}
	element = func(i, k int) string {
		row := at(rows[i/3], 4*k)
		if i%3 > 0 {
			row += fmt.Sprintf("(R11*%d)", i%3)
		}
		return row
	}
	f.depth(mr, wide, but, func(steps int) {
		for k := range steps {
			f.tileStep(0, mr, wide, k, element)
		}
		f.advance(4*steps, rows...)
	})
	return element
}

// rowWedge is rowSteps where each row has one step less than the one after it.
func (f *function) rowWedge(mr, wide int) {
	element := f.alongRows(mr, wide, mr-1)
	for k := range mr - 1 {
		f.tileStep(k+1, mr, wide, 0, func(i, _ int) string { return element(i, k) })
		f.op("ADDQ", "DX", "BX")
	}
}

// columnSteps is for an A of columns: a step is a row of memory.
func (f *function) columnSteps(mr, wide int) {
	f.op("LEAQ", "(AX)(R11*8)", "R13") // that much later
	f.alongColumns(mr, wide, 0)
}

// alongColumns goes through columns of A from AX on, all but so many steps.
func (f *function) alongColumns(mr, wide, but int) {
	f.op("LEAQ", "(R11)(R11*2)", "R10")
	row := []string{"(AX)", "(AX)(R11*1)", "(AX)(R11*2)", "(AX)(R10*1)"}
	f.depth(mr, wide, but, func(steps int) {
		for k := range steps {
			f.columnStep(0, mr, wide, k, row[k])
		}
		f.op("LEAQ", fmt.Sprintf("(AX)(R11*%d)", steps), "AX")
	})
}

// columnStep is step k of an unrolled loop for rows [from, to), whose elements are in a row of memory, and calls for a row
// to come.
func (f *function) columnStep(from, to, wide, k int, row string) {
	f.op("PREFETCHT0", "(R13)")
	f.op("PREFETCHT0", at("R13", 4*(f.mr-1)))
	f.op("ADDQ", "R11", "R13")
	f.tileStep(from, to, wide, k, func(i, _ int) string { return after(4*i, row) })
}

// columnWedge is columnSteps where each row begins one step after the one before it.
func (f *function) columnWedge(mr, wide int) {
	f.op("LEAQ", "(AX)(R11*8)", "R13")
	for k := range mr - 1 {
		f.columnStep(0, k+1, wide, 0, "(AX)")
		f.op("ADDQ", "R11", "AX")
		f.op("ADDQ", "DX", "BX")
	}
	f.alongColumns(mr, wide, mr-1)
}
