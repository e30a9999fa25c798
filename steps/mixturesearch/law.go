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
			squares := 0.0
			for i, o := range all {
				l := linear(without(all, i), share*least, ridge)
				squares += square(l.at(o.weights) - o.loss)
			}
			if squares < bestError {
				best, bestError = linear(all, share*least, ridge), squares
			}
		}
	}
	return best
}

// linear fits level and slopes for a constant. An observation counts by the square of L − c, which turns an error of the
// logarithm into one of the loss.
func linear(all []observation, constant, ridge float64) partLaw {
	k := len(all[0].weights)
	l := partLaw{constant: constant, mean: make([]float64, k)}
	for _, o := range all {
		for i, w := range o.weights {
			l.mean[i] += w / float64(len(all))
		}
	}
	m := make([][]float64, k+1) // the normal equations, [k+1, k+2]; the level is the last unknown
	for i := range m {
		m[i] = make([]float64, k+2)
	}
	row, total := make([]float64, k+1), 0.0
	for _, o := range all {
		above := math.Max(o.loss-constant, 1e-9)
		for i, w := range o.weights {
			row[i] = w - l.mean[i]
		}
		row[k] = 1
		weight := above * above
		total += weight
		for i := range row {
			for j := range row {
				m[i][j] += weight * row[i] * row[j]
			}
			m[i][k+1] += weight * row[i] * math.Log(above)
		}
	}
	for i := range k {
		m[i][i] += ridge * total
	}
	x := solve(m)
	l.slopes, l.level = x[:k], x[k]
	return l
}

// solve solves the linear system of [n, n+1] coefficients, which it uses up, by Gauss and Jordan with pivots.
func solve(m [][]float64) []float64 {
	n := len(m)
	for i := range n {
		pivot := i
		for j := i + 1; j < n; j++ {
			if math.Abs(m[j][i]) > math.Abs(m[pivot][i]) {
				pivot = j
			}
		}
		m[i], m[pivot] = m[pivot], m[i]
		for j := range n {
			if j == i {
				continue
			}
			f := m[j][i] / m[i][i]
			for c := i; c <= n; c++ {
				m[j][c] -= f * m[i][c]
			}
		}
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = m[i][n] / m[i][i]
	}
	return x
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
