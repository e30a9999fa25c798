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
func (Device) SwiGLUBackward(dGate, dUp, dOut, gate, up gpu.Tensor) {
	want("SwiGLUBackward", "dGate", dGate, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "dUp", dUp, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "gate", gate, dOut.Rows, dOut.Cols)
	want("SwiGLUBackward", "up", up, dOut.Rows, dOut.Cols)
	dg, du, do, gs, us := values(dGate), values(dUp), values(dOut), values(gate), values(up)
	for i := range do {
		g, u := gs[i], us[i] // dGate and dUp may overwrite them
		s := sigmoid(g)
		dg[i] = do[i] * u * s * (1 + g*(1-s))
		du[i] = do[i] * g * s
	}
}

func sigmoid(z float64) float64 { return 1 / (1 + math.Exp(-z)) }
