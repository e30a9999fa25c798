package scalinglaw

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// The fit is approach 2 of Hoffmann et al. (arXiv 2203.15556, section 3.2) as Llama 3 uses it (arXiv 2407.21783,
// section 3.2.1): at each budget a parabola of the final loss in the logarithm of the tokens, whose minimum says how many
// tokens that budget is best spent on; then a power law through the minima. What loss to expect is surface.go's.
//
// N is counted as what a token is multiplied with: C = 6·N·D holds exactly, with the head and attention's share of the
// FLOPs in N and the embedding table left out. So the exponents of N and D add up to 1, and one law says both.

// A Point is one finished proxy.
type Point struct {
	Budget float64 // C, training FLOPs
	Tokens float64 // D
	Loss   float64 // held-out, in nats per token
}

// Params is N = C/(6·D).
func (p Point) Params() float64 { return p.Budget / (6 * p.Tokens) }

// A Curve is what one budget comes to: loss ≈ Least + Curvature·(ln D − ln Tokens)².
type Curve struct {
	Budget    float64
	Points    []Point // by tokens, ascending
	Tokens    float64 // at the minimum
	Least     float64 // the loss there
	Curvature float64

	residuals []float64 // of the points, scaled to the size of the noise; none where three points leave none
}

// Params is N at the minimum.
func (c *Curve) Params() float64 { return c.Budget / (6 * c.Tokens) }

// At is the fitted loss.
func (c *Curve) At(tokens float64) float64 {
	x := math.Log(tokens / c.Tokens)
	return c.Least + c.Curvature*x*x
}

// A Law is N*(C) = A·C^Alpha, fitted to the minima of curves.
type Law struct {
	Curves    []Curve // by budget, ascending
	A, Alpha  float64
	residuals []float64 // of ln N, scaled to the size of the noise
}

// Params is N* for a budget.
func (l *Law) Params(budget float64) float64 { return l.A * math.Pow(budget, l.Alpha) }

// Tokens is D* for a budget.
func (l *Law) Tokens(budget float64) float64 { return budget / (6 * l.Params(budget)) }

// An Edge says on which side of a curve its least loss lies.
type Edge string

const (
	Smallest Edge = "smallest" // the model that sees the most tokens is the best one
	Largest  Edge = "largest"
	Neither  Edge = "" // the curve does not open upwards
)

// A NoMinimumError says that nothing can be read off a curve.
type NoMinimumError struct {
	Budget float64
	Edge   Edge
}

func (e *NoMinimumError) Error() string {
	if e.Edge == Neither {
		return fmt.Sprintf("at a budget of %s the losses do not lie on a curve that has a minimum", Budget(e.Budget))
	}
	return fmt.Sprintf("at a budget of %s the curve has no minimum among the sizes: the %s is the best", Budget(e.Budget), e.Edge)
}

// Fit fits the law. Where curves have no minimum within their points, the errors say which, and the curves are returned
// without anything else.
func Fit(points []Point) (*Law, []*NoMinimumError) {
	law := &Law{}
	var wrong []*NoMinimumError
	for _, group := range byBudget(points) {
		c, edge, ok := parabola(group)
		if !ok {
			wrong = append(wrong, &NoMinimumError{c.Budget, edge})
		}
		law.Curves = append(law.Curves, c)
	}
	if len(wrong) == 0 {
		law.fit()
	}
	return law, wrong
}

func byBudget(points []Point) [][]Point {
	sorted := slices.Clone(points)
	slices.SortFunc(sorted, func(a, b Point) int {
		return cmp.Or(cmp.Compare(a.Budget, b.Budget), cmp.Compare(a.Tokens, b.Tokens))
	})
	var groups [][]Point
	for i, p := range sorted {
		if i == 0 || p.Budget != sorted[i-1].Budget {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], p)
	}
	return groups
}

// parabola fits one curve to at least three points, which come in order of their tokens. It reports false if its
// minimum does not lie between the first and the last of them.
func parabola(points []Point) (Curve, Edge, bool) {
	c := Curve{Budget: points[0].Budget, Points: points}
	first, last := points[0], points[len(points)-1]
	// Centred and scaled to [−1, 1], the normal equations are well conditioned.
	center, scale := math.Log(first.Tokens*last.Tokens)/2, math.Log(last.Tokens/first.Tokens)/2
	x, y := make([]float64, len(points)), make([]float64, len(points))
	for i, p := range points {
		x[i], y[i] = (math.Log(p.Tokens)-center)/scale, p.Loss
	}
	k := leastSquares(x, y, 2)
	at := -k[1] / (2 * k[2])
	if !(k[2] > 0) || !(math.Abs(at) < 1) {
		best := slices.MinFunc(points, func(a, b Point) int { return cmp.Compare(a.Loss, b.Loss) })
		switch best {
		case first:
			return c, Largest, false // the fewest tokens
		case last:
			return c, Smallest, false
		}
		return c, Neither, false
	}
	c.Tokens, c.Least, c.Curvature = math.Exp(center+scale*at), k[0]-k[2]*at*at, k[2]/(scale*scale)
	c.residuals = residuals(x, y, k)
	return c, Neither, true
}

// fit draws the line through the minima.
func (l *Law) fit() {
	x, n := make([]float64, len(l.Curves)), make([]float64, len(l.Curves))
	for i := range l.Curves {
		c := &l.Curves[i]
		x[i], n[i] = math.Log(c.Budget), math.Log(c.Params())
	}
	k := leastSquares(x, n, 1)
	l.A, l.Alpha, l.residuals = math.Exp(k[0]), k[1], residuals(x, n, k)
}

// sensible reports whether an exponent of N*(C) can be: with the budget, both the best size and its tokens grow.
func sensible(alpha float64) bool { return alpha > 0 && alpha < 1 }

// An Interval is where 95 % of the draws of a bootstrap lie.
type Interval struct{ Low, High float64 }

// draws is how many times the bootstrap fits.
const draws = 1000

// Bootstrap says how far the exponent and N*(target) can be trusted: the law is fitted again to points that lie on the
// curves but for residuals drawn from those of all curves together. Where three sizes per budget leave no residuals, the
// minima are shifted by residuals of the power law instead. It reports false if there are none of these either, or if
// most of the draws have no minimum: then the points say nothing about how far they can be trusted.
func (l *Law) Bootstrap(seed uint64, target float64) (alpha, params Interval, ok bool) {
	var pool []float64
	for i := range l.Curves {
		pool = append(pool, l.Curves[i].residuals...)
	}
	if len(pool) == 0 && len(l.residuals) == 0 {
		return Interval{}, Interval{}, false
	}
	r := rand.New(rand.NewPCG(seed, 0x5ca11a3))
	pick := func(from []float64) float64 { return from[r.IntN(len(from))] }
	var alphas, sizes []float64
	for range draws {
		draw := &Law{}
		whole := true
		for i := range l.Curves {
			c := l.Curves[i]
			if len(pool) == 0 {
				c.Tokens = c.Budget / (6 * l.Params(c.Budget)) * math.Exp(pick(l.residuals))
			} else {
				points := slices.Clone(c.Points)
				for j, p := range points {
					points[j].Loss = c.At(p.Tokens) + pick(pool)
				}
				var has bool
				c, _, has = parabola(points)
				whole = whole && has
			}
			draw.Curves = append(draw.Curves, c)
		}
		if whole {
			draw.fit()
			alphas, sizes = append(alphas, draw.Alpha), append(sizes, draw.Params(target))
		}
	}
	if 2*len(alphas) < draws {
		return Interval{}, Interval{}, false
	}
	return middle(alphas), middle(sizes), true
}

// middle is the interval without a fortieth at either end.
func middle(v []float64) Interval {
	slices.Sort(v)
	out := len(v) / 40
	return Interval{v[out], v[len(v)-1-out]}
}

// residuals are the distances from a fitted polynomial, scaled up for the freedom that the fit has taken; none if it
// has taken all.
func residuals(x, y, k []float64) []float64 {
	free := len(x) - len(k)
	if free <= 0 {
		return nil
	}
	scale := math.Sqrt(float64(len(x)) / float64(free))
	out := make([]float64, len(x))
	for i := range x {
		fitted := 0.0
		for j := len(k) - 1; j >= 0; j-- {
			fitted = fitted*x[i] + k[j]
		}
		out[i] = scale * (y[i] - fitted)
	}
	return out
}

// leastSquares fits y = Σ k[j]·x^j up to degree by the normal equations.
func leastSquares(x, y []float64, degree int) []float64 {
	n := degree + 1
	m := make([][]float64, n) // [n, n+1]
	for i := range m {
		m[i] = make([]float64, n+1)
		for p := range x {
			for j := range n {
				m[i][j] += math.Pow(x[p], float64(i+j))
			}
			m[i][n] += y[p] * math.Pow(x[p], float64(i))
		}
	}
	for i := range n { // Gauss and Jordan, with pivots
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
			for k := i; k <= n; k++ {
				m[j][k] -= f * m[i][k]
			}
		}
	}
	k := make([]float64, n)
	for i := range n {
		k[i] = m[i][n] / m[i][i]
	}
	return k
}
