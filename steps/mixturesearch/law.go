package mixturesearch

import (
	"math"
	"slices"
)

// The law is that of Data Mixing Laws (arXiv 2403.16952, equation 3): the held-out loss of a part is
//
//	L(w) = c + exp(a + Σ t_i·(w_i − m_i))
//
// over the weights w of the parts, m being their mean over the proxies. As the weights add up to 1, k parts have k−1
// slopes: with c and a these are k+1 coefficients. The target is a mean of such losses. It is convex in the weights, so
// what optimum.go finds is its minimum. For a given c the logarithm of L − c is linear in the weights; a ridge on the
// slopes holds back what few proxies cannot tell. c and the ridge are those that predict best what is left out.

// An observation is a mixture and a loss.
type observation struct {
	weights []float64
	loss    float64
}

// partLaw is the law of one held-out part.
type partLaw struct {
	constant, level float64   // c, a
	slopes, mean    []float64 // t, m
}

func (l *partLaw) at(w []float64) float64 { return l.constant + math.Exp(l.exponent(w)) }

func (l *partLaw) exponent(w []float64) float64 {
	x := l.level
	for i, t := range l.slopes {
		x += t * (w[i] - l.mean[i])
	}
	return x
}

// fewest is how many observations of k parts a law needs so that each may be left out once.
func fewest(k int) int { return k + 2 }

// The constants that are tried, as shares of the least loss, and the ridges, per observation.
var (
	constants = []float64{0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98}
	ridges    = []float64{1e-9, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1}
)

// fitPart fits the law of one part. Among the constants and ridges it takes those with the least squared error over the
// observations left out one at a time.
func fitPart(all []observation) partLaw {
	least := math.Inf(1)
	for _, o := range all {
		least = min(least, o.loss)
	}
	var best partLaw
	bestError := math.Inf(1)
	for _, share := range constants {
		for _, ridge := range ridges {
			if l, squares := linear(all, share*least, ridge); squares < bestError {
				best, bestError = l, squares
			}
		}
	}
	return best
}

// linear fits level and slopes for a constant, and sums the squared errors over the observations left out one at a time.
// An observation counts by the square of L − c, which turns an error of the logarithm into one of the loss.
//
// Leaving one out needs no other fit: with leverage h = weight·xᵀ·A⁻¹·x, A being the normal matrix, the error of what is
// left out is 1/(1−h) times the residual (Allen's PRESS statistic, 1974).
func linear(all []observation, constant, ridge float64) (partLaw, float64) {
	k := len(all[0].weights)
	l := partLaw{constant: constant, mean: make([]float64, k)}
	for _, o := range all {
		for i, w := range o.weights {
			l.mean[i] += w / float64(len(all))
		}
	}
	normal, right := make([][]float64, k+1), make([]float64, k+1) // the level is the last unknown
	for i := range normal {
		normal[i] = make([]float64, k+1)
	}
	rows, total := make([][]float64, len(all)), 0.0
	for p, o := range all {
		row := make([]float64, k+1)
		for i, w := range o.weights {
			row[i] = w - l.mean[i]
		}
		row[k] = 1
		rows[p] = row
		above := o.loss - constant
		weight := above * above
		total += weight
		for i := range row {
			for j := range row {
				normal[i][j] += weight * row[i] * row[j]
			}
			right[i] += weight * row[i] * math.Log(above)
		}
	}
	for i := range k {
		normal[i][i] += ridge * total
	}
	inverse := invert(normal)
	x := make([]float64, k+1)
	for i := range x {
		x[i] = dot(inverse[i], right)
	}
	l.slopes, l.level = x[:k], x[k]
	squares := 0.0
	for p, o := range all {
		above, leverage := o.loss-constant, 0.0
		for i, v := range rows[p] {
			leverage += above * above * v * dot(inverse[i], rows[p])
		}
		left := (math.Log(above) - dot(x, rows[p])) / max(1-leverage, 1e-6)
		squares += square(o.loss - constant - math.Exp(math.Log(above)-left))
	}
	return l, squares
}

func dot(a, b []float64) float64 {
	total := 0.0
	for i := range a {
		total += a[i] * b[i]
	}
	return total
}

// invert inverts a matrix by Gauss and Jordan with pivots; it uses it up.
func invert(m [][]float64) [][]float64 {
	n := len(m)
	for i := range m {
		unit := make([]float64, n)
		unit[i] = 1
		m[i] = append(m[i], unit...)
	}
	for i := range n {
		pivot := i
		for j := i + 1; j < n; j++ {
			if math.Abs(m[j][i]) > math.Abs(m[pivot][i]) {
				pivot = j
			}
		}
		m[i], m[pivot] = m[pivot], m[i]
		for c := 2*n - 1; c >= i; c-- {
			m[i][c] /= m[i][i]
		}
		for j := range n {
			if f := m[j][i]; j != i {
				for c := i; c < 2*n; c++ {
					m[j][c] -= f * m[i][c]
				}
			}
		}
	}
	for i := range m {
		m[i] = m[i][n:]
	}
	return m
}

// A law is that of the target: a mean of parts' laws.
type law struct {
	parts  []partLaw
	shares []float64 // of the parts in the target; together 1
}

// fit fits the law of the target: losses[p][j] is that of held-out part j in the mixture weights[p].
func fit(weights, losses [][]float64, shares []float64) *law {
	l := &law{shares: shares}
	for j := range shares {
		all := make([]observation, len(weights))
		for p := range weights {
			all[p] = observation{weights[p], losses[p][j]}
		}
		l.parts = append(l.parts, fitPart(all))
	}
	return l
}

// at is the target in a mixture.
func (l *law) at(w []float64) float64 {
	total := 0.0
	for j := range l.parts {
		total += l.shares[j] * l.parts[j].at(w)
	}
	return total
}

// slope writes the gradient of the target.
func (l *law) slope(w, into []float64) {
	clear(into)
	for j := range l.parts {
		p := &l.parts[j]
		e := l.shares[j] * math.Exp(p.exponent(w))
		for i, t := range p.slopes {
			into[i] += e * t
		}
	}
}

// leaveOneOut predicts the target of each mixture from all the others: the whole fit is done again without it, the
// choice of constants and ridges too.
func leaveOneOut(weights, losses [][]float64, shares []float64) []float64 {
	out := make([]float64, len(weights))
	for p := range weights {
		out[p] = fit(without(weights, p), without(losses, p), shares).at(weights[p])
	}
	return out
}

func without[T any](list []T, i int) []T { return slices.Delete(slices.Clone(list), i, i+1) }

func square(x float64) float64 { return x * x }
