// Package figure draws the figures of reports as SVG: text that any browser shows, on white paper and on black, that does
// not change from run to run, and that can be compared line by line. It knows axes and lines, not what they mean.
//
// Start at [Chart]; [Curves] makes one of the figures that a step has recorded.
package figure

import (
	"fmt"
	"html"
	"strings"
)

// A Chart is lines over a common pair of axes.
type Chart struct {
	Title          string
	XLabel, YLabel string
	LogX, LogY     bool // logarithmic axes; points that are not positive are left out
	Series         []Series
}

// A Series is one line.
type Series struct {
	Name   string
	X, Y   []float64 // of equal length; points that are not finite are left out
	Points bool      // marks at the points, for few of them
	NoLine bool      // marks alone
	Smooth bool      // where there are many points: what they come to, over a faint line of all of them
	Colour int       // from 1: that of the first, second … series without one; 0: a new one
}

// SVG returns the picture as an SVG document.
func (c *Chart) SVG() []byte {
	p := newPicture(c.Title)
	x, y := newAxis(c.LogX), newAxis(c.LogY)
	paint := make([]int, len(c.Series))
	var names []name
	for i, s := range c.Series {
		paint[i] = c.colour(i) % len(colours)
		shown := 0
		for j := range s.X {
			if x.shows(s.X[j]) && y.shows(s.Y[j]) {
				x.include(s.X[j])
				y.include(s.Y[j])
				shown++
			}
		}
		if s.Name != "" && shown > 0 {
			names = append(names, name{s.Name, paint[i]})
		}
	}
	top := p.names(names)
	x.settle(left, width-right)
	y.settle(height-bottom, top)
	y.pad()
	p.frame(x, y, top, c.XLabel, c.YLabel)
	for i := range c.Series {
		c.line(p, &c.Series[i], x, y, paint[i])
	}
	return p.end()
}

// colour is that of the series i, from 0.
func (c *Chart) colour(i int) int {
	if of := c.Series[i].Colour; of > 0 {
		return of - 1
	}
	n := 0
	for _, s := range c.Series[:i] {
		if s.Colour == 0 {
			n++
		}
	}
	return n
}

// A place is a point of a line, in pixels, and what it stands for.
type place struct{ x, y, vx, vy float64 }

// line draws one series.
func (c *Chart) line(p *picture, s *Series, x, y *axis, paint int) {
	var points []place
	for i := range s.X {
		if x.shows(s.X[i]) && y.shows(s.Y[i]) {
			points = append(points, place{x.place(s.X[i]), y.place(s.Y[i]), s.X[i], s.Y[i]})
		}
	}
	switch {
	case s.Points || s.NoLine:
		if !s.NoLine {
			c.path(p, points, paint, `stroke-width="1.8"`)
		}
		for _, at := range points {
			c.mark(p, at, 3, fmt.Sprintf(`class="f%d" fill="%s"`, paint+1, colours[paint]))
		}
		return
	case s.Smooth && len(points) > manyPoints:
		c.path(p, thin(points), paint, `stroke-width="1" opacity="0.3"`)
		points = smooth(points, y)
	default:
		points = thin(points)
	}
	c.path(p, points, paint, `stroke-width="1.8"`)
	for i, every := 0, max(1, len(points)/hovers); i < len(points); i += every { // what a reader can point at
		c.mark(p, points[i], 5, `fill="none" pointer-events="all"`)
	}
}

// path draws a line through places.
func (c *Chart) path(p *picture, points []place, paint int, attributes string) {
	if len(points) == 0 {
		return
	}
	var d strings.Builder
	for i, at := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&d, "%s%s %s", command, number(at.x), number(at.y))
	}
	fmt.Fprintf(p, `<path class="l%d" d="%s" fill="none" stroke="%s" stroke-linejoin="round" %s/>`+"\n", paint+1, d.String(), colours[paint], attributes)
}

// mark draws a disc that says its values when pointed at.
func (c *Chart) mark(p *picture, at place, radius int, attributes string) {
	says := fmt.Sprintf("%s %s: %s", short(at.vx), c.XLabel, short(at.vy))
	fmt.Fprintf(p, `<circle cx="%s" cy="%s" r="%d" %s><title>%s</title></circle>`+"\n",
		number(at.x), number(at.y), radius, attributes, html.EscapeString(says))
}
