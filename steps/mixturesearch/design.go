package mixturesearch

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// design says which mixtures are tried. A mixture depends on its number and not on how many there are, so adding one
// leaves the others as they are.
type design struct {
	Around        map[string]float64 `json:"around" doc:"Weights around which mixtures are drawn, of every part. Left out: halfway between the sizes of the parts and equal weights."`
	Concentration float64            `json:"concentration" default:"1" min:"0.05" max:"100" doc:"How near the draws lie to those weights: they come from a Dirichlet distribution whose parameters have this mean over the parts. Below 1 they spread to the corners."`
}

// mixtureName is the name of a proxy by its number.
func mixtureName(number int) string {
	switch number {
	case 0:
		return "proportional"
	case 1:
		return "uniform"
	}
	return fmt.Sprintf("draw-%d", number-1)
}

// weights is the mixture of a number: the sizes of the parts, equal weights, and from then on draws. center is what the
// draws are around. The draws are the points of an additive recurrence with the generalised golden ratio, which fills the
// unit cube evenly from the first point on (Roberts, "The unreasonable effectiveness of quasirandom sequences", 2018),
// shifted by the seed and bent into a Dirichlet distribution by the inverse of the gamma distribution's function.
func (d *design) weights(number int, seed uint64, sizes, center []float64) []float64 {
	w := make([]float64, len(sizes))
	switch number {
	case 0:
		copy(w, sizes)
	case 1:
		for i := range w {
			w[i] = 1
		}
	default:
		shift := rand.New(rand.NewPCG(seed, 0x313c5))
		ratio := golden(len(w))
		total, logs, most := sum(center), make([]float64, len(w)), math.Inf(-1)
		for i := range w {
			_, u := math.Modf(shift.Float64() + float64(number)*math.Pow(ratio, -float64(i+1)))
			alpha := d.Concentration * float64(len(w)) * center[i] / total
			logs[i] = logGammaQuantile(alpha, min(max(u, 1e-12), 1-1e-12))
			most = max(most, logs[i])
		}
		for i := range w {
			w[i] = math.Exp(logs[i] - most)
		}
	}
	total := sum(w)
	for i := range w {
		w[i] /= total
	}
	return w
}

// golden is the positive root of x^(n+1) = x + 1.
func golden(n int) float64 {
	x := 2.0
	for range 60 {
		x = math.Pow(1+x, 1/float64(n+1))
	}
	return x
}

// logGammaQuantile is the logarithm of the x at which the gamma distribution of shape a reaches u, by bisection. In
// logarithms small shapes do not underflow.
func logGammaQuantile(a, u float64) float64 {
	low, high := -2000/min(a, 1), math.Log(a+20*math.Sqrt(a)+50)
	for range 80 {
		middle := (low + high) / 2
		if logGammaCDF(a, middle) < math.Log(u) {
			low = middle
		} else {
			high = middle
		}
	}
	return (low + high) / 2
}

// logGammaCDF is ln P(a, e^logX) by the series γ(a, x) = x^a·e^-x·Σ x^n / (a·(a+1)…(a+n)).
func logGammaCDF(a, logX float64) float64 {
	x := math.Exp(logX)
	term := 1 / a
	total := term
	for n := 1.0; term > total*1e-15; n++ {
		term *= x / (a + n)
		total += term
	}
	lg, _ := math.Lgamma(a)
	return a*logX - x + math.Log(total) - lg
}

func sum(v []float64) float64 {
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total
}
