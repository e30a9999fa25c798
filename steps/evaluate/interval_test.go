package evaluate

import (
	"math"
	"testing"
)

func TestShare(t *testing.T) {
	// Low and High: the roots of (p − x)² = z²·x(1−x)/n. StdErr: √(p(1−p)/(n−1)).
	for _, c := range []struct {
		right, n  int
		low, high float64
	}{
		{8, 10, 0.49016247, 0.94331784}, {0, 20, 0, 0.16112516}, {20, 20, 0.83887484, 1}, {1, 1, 0.20654931, 1}, {50, 100, 0.40383153, 0.59616847},
	} {
		values := make([]float64, c.n)
		for i := range c.right {
			values[i] = 1
		}
		f := share(values)
		p := float64(c.right) / float64(c.n)
		stderr := 0.0
		if c.n > 1 {
			stderr = math.Sqrt(p * (1 - p) / float64(c.n-1))
		}
		for name, pair := range map[string][2]float64{"value": {f.Value, p}, "low": {f.Low, c.low}, "high": {f.High, c.high}, "stderr": {f.StdErr, stderr}} {
			if math.Abs(pair[0]-pair[1]) > 1e-7 {
				t.Errorf("%d of %d: %s %.8f, want %.8f", c.right, c.n, name, pair[0], pair[1])
			}
		}
	}
}

func TestRatio(t *testing.T) {
	// By hand: Σnum/Σden = 12/8; residuals 3−1.5, 1−3, 8−7.5.
	f := ratio([]float64{3, 1, 8}, []float64{1, 2, 5})
	want := math.Sqrt((1.5*1.5+2*2+0.5*0.5)*3/2) / 8
	if f.Value != 1.5 || math.Abs(f.StdErr-want) > 1e-12 || math.Abs(f.High-f.Value-normal95*want) > 1e-12 || math.Abs(f.Value-f.Low-normal95*want) > 1e-12 {
		t.Errorf("%+v, want a standard error of %g", f, want)
	}
	if f := ratio([]float64{3}, []float64{2}); f.Value != 1.5 || f.StdErr != 0 || f.Low != 1.5 {
		t.Errorf("%+v of one item", f)
	}
}
