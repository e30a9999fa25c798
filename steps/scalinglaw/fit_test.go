package scalinglaw

import (
	"math"
	"math/rand/v2"
	"testing"
)

// parametric is L(N, D) = E + A/N^α + B/D^β.
type parametric struct{ e, a, b, alpha, beta float64 }

func (p parametric) loss(n, d float64) float64 {
	return p.e + p.a/math.Pow(n, p.alpha) + p.b/math.Pow(d, p.beta)
}

// optimum is where the loss is least at a budget (arXiv 2203.15556, equation 4).
func (p parametric) optimum(c float64) (n float64) {
	g := math.Pow(p.alpha*p.a/(p.beta*p.b), 1/(p.alpha+p.beta))
	return g * math.Pow(c/6, p.exponent())
}

func (p parametric) exponent() float64 { return p.beta / (p.alpha + p.beta) }

// The two published laws: Hoffmann et al., and the refit of their data by Besiroglu et al. (arXiv 2404.10102).
var published = map[string]parametric{
	"Chinchilla": {1.69, 406.4, 410.7, 0.34, 0.28},
	"the refit":  {1.8172, 482.01, 2085.43, 0.3478, 0.3658},
}

// sweep samples a law at sizes around what 20 tokens per parameter would be, times shift.
func (p parametric) sweep(budgets []float64, sizes int, span, shift, noise float64, seed uint64) []Point {
	r := rand.New(rand.NewPCG(seed, 2))
	var points []Point
	for _, c := range budgets {
		for i := range sizes {
			n := shift * math.Sqrt(c/120) * math.Pow(span, 2*float64(i)/float64(sizes-1)-1)
			d := c / (6 * n)
			points = append(points, Point{Budget: c, Tokens: d, Loss: p.loss(n, d) + noise*r.NormFloat64()})
		}
	}
	return points
}

func TestFitRecoversPublishedLaws(t *testing.T) {
	budgets := []float64{6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21, 1e22} // those of Llama 3
	for name, p := range published {
		for _, s := range []struct {
			sizes       int
			span, shift float64
		}{{3, 3, 1}, {5, 4, 1}, {5, 4, 0.4}, {5, 4, 2}, {9, 16, 1}, {9, 16, 2.5}} {
			law, wrong := Fit(p.sweep(budgets, s.sizes, s.span, s.shift, 0, 0))
			if len(wrong) > 0 {
				t.Errorf("%s, %+v: %v", name, s, wrong[0])
				continue
			}
			if math.Abs(law.Alpha-p.exponent()) > 0.02 {
				t.Errorf("%s, %+v: exponent %.4f, want %.4f", name, s, law.Alpha, p.exponent())
			}
			for _, c := range []float64{1e20, 1e23} { // within, and ten times beyond
				if got, want := law.Params(c), p.optimum(c); math.Abs(math.Log(got/want)) > 0.12 {
					t.Errorf("%s, %+v: N*(%g) is %.3g, want %.3g", name, s, c, got, want)
				}
				if n := law.Params(c); math.Abs(6*n*law.Tokens(c)/c-1) > 1e-12 {
					t.Errorf("%s: N* and D* do not make up the budget %g", name, c)
				}
			}
		}
	}
}

// TestSurfaceRecoversPublishedLaws: far beyond the budgets too, where the constant is nearly all of the loss.
func TestSurfaceRecoversPublishedLaws(t *testing.T) {
	budgets := []float64{6e18, 6e19, 6e20, 6e21}
	const target = 3.8e25 // Llama 3's
	for name, p := range published {
		n := p.optimum(target)
		d := target / 6 / n
		exact := fitSurface(p.sweep(budgets, 5, 4, 1, 0, 0))
		if math.Abs(exact.E-p.e) > 0.01 || math.Abs(exact.Exponent()-p.exponent()) > 0.005 || exact.Error > 1e-5 {
			t.Errorf("%s: %+v", name, exact)
		}
		if got := exact.At(n, d); math.Abs(got-p.loss(n, d)) > 0.002 {
			t.Errorf("%s: the loss at the target is %.4f, want %.4f", name, got, p.loss(n, d))
		}
		held := 0
		const sweeps = 6
		for seed := range uint64(sweeps) {
			points := p.sweep(budgets, 5, 4, 1, 0.005, seed)
			s := fitSurface(points)
			within, ok := s.Bootstrap(points, seed, n, d)
			if !ok {
				t.Fatal("no interval")
			}
			if seed == 0 {
				if again, _ := s.Bootstrap(points, seed, n, d); again != within {
					t.Errorf("%v, and again %v", within, again)
				}
			}
			if within.Low <= p.loss(n, d) && p.loss(n, d) <= within.High && within.High-within.Low < 0.3 {
				held++
			}
		}
		if held < 4 {
			t.Errorf("%s: of %d intervals %d hold the loss", name, sweeps, held)
		}
	}
	// Five proxies or fewer are met exactly: they say nothing about how far they can be trusted.
	if _, ok := fitSurface(published["Chinchilla"].sweep(budgets[:1], 5, 4, 1, 0, 0)).Bootstrap(nil, 1, 1, 1); ok {
		t.Error("five proxies are taken to know their own error")
	}
}

func TestFitKeepsTheOrderOutOfIt(t *testing.T) {
	points := published["Chinchilla"].sweep([]float64{1e19, 1e20}, 5, 4, 1, 0.002, 1)
	a, _ := Fit(points)
	rand.New(rand.NewPCG(3, 4)).Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	b, _ := Fit(points)
	if a.Alpha != b.Alpha || a.A != b.A || len(b.Curves) != 2 || b.Curves[0].Budget != 1e19 {
		t.Errorf("%+v and %+v", a, b)
	}
}

func TestNoMinimum(t *testing.T) {
	p := published["Chinchilla"]
	for name, c := range map[string]struct {
		points []Point
		edge   Edge
	}{
		"all too large":   {p.sweep([]float64{1e20}, 5, 1.5, 20, 0, 0), Smallest},
		"all too small":   {p.sweep([]float64{1e20}, 5, 1.5, 0.03, 0, 0), Largest},
		"upside down":     {[]Point{{1, 1, 3}, {1, 2, 2}, {1, 4, 2.9}, {1, 8, 2.8}, {1, 16, 2.1}, {1, 32, 2.05}}, Neither},
		"a straight line": {[]Point{{1, 1, 3}, {1, 2, 2}, {1, 4, 1}}, Smallest},
		"level":           {[]Point{{1, 1, 3}, {1, 2, 3}, {1, 4, 3}}, Largest},
	} {
		law, wrong := Fit(c.points)
		if len(wrong) != 1 || wrong[0].Edge != c.edge || len(law.Curves) != 1 || law.Alpha != 0 {
			t.Errorf("%s: %v, %+v", name, wrong, law)
		}
	}
}

// TestBootstrapCovers: of many sweeps, the interval holds the truth in about 95 %; it widens with the noise, and is the
// same for the same seed.
func TestBootstrapCovers(t *testing.T) {
	p := published["Chinchilla"]
	width := map[float64]float64{}
	for _, noise := range []float64{0.001, 0.006} {
		const sweeps = 40
		alphas, sizes := 0, 0
		for seed := range uint64(sweeps) {
			points := p.sweep([]float64{1e19, 3e19, 1e20, 3e20}, 6, 4, 1, noise, seed)
			law, wrong := Fit(points)
			if len(wrong) > 0 {
				t.Fatal(wrong[0])
			}
			alpha, params, ok := law.Bootstrap(seed, 1e21)
			if again, _, _ := law.Bootstrap(seed, 1e21); !ok || again != alpha {
				t.Fatalf("%v, and again %v", alpha, again)
			}
			if alpha.Low <= p.exponent() && p.exponent() <= alpha.High {
				alphas++
			}
			if n := p.optimum(1e21); params.Low <= n && n <= params.High {
				sizes++
			}
			width[noise] += (alpha.High - alpha.Low) / sweeps
		}
		if min(alphas, sizes) < 34 {
			t.Errorf("noise %g: of %d intervals %d hold the exponent and %d hold N*", noise, sweeps, alphas, sizes)
		}
	}
	if width[0.006] < 4*width[0.001] || width[0.006] > 0.2 {
		t.Errorf("mean widths %v", width)
	}
}

func TestBootstrapWithoutResiduals(t *testing.T) {
	p := published["Chinchilla"]
	law, _ := Fit(p.sweep([]float64{1e19, 1e20}, 3, 3, 1, 0.001, 1))
	if _, _, ok := law.Bootstrap(1, 1e21); ok {
		t.Error("two budgets of three sizes are taken to know their own error")
	}
	law, _ = Fit(p.sweep([]float64{1e19, 5e19, 1e20}, 3, 3, 1, 0.001, 1))
	alpha, _, ok := law.Bootstrap(1, 1e21)
	if !ok || alpha.Low > law.Alpha || alpha.High < law.Alpha || alpha.Low == alpha.High {
		t.Errorf("three budgets of three sizes: %v %v around %g", alpha, ok, law.Alpha)
	}
}
