package ref

import (
	"math"

	"athanor/gpu"
)

// SwiGLU (arXiv 2002.05202, equation 5): out = silu(gate)·up with silu(z) = z·σ(z) and σ(z) = 1/(1+e⁻ᶻ).
func (Device) SwiGLU(out, gate, up gpu.Tensor) {
	want("SwiGLU", "gate", gate, out.Rows, out.Cols)
	want("SwiGLU", "up", up, out.Rows, out.Cols)
	o, g, u := values(out), values(gate), values(up)
	for i := range o {
		o[i] = g[i] * sigmoid(g[i]) * u[i]
	}
}

// SwiGLUBackward sets, with silu'(z) = σ(z)·(1 + z·(1−σ(z))):
//
//	dGate = dOut · up · silu'(gate)
//	dUp   = dOut · silu(gate)
//	out   = silu(gate) · up
func (Device) SwiGLUBackward(dGate, dUp, out, dOut, gate, up gpu.Tensor) {
	want("SwiGLUBackward", "dGate", dGate, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "dUp", dUp, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "out", out, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "gate", gate, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "up", up, dOut.Rows, dOut.Cols)
	dg, du, os, do, gs, us := values(dGate), values(dUp), values(out), values(dOut), values(gate), values(up)
	for i := range do {
		g, u, d := gs[i], us[i], do[i] // which the results may overwrite
		s := sigmoid(g)
		dg[i] = d * u * s * (1 + g*(1-s))
		du[i] = d * g * s
		os[i] = g * s * u
	}
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
