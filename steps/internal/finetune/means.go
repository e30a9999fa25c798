package finetune

import "math"

// Means collects figures and gives their means.
type Means struct {
	n    float64
	sums map[string]float64
}

// Add counts figures with a weight.
func (m *Means) Add(weight float64, figures map[string]float64) {
	if m.sums == nil {
		m.sums = map[string]float64{}
	}
	m.n += weight
	for name, v := range figures {
		m.sums[name] += weight * v
	}
}

// Take returns the means since the last call; none if nothing was added.
func (m *Means) Take() map[string]float64 {
	out := map[string]float64{}
	for name, v := range m.sums {
		out[name] = v / m.n
	}
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
