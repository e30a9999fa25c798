package finetune

import "math"

// Means collects figures and gives their means. It can be part of a checkpoint.
type Means struct {
	Weight float64            `json:"weight"`
	Sums   map[string]float64 `json:"sums"`
}

// Add counts figures with a weight.
func (m *Means) Add(weight float64, figures map[string]float64) {
	if m.Sums == nil {
		m.Sums = map[string]float64{}
	}
	m.Weight += weight
	for name, v := range figures {
		m.Sums[name] += weight * v
	}
}

// Figures returns the means; none if nothing was added.
func (m *Means) Figures() map[string]float64 {
	out := map[string]float64{}
	for name, sum := range m.Sums {
		out[name] = sum / m.Weight
	}
	return out
}

// Take returns the means since the last call; none if nothing was added.
func (m *Means) Take() map[string]float64 {
	out := m.Figures()
	*m = Means{}
	return out
}

// Share is 1 for true.
func Share(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Sigmoid is 1/(1+e⁻ˣ).
func Sigmoid(x float64) float64 {
	if x < 0 {
		return math.Exp(x) / (1 + math.Exp(x))
	}
	return 1 / (1 + math.Exp(-x))
}

// Softplus is log(1+eˣ) = −log σ(−x), without overflow.
func Softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
