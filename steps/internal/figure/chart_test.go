package figure

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// elements parses a picture and counts its elements by name.
func elements(t *testing.T, svg []byte) map[string]int {
	t.Helper()
	count := map[string]int{}
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return count
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			count[e.Name.Local]++
		}
	}
}

func TestChartIsWellFormed(t *testing.T) {
	c := Chart{Title: "loss & <speed>", XLabel: "tokens", YLabel: "nats", LogX: true, Series: []Series{
		{Name: "train", X: []float64{0, 10, 100, 1000, 2000}, Y: []float64{9, 8, math.NaN(), 4, math.Inf(1)}},
		{Name: "held-out", X: []float64{500, 1000}, Y: []float64{5, 4.5}, Points: true},
		{Name: "empty"},
	}}
	svg := c.SVG()
	if n := elements(t, svg); n["svg"] != 1 || n["circle"] != 2+2 || strings.Contains(string(svg), "empty") {
		t.Errorf("elements %v", n)
	}
	if s := string(svg); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") || !strings.Contains(s, "loss &amp; &lt;speed&gt;") {
		t.Error(s)
	}
	if again := c.SVG(); !slices.Equal(svg, again) {
		t.Error("the same chart gives another picture")
	}
}

// TestSeriesTogether: marks without a line, in the colour of another series, which alone is named.
func TestSeriesTogether(t *testing.T) {
	c := Chart{Series: []Series{
		{Name: "points", X: []float64{1, 2, 3}, Y: []float64{2, 1, 2}, NoLine: true},
		{Colour: 1, X: []float64{1, 2, 3}, Y: []float64{2, 1, 2}},
		{Name: "other", X: []float64{1, 2}, Y: []float64{1, 2}},
	}}
	svg := string(c.SVG())
	lines := strings.Count(svg, `fill="none" stroke="`+colours[0]) + 10*strings.Count(svg, `fill="none" stroke="`+colours[1])
	marks := strings.Count(svg, `r="3" class="f1" fill="`+colours[0])
	if lines != 11 || marks != 3 || strings.Count(svg, colours[2]) > 0 {
		t.Errorf("lines %d, marks %d in\n%s", lines, marks, svg)
	}
	if !strings.Contains(svg, `<rect class="f1" x="8" `) || !strings.Contains(svg, ">points<") || !strings.Contains(svg, ">other<") || strings.Contains(svg, `<rect class="f3"`) {
		t.Errorf("the names do not stand below the title, each with its colour:\n%s", svg)
	}
}

func TestChartWithNothing(t *testing.T) {
	elements(t, (&Chart{}).SVG())
	elements(t, (&Chart{Series: []Series{{X: []float64{3}, Y: []float64{2}}}}).SVG())
}

func TestTicksAreRoundAndWithin(t *testing.T) {
	for _, c := range []struct {
		log       bool
		low, high float64
		want      []float64
	}{
		{false, 0, 100, []float64{0, 20, 40, 60, 80, 100}},
		{false, 2.13, 4.4, []float64{2.5, 3, 3.5, 4}},
		{true, 1, 1e4, []float64{1, 10, 100, 1000, 1e4}},
		{true, 3, 70, []float64{5, 10, 20, 50}},
	} {
		a := newAxis(c.log)
		a.include(c.low)
		a.include(c.high)
		a.settle(0, 100)
		got := a.ticks()
		if len(got) != len(c.want) {
			t.Errorf("%g to %g: %v, want %v", c.low, c.high, got, c.want)
			continue
		}
		for i := range got {
			if math.Abs(got[i]-c.want[i]) > 1e-9*c.want[i] {
				t.Errorf("%g to %g: %v, want %v", c.low, c.high, got, c.want)
			}
		}
	}
}

func TestHeatMap(t *testing.T) {
	m := HeatMap{Title: "<found>", XLabel: "tokens", YLabel: "depth", Columns: []string{"10", "20", "30"}, Rows: []string{"a", "b"},
		Values: [][]float64{{0, 0.5, 1}, {1, 0.25, 0}}}
	svg := m.SVG()
	if n := elements(t, svg); n["svg"] != 1 || n["rect"] != 7 {
		t.Errorf("elements %v", n)
	}
	s := string(svg)
	for colour, times := range map[string]int{"#d73027": 2, "#fff0b0": 1, "#1a9850": 2} {
		if strings.Count(s, colour) != times {
			t.Errorf("%s stands there %d times in\n%s", colour, strings.Count(s, colour), s)
		}
	}
	if !strings.Contains(s, ">25 %<") || !strings.Contains(s, "&lt;found&gt;") {
		t.Error(s)
	}
	elements(t, (&HeatMap{}).SVG())
}
