// Package figure draws the figures of reports as SVG: text that any browser shows, that does not change from run to run,
// and that can be compared line by line. It knows axes and lines, not what they mean.
//
// Start at [Chart].
package figure

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// A Chart is lines over a common pair of axes.
type Chart struct {
	Title          string
	XLabel, YLabel string
	LogX, LogY     bool // logarithmic axes; points that are not positive are left out
	NamesInside    bool // the names of the series stand in the middle, where curves that open upwards leave room
	Series         []Series
}

// A Series is one line.
type Series struct {
	Name   string
	X, Y   []float64 // of equal length; points that are not finite are left out
	Points bool      // marks at the points, for few of them
	NoLine bool      // marks alone
	Colour int       // from 1: that of the first, second … series without one; 0: a new one
}

// The picture's measures, in pixels.
const (
	width, height            = 720, 420
	left, right, top, bottom = 70, 20, 40, 60
	mostPoints               = 1000 // of a line: more cannot be told apart
)

var colours = []string{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f"}

// SVG returns the picture as an SVG document.
func (c *Chart) SVG() []byte {
	x, y := newAxis(c.LogX), newAxis(c.LogY)
	for _, s := range c.Series {
		for i := range s.X {
			if x.shows(s.X[i]) && y.shows(s.Y[i]) {
				x.include(s.X[i])
				y.include(s.Y[i])
			}
		}
	}
	x.settle(left, width-right)
	y.settle(height-bottom, top)

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, width/2, 22, "middle", c.Title, ` font-size="15"`)
	for _, v := range x.ticks() {
		at := x.place(v)
		fmt.Fprintf(&b, `<path d="M%s %dV%d" stroke="#ddd"/>`+"\n", number(at), top, height-bottom)
		text(&b, at, height-bottom+18, "middle", short(v), "")
	}
	for _, v := range y.ticks() {
		at := y.place(v)
		fmt.Fprintf(&b, `<path d="M%d %sH%d" stroke="#ddd"/>`+"\n", left, number(at), width-right)
		text(&b, left-8, at+4, "end", short(v), "")
	}
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="black"/>`+"\n", left, top, height-bottom, width-right)
	text(&b, (left+width-right)/2, height-16, "middle", c.XLabel, "")
	text(&b, 18, (top+height-bottom)/2, "middle", c.YLabel, fmt.Sprintf(` transform="rotate(-90 18 %d)"`, (top+height-bottom)/2))
	rows, colour := 0, 0
	for _, s := range c.Series {
		paint := s.Colour - 1
		if s.Colour == 0 {
			paint = colour
			colour++
		}
		c.line(&b, s, x, y, colours[paint%len(colours)])
		if s.Name != "" {
			at, anchor := width-right-6, "end"
			if c.NamesInside {
				at, anchor = (left+width-right)/2, "middle"
			}
			text(&b, at, float64(top+16+16*rows), anchor, s.Name, fmt.Sprintf(` fill="%s"`, colours[paint%len(colours)]))
			rows++
		}
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// line draws one series.
func (c *Chart) line(b *strings.Builder, s Series, x, y *axis, colour string) {
	var path, marks strings.Builder
	every := (len(s.X) + mostPoints - 1) / mostPoints
	for i := range s.X {
		last := i == len(s.X)-1
		if !x.shows(s.X[i]) || !y.shows(s.Y[i]) || i%every != 0 && !last {
			continue
		}
		command := "L"
		if path.Len() == 0 {
			command = "M"
		}
		px, py := number(x.place(s.X[i])), number(y.place(s.Y[i]))
		fmt.Fprintf(&path, "%s%s %s", command, px, py)
		if s.Points || s.NoLine {
			fmt.Fprintf(&marks, `<circle cx="%s" cy="%s" r="3" fill="%s"/>`+"\n", px, py, colour)
		}
	}
	if !s.NoLine {
		fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`+"\n", path.String(), colour)
	}
	b.WriteString(marks.String())
}

func text[X, Y int | float64](b *strings.Builder, x X, y Y, anchor, s, attributes string) {
	fmt.Fprintf(b, `<text x="%s" y="%s" text-anchor="%s"%s>%s</text>`+"\n",
		number(float64(x)), number(float64(y)), anchor, attributes, html.EscapeString(s))
}

// number writes a coordinate to a tenth of a pixel.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(10*v)/10, 'f', -1, 64)
}

// short writes the value of a tick: 1500000 as 1.5M.
func short(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if math.Abs(v) >= unit.size {
			if math.Abs(v) >= 1e15 {
				break
			}
			return strconv.FormatFloat(v/unit.size, 'g', 4, 64) + unit.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
