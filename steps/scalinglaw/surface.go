package scalinglaw

import (
	"math"
	"math/rand/v2"
)

// The law of the loss is approach 3 of Hoffmann et al. (arXiv 2203.15556, section 3.3), fitted to all proxies at once:
//
//	L(N, D) = E + A/N^α + B/D^β
//
// E is what no model and no amount of text gets below. A power law through the minima alone knows no such constant: on the
// published laws it comes to less than E at Llama 3's budget. The best sizes are still those of the parabolas, which
// assume nothing about the form of the law.

// A Surface is the fitted law of the loss.
type Surface struct {
	E, A, B     float64
	Alpha, Beta float64
	Error       float64 // root mean square of what it misses a proxy's loss by, as a share of the loss

	missed []float64 // the shares, scaled to the size of the noise; none if the fit has taken all freedom
}

// At is the loss of a model of n (as Params counts it) after d tokens.
func (s *Surface) At(n, d float64) float64 {
	return s.E + s.A*math.Pow(n, -s.Alpha) + s.B*math.Pow(d, -s.Beta)
}

// Exponent is that of N*(C) by this law, to be held against the one of the parabolas.
func (s *Surface) Exponent() float64 { return s.Beta / (s.Alpha + s.Beta) }

// The exponents that are looked at: the published ones are 0.28 to 0.37, those of very small models up to three times that.
const leastExponent, mostExponent = 0.03, 2.0

// coefficients is how many numbers a surface has.
const coefficients = 5

// fitSurface minimizes the squares of the residuals, each as a share of its loss, as the published fits do by taking
// logarithms. For given exponents E, A and B are linear, none of them below 0; so a search over two exponents finds all
// five: a grid over their logarithms, and finer ones around the best.
func fitSurface(points []Point) *Surface {
	rows := newSurfaceRows(points)
	low, high := math.Log(leastExponent), math.Log(mostExponent)
	best, bestSquares := [2]float64{}, math.Inf(1)
	var k [3]float64
	center, width := [2]float64{(low + high) / 2, (low + high) / 2}, (high-low)/2
	const coarse, fine, rounds = 15, 5, 18
	for round := range rounds {
		n := fine
		if round == 0 {
			n = coarse
		}
		grid := func(axis int) []float64 {
			v := make([]float64, n)
			for i := range v {
				v[i] = min(high, max(low, center[axis]+width*(2*float64(i)/float64(n-1)-1)))
			}
			return v
		}
		as, bs := grid(0), grid(1)
		columns := rows.powers(rows.d, bs)
		for i, size := range rows.powers(rows.n, as) {
			for j, data := range columns {
				if c, squares := rows.solve(size, data); squares < bestSquares {
					best, bestSquares, k = [2]float64{as[i], bs[j]}, squares, c
				}
			}
		}
		center, width = best, width/2
		if round == 0 {
			width /= 2
		}
	}
	s := &Surface{E: k[0], Alpha: math.Exp(best[0]), Beta: math.Exp(best[1])}
	s.A, s.B = k[1]*math.Pow(rows.unitN, s.Alpha), k[2]*math.Pow(rows.unitD, s.Beta)
	s.Error = math.Sqrt(bestSquares / float64(len(points)))
	if free := len(points) - coefficients; free > 0 {
		scale := math.Sqrt(float64(len(points)) / float64(free))
		for _, p := range points {
			s.missed = append(s.missed, scale*(p.Loss/s.At(p.Params(), p.Tokens)-1))
		}
	}
	return s
}

// Bootstrap says how far the loss of a model can be trusted: the law is fitted again to losses that miss it by what is drawn
// from what the proxies miss it by. It reports false if there are too few proxies.
func (s *Surface) Bootstrap(points []Point, seed uint64, n, d float64) (Interval, bool) {
	if len(s.missed) == 0 {
		return Interval{}, false
	}
	const draws = 200
	r := rand.New(rand.NewPCG(seed, 0x105))
	losses, drawn := make([]float64, draws), make([]Point, len(points))
	for i := range losses {
		for j, p := range points {
			p.Loss = s.At(p.Params(), p.Tokens) * (1 + s.missed[r.IntN(len(s.missed))])
			drawn[j] = p
		}
		losses[i] = fitSurface(drawn).At(n, d)
	}
	return middle(losses), true
}

// surfaceRows are the proxies for the linear part of the fit, in units near theirs.
type surfaceRows struct {
	n, d, inverse []float64 // N, D in units, 1/L
	unitN, unitD  float64
}

func newSurfaceRows(points []Point) *surfaceRows {
	r := &surfaceRows{unitN: 1, unitD: 1}
	for _, p := range points {
		r.unitN *= math.Pow(p.Params(), 1/float64(len(points)))
		r.unitD *= math.Pow(p.Tokens, 1/float64(len(points)))
	}
	for _, p := range points {
		r.n, r.d, r.inverse = append(r.n, p.Params()/r.unitN), append(r.d, p.Tokens/r.unitD), append(r.inverse, 1/p.Loss)
	}
	return r
}

// powers are the columns v^−exponent/L, by the logarithms of exponents.
func (r *surfaceRows) powers(v, exponents []float64) [][]float64 {
	list := make([][]float64, len(exponents))
	for i, e := range exponents {
		list[i] = make([]float64, len(v))
		for p := range v {
			list[i][p] = r.inverse[p] * math.Pow(v[p], -math.Exp(e))
		}
	}
	return list
}

// solve finds E, A and B, none below 0, with the least squares of 1 − (E + A·size + B·data)/L. With three unknowns every
// choice of those that are 0 can be tried.
func (r *surfaceRows) solve(size, data []float64) (best [3]float64, least float64) {
	var m [3][3]float64 // the normal equations
	var y [3]float64
	for p, one := range r.inverse {
		x := [3]float64{one, size[p], data[p]}
		for i := range x {
			for j := range x {
				m[i][j] += x[i] * x[j]
			}
			y[i] += x[i]
		}
	}
	least = math.Inf(1)
	for free := 1; free < 8; free++ {
		k, ok := solveFree(m, y, free)
		if !ok {
			continue
		}
		squares := 0.0
		for p, one := range r.inverse {
			missed := 1 - k[0]*one - k[1]*size[p] - k[2]*data[p]
			squares += missed * missed
		}
		if squares < least {
			best, least = k, squares
		}
	}
	return best, least
}

// solveFree solves for the unknowns whose bit is set, the others being 0. It reports false if one is below 0.
func solveFree(m [3][3]float64, y [3]float64, free int) (k [3]float64, ok bool) {
	for i := range 3 {
		if free&(1<<i) != 0 {
			continue
		}
		for j := range 3 {
			m[i][j], m[j][i] = 0, 0
		}
		m[i][i], y[i] = 1, 0
	}
	for i := range 3 { // the matrix is positive definite: no pivots are needed
		if !(m[i][i] > 1e-13) {
			return k, false
		}
		for j := i + 1; j < 3; j++ {
			f := m[j][i] / m[i][i]
			for c := i; c < 3; c++ {
				m[j][c] -= f * m[i][c]
			}
			y[j] -= f * y[i]
		}
	}
	for i := 2; i >= 0; i-- {
		k[i] = y[i]
		for c := i + 1; c < 3; c++ {
			k[i] -= m[i][c] * k[c]
		}
		if k[i] /= m[i][i]; k[i] < 0 {
			return k, false
		}
	}
	return k, true
}
