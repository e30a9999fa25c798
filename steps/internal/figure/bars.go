package figure

import (
	"fmt"
	"html"
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
	p, y := newPicture(c.Title), newAxis(false)
	y.include(0)
	var names []name
	for i, s := range c.Series {
		names = append(names, name{s.Name, i % len(colours)})
		for _, v := range s.Values {
			if y.shows(v) {
				y.include(v)
			}
		}
	}
	top := p.names(names)
	y.settle(height-bottom, top)
	p.frame(nil, y, top, "", c.YLabel)
	group := float64(width-left-right) / float64(max(1, len(c.Groups)))
	bar := group * 0.8 / float64(max(1, len(c.Series)))
	floor := y.place(0)
	for g, name := range c.Groups {
		at := left + group*float64(g)
		p.text(at+group/2, height-bottom+16, "middle", fit(name, group), "")
		for i, s := range c.Series {
			if !y.shows(s.Values[g]) {
				continue
			}
			ceiling, paint := y.place(s.Values[g]), i%len(colours)
			fmt.Fprintf(p, `<rect class="f%d" x="%s" y="%s" width="%s" height="%s" fill="%s"><title>%s</title></rect>`+"\n",
				paint+1, number(at+group*0.1+bar*float64(i)), number(ceiling), number(bar), number(floor-ceiling), colours[paint],
				html.EscapeString(fmt.Sprintf("%s, %s: %s", name, s.Name, short(s.Values[g]))))
		}
	}
	return p.end()
}

// fit shortens a name so that it does not run into the next.
func fit(name string, pixels float64) string {
	letters, room := []rune(name), int(pixels/charWidth)
	if len(letters) <= room {
		return name
	}
	return string(letters[:max(room-1, 0)]) + "…"
}
