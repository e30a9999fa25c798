package ref

import (
	"math"

	"athanor/gpu"
)

// AdamW (arXiv 1711.05101, algorithm 2, with the learning rate in the decay as PyTorch has it). In step t, with
// g = GradScale·grad:
//
//	m ← β₁·m + (1−β₁)·g
//	v ← β₂·v + (1−β₂)·g²
//	w ← w − lr·( m/(1−β₁ᵗ) / (√(v/(1−β₂ᵗ)) + eps) + decay·w )
//
// Where there is a master, it is the w that is updated, and the weight becomes the master in the weight's own type.
func (Device) AdamW(tensors []gpu.AdamWTensor, h gpu.AdamWStep) {
	correction1 := 1 - math.Pow(h.Beta1, float64(h.Step))
	correction2 := 1 - math.Pow(h.Beta2, float64(h.Step))
	for _, t := range tensors {
		checkAdamW(t)
		weight, grad, m, v := values(t.Weight), values(t.Grad), values(t.M), values(t.V)
		master := weight
		if !t.Master.IsZero() {
			master = values(t.Master)
		}
		for i := range weight {
			g := h.GradScale * grad[i]
			m[i] = h.Beta1*m[i] + (1-h.Beta1)*g
			v[i] = h.Beta2*v[i] + (1-h.Beta2)*g*g
			direction := m[i] / correction1 / (math.Sqrt(v[i]/correction2) + h.Eps)
			master[i] -= t.LR * (direction + t.Decay*master[i])
			weight[i] = rounded(t.Weight.Type, master[i])
		}
	}
}

func checkAdamW(t gpu.AdamWTensor) {
	if t.Master.IsZero() && t.Weight.Type != gpu.F32 {
		panic("ref: AdamW: a weight that is not float32 needs a master")
	}
	n := t.Weight.Len()
	if !t.Master.IsZero() {
		wantLen("AdamW", "Master", t.Master.Len(), n)
	}
	wantLen("AdamW", "Grad", t.Grad.Len(), n)
	wantLen("AdamW", "M", t.M.Len(), n)
	wantLen("AdamW", "V", t.V.Len(), n)
}

// SumSquares is Σ g² over all elements of all tensors.
func (Device) SumSquares(tensors []gpu.Tensor) (float64, error) {
	sum := 0.0
	for _, t := range tensors {
		for _, g := range values(t) {
			sum += g * g
		}
	}
	return sum, nil
}
