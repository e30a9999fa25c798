package cpu

import "athanor/gpu"

// swiglu is the gated activation of the feed-forward (arXiv 2002.05202), element by element.
type swiglu struct {
	device           *device
	out, gate, up    []float32
	dGate, dUp, dOut []float32
}

type swigluPhase struct{ *swiglu }
type swigluBackwardPhase struct{ *swiglu }

// elementTile is how many elements a tile of an elementwise operator has.
const elementTile = 1 << 13

// SwiGLU sets out = silu(gate)·up.
func (d *device) SwiGLU(out, gate, up gpu.Tensor) {
	const op = "SwiGLU"
	s := &d.swiglu
	s.gate = view(op, "gate", gate, -1, -1)
	s.up = view(op, "up", up, gate.Rows, gate.Cols)
	s.out = view(op, "out", out, gate.Rows, gate.Cols)
	d.pool.run(ceilDiv(gate.Len(), elementTile), swigluPhase{s})
}

// SwiGLUBackward sets dGate, dUp and out.
func (d *device) SwiGLUBackward(dGate, dUp, out, dOut, gate, up gpu.Tensor) {
	const op = "SwiGLUBackward"
	s := &d.swiglu
	s.gate = view(op, "gate", gate, -1, -1)
	s.up = view(op, "up", up, gate.Rows, gate.Cols)
	s.dGate = view(op, "dGate", dGate, gate.Rows, gate.Cols)
	s.dUp = view(op, "dUp", dUp, gate.Rows, gate.Cols)
	s.out = view(op, "out", out, gate.Rows, gate.Cols)
	s.dOut = view(op, "dOut", dOut, gate.Rows, gate.Cols)
	d.pool.run(ceilDiv(gate.Len(), elementTile), swigluBackwardPhase{s})
}

func (s swigluPhase) tile(i, _ int) {
	from, to := elements(i, len(s.gate))
	s.device.kernels.SwiGLU(s.out[from:to], s.gate[from:to], s.up[from:to])
}

func (s swigluBackwardPhase) tile(i, _ int) {
	from, to := elements(i, len(s.gate))
	k := s.device.kernels
	k.SwiGLUBackward(s.dGate[from:to], s.dUp[from:to], s.out[from:to], s.dOut[from:to], s.gate[from:to], s.up[from:to])
}

// elements is the range of tile i of n elements.
func elements(i, n int) (from, to int) { return i * elementTile, min(n, (i+1)*elementTile) }
