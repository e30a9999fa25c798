package figure

import (
	"math"
	"strings"
	"testing"
)

// noisy is a line from 0 to 1 with noise of ±0.5 about it and one spike.
func noisy(n int) Series {
	s := Series{Name: "loss", Smooth: true}
	for i := range n {
		y := float64(i) / float64(n)
		if i%2 == 0 {
			y += 0.5
		} else {
			y -= 0.5
		}
		if i == n/2 {
			y = 9
		}
		s.X, s.Y = append(s.X, float64(i)), append(s.Y, y)
	}
	return s
}

func placed(s Series) ([]place, *axis) {
	x, y := newAxis(false), newAxis(false)
	for i := range s.X {
		x.include(s.X[i])
		y.include(s.Y[i])
	}
	x.settle(left, width-right)
	y.settle(height-bottom, 40)
	var points []place
	for i := range s.X {
		points = append(points, place{x.place(s.X[i]), y.place(s.Y[i]), s.X[i], s.Y[i]})
	}
	return points, y
}

func TestThinKeepsTheOutline(t *testing.T) {
	points, _ := placed(noisy(20000))
	thinned := thin(points)
	if most := 4 * (width - left - right) / int(column); len(thinned) > most+4 {
		t.Errorf("%d points are left of %d: at most %d can be told apart", len(thinned), len(points), most)
	}
	spike := false
	for i, p := range thinned {
		spike = spike || p.vy == 9
		if i > 0 && p.x < thinned[i-1].x {
			t.Fatalf("point %d lies before the one before it", i)
		}
	}
	if !spike || thinned[0] != points[0] || thinned[len(thinned)-1] != points[len(points)-1] {
		t.Error("the spike, the first point or the last is gone")
	}
}

func TestSmoothFollowsTheMean(t *testing.T) {
	s := noisy(20000)
	s.Y[10000] = 0.5 // without the spike
	points, y := placed(s)
	for _, p := range smooth(points, y)[5:190] {
		if want := p.vx / 20000; math.Abs(p.vy-want) > 0.01 {
			t.Errorf("at %g the mean is %g, not %g", p.vx, p.vy, want)
		}
	}
}

// A line of many points is drawn twice, faint and smoothed; one of few points once. Neither grows with the points.
func TestManyPointsAreSmoothed(t *testing.T) {
	draw := func(n int) string {
		c := Chart{Title: "Loss", Series: []Series{noisy(n)}}
		return string(c.SVG())
	}
	if got := strings.Count(draw(30), `class="l1"`); got != 1 {
		t.Errorf("30 points are drawn as %d lines", got)
	}
	if got := strings.Count(draw(3000), `class="l1"`); got != 2 {
		t.Errorf("3000 points are drawn as %d lines", got)
	}
	if size := len(draw(100_000)); size > 40_000 {
		t.Errorf("100,000 points take %d bytes", size)
	}
}
