package figure

import (
	"math"
	"strings"
	"testing"
)

func TestBars(t *testing.T) {
	c := Bars{Title: "weights", YLabel: "share", Groups: []string{"code", "a < b"}, Series: []BarSeries{
		{Name: "best", Values: []float64{0.75, 0.25}}, {Name: "uniform", Values: []float64{0.5, math.NaN()}},
	}}
	svg := c.SVG()
	if n := elements(t, svg)["rect"]; n != 1+2+3 {
		t.Errorf("%d rectangles for a background, two names and three bars", n)
	}
	if !strings.Contains(string(svg), "a &lt; b") {
		t.Error("a group has no name")
	}
	none := Bars{}
	if n := elements(t, none.SVG())["rect"]; n != 1 {
		t.Errorf("%d rectangles for nothing", n)
	}
}
