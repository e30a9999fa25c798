package cuda

import "athanor/gpu"

// SwiGLU sets out = silu(gate)·up.
func (d *device) SwiGLU(out, gate, up gpu.Tensor) {
	const op = "SwiGLU"
	gs := d.at(op, "gate", gate, -1, -1)
	us := d.typed(op, "up", up, gate.Type, gate.Rows, gate.Cols)
	os := d.typed(op, "out", out, gate.Type, gate.Rows, gate.Cols)
	d.elements(kernel("swiglu", gate.Type), gate.Len(), pointer(os), pointer(gs), pointer(us), long(gate.Len()))
}

// SwiGLUBackward sets dGate, dUp and out.
func (d *device) SwiGLUBackward(dGate, dUp, out, dOut, gate, up gpu.Tensor) {
	const op = "SwiGLUBackward"
	gs := d.at(op, "gate", gate, -1, -1)
	us := d.typed(op, "up", up, gate.Type, gate.Rows, gate.Cols)
	dgs := d.typed(op, "dGate", dGate, gate.Type, gate.Rows, gate.Cols)
	dus := d.typed(op, "dUp", dUp, gate.Type, gate.Rows, gate.Cols)
	os := d.typed(op, "out", out, gate.Type, gate.Rows, gate.Cols)
	dos := d.typed(op, "dOut", dOut, gate.Type, gate.Rows, gate.Cols)
	d.elements(kernel("swiglu_backward", gate.Type), gate.Len(),
		pointer(dgs), pointer(dus), pointer(os), pointer(dos), pointer(gs), pointer(us), long(gate.Len()))
}
