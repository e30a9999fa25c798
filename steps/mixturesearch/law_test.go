package mixturesearch

import (
	"math"
	"math/rand/v2"
	"testing"
)

// synthetic is a target of two held-out parts over three training parts: code and prose help their own kind, noise
// neither.
var synthetic = &law{
	shares: []float64{0.5, 0.5},
	parts: []partLaw{
		{constant: 1.2, level: 0.3, slopes: []float64{-1.5, 0.2, 0.6}, mean: make([]float64, 3)},
		{constant: 2.0, level: 0.1, slopes: []float64{0.3, -1.1, 0.4}, mean: make([]float64, 3)},
	},
}

// sampled is what proxies of the design would measure under a law.
func sampled(l *law, n int, noise float64) (weights, losses [][]float64) {
	d := design{Concentration: 1}
	r := rand.New(rand.NewPCG(3, 4))
	for p := range n {
		w := d.weights(p, 7, []float64{5, 3, 2}, []float64{5, 3, 2})
		var loss []float64
		for j := range l.parts {
			loss = append(loss, l.parts[j].at(w)+noise*r.NormFloat64())
		}
		weights, losses = append(weights, w), append(losses, loss)
	}
	return weights, losses
}

func bounds(k int, most float64) (low, high []float64) {
	low, high = make([]float64, k), make([]float64, k)
	for i := range high {
		high[i] = most
	}
	return low, high
}

// TestFitFindsTheBestMixture: the weights that a known law is least at are found from losses with noise.
func TestFitFindsTheBestMixture(t *testing.T) {
	for name, test := range map[string]struct {
		n                         int
		noise, most, offBy, worse float64
	}{
		"exact":                    {16, 0, 1, 0.02, 1e-3},
		"few":                      {fewest(3), 0, 1, 0.1, 5e-3},
		"noise of half a per cent": {24, 0.01, 1, 0.1, 5e-3},
		"capped":                   {16, 0, 0.4, 0.02, 1e-3},
	} {
		weights, losses := sampled(synthetic, test.n, test.noise)
		low, high := bounds(3, test.most)
		want := optimum(synthetic, low, high)
		found := fit(weights, losses, synthetic.shares)
		got := optimum(found, low, high)
		for i := range got {
			if math.Abs(got[i]-want[i]) > test.offBy || got[i] > test.most+1e-9 {
				t.Errorf("%s: %.3f, the best is %.3f", name, got, want)
				break
			}
		}
		if worse := synthetic.at(got) - synthetic.at(want); worse > test.worse || worse < -1e-9 {
			t.Errorf("%s: %g worse than the best", name, worse)
		}
		miss := 0.0
		for p, predicted := range leaveOneOut(weights, losses, synthetic.shares) {
			miss += square(predicted - (losses[p][0]+losses[p][1])/2)
		}
		miss = math.Sqrt(miss / float64(test.n))
		if miss > 3*test.noise+0.03 || test.noise > 0 && miss < test.noise/3 {
			t.Errorf("%s: left out, a mixture is missed by %g", name, miss)
		}
	}
}

// TestOptimum holds the search against a fine grid of the simplex.
func TestOptimum(t *testing.T) {
	for _, bound := range []struct{ low, high []float64 }{
		{[]float64{0, 0, 0}, []float64{1, 1, 1}},
		{[]float64{0.1, 0, 0.3}, []float64{1, 0.2, 1}},
		{[]float64{0, 0, 0}, []float64{0.5, 0.3, 0.2}}, // one point
	} {
		got := optimum(synthetic, bound.low, bound.high)
		least := math.Inf(1)
		const n = 200
		for i := range n + 1 {
			for j := range n + 1 - i {
				w := []float64{float64(i) / n, float64(j) / n, float64(n-i-j) / n}
				inside := true
				for a := range w {
					inside = inside && w[a] >= bound.low[a]-1e-9 && w[a] <= bound.high[a]+1e-9
				}
				if inside {
					least = min(least, synthetic.at(w))
				}
			}
		}
		if at := synthetic.at(got); at > least+1e-6 || math.Abs(sum(got)-1) > 1e-9 {
			t.Errorf("%.4f in %v: %.6f, on a grid %.6f", got, bound, at, least)
		}
	}
}

// TestDesign: the first mixtures are the named ones, the draws are around the center, and none depends on how many
// there are.
func TestDesign(t *testing.T) {
	sizes, center := []float64{600, 300, 100}, []float64{1, 1, 2}
	for _, concentration := range []float64{0.1, 1, 30} {
		d := design{Concentration: concentration}
		if w := d.weights(0, 1, sizes, center); w[0] != 0.6 || w[1] != 0.3 {
			t.Errorf("proportional: %v", w)
		}
		if w := d.weights(1, 1, sizes, center); w[0] != 1./3 || w[2] != 1./3 {
			t.Errorf("uniform: %v", w)
		}
		const n = 1000
		mean, spread := make([]float64, 3), 0.0
		for p := range n {
			w := d.weights(p+2, 1, sizes, center)
			if math.Abs(sum(w)-1) > 1e-12 {
				t.Fatalf("draw %d is %v", p, w)
			}
			for i := range w {
				mean[i] += w[i] / n
			}
			spread += square(w[2]-0.5) / n
		}
		for i, want := range []float64{0.25, 0.25, 0.5} {
			if math.Abs(mean[i]-want) > 0.02 {
				t.Errorf("the draws' mean is %.3f", mean)
				break
			}
		}
		if want := 0.25 / (3*concentration + 1); math.Abs(spread/want-1) > 0.15 { // of a Dirichlet distribution
			t.Errorf("concentration %g: variance %g, want %g", concentration, spread, want)
		}
	}
	d := design{Concentration: 1}
	if a, b := d.weights(5, 1, sizes, center), d.weights(5, 2, sizes, center); a[0] == b[0] {
		t.Error("the seed makes no difference")
	}
}

// TestLeftOut holds the short way to the error of an observation left out against the long one: for a ridge of next to
// nothing the fit without it is the same.
func TestLeftOut(t *testing.T) {
	weights, losses := sampled(synthetic, 9, 0.02)
	var all []observation
	for p := range weights {
		all = append(all, observation{weights[p], losses[p][0]})
	}
	const constant, ridge = 1.0, 1e-9
	_, got := linear(all, constant, ridge)
	want := 0.0
	for i, o := range all {
		l, _ := linear(without(all, i), constant, ridge)
		want += square(l.at(o.weights) - o.loss)
	}
	if math.Abs(got/want-1) > 1e-4 {
		t.Errorf("%g, the long way %g", got, want)
	}
}
