package figure

import (
	"fmt"
	"strings"
)

// Bars is groups of bars side by side, from 0 up.
type Bars struct {
	Title, YLabel string
	Groups        []string // names below the groups
	Series        []BarSeries
}

// A BarSeries is one bar in each group.
type BarSeries struct {
	Name   string
	Values []float64 // one per group, from 0
}

// SVG returns the picture as an SVG document.
func (c *Bars) SVG() []byte {
	y := newAxis(false)
	y.include(0)
	for _, s := range c.Series {
		for _, v := range s.Values {
			if y.shows(v) {
				y.include(v)
			}
		}
	}
	y.settle(height-bottom, float64(top+16*len(c.Series)+8)) // the names of the series stand above the bars
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, width/2, 22, "middle", c.Title, ` font-size="15"`)
	for _, v := range y.ticks() {
		at := y.place(v)
		fmt.Fprintf(&b, `<path d="M%d %sH%d" stroke="#ddd"/>`+"\n", left, number(at), width-right)
		text(&b, left-8, at+4, "end", short(v), "")
	}
	text(&b, 18, (top+height-bottom)/2, "middle", c.YLabel, fmt.Sprintf(` transform="rotate(-90 18 %d)"`, (top+height-bottom)/2))
	group := float64(width-left-right) / float64(max(1, len(c.Groups)))
	bar := group * 0.8 / float64(max(1, len(c.Series)))
	floor := y.place(0)
	for g, name := range c.Groups {
		at := left + group*float64(g)
		text(&b, at+group/2, height-bottom+18, "middle", name, "")
		for i, s := range c.Series {
			if !y.shows(s.Values[g]) {
				continue
			}
			ceiling := y.place(s.Values[g])
			fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n",
				number(at+group*0.1+bar*float64(i)), number(ceiling), number(bar), number(floor-ceiling), colours[i%len(colours)])
		}
	}
	fmt.Fprintf(&b, `<path d="M%d %dV%dH%d" fill="none" stroke="black"/>`+"\n", left, top, height-bottom, width-right)
	for i, s := range c.Series {
		text(&b, width-right-6, float64(top+16+16*i), "end", s.Name, fmt.Sprintf(` fill="%s"`, colours[i%len(colours)]))
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}
