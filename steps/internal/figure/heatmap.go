package figure

import (
	"fmt"
	"html"
	"math"
)

// A HeatMap is a table of shares from 0 to 1, drawn as coloured fields.
type HeatMap struct {
	Title          string
	XLabel, YLabel string
	Columns, Rows  []string    // names
	Values         [][]float64 // by row, from the top, and column
}

// The colours of 0 and 1, and of what is between: red, pale yellow, green.
var heat = [3][3]float64{{0xd7, 0x30, 0x27}, {0xff, 0xf0, 0xb0}, {0x1a, 0x98, 0x50}}

// narrowField is the width in pixels of a field that has room for its share.
const narrowField = 36

// SVG returns the picture as an SVG document.
func (m *HeatMap) SVG() []byte {
	p := newPicture(m.Title)
	top := p.names(nil)
	wide := float64(width-left-right) / float64(max(1, len(m.Columns)))
	high := (height - top - bottom) / float64(max(1, len(m.Rows)))
	for i, row := range m.Values {
		y := top + float64(i)*high
		for j, v := range row {
			x := left + float64(j)*wide
			share := number(math.Round(100*v)) + " %"
			fmt.Fprintf(p, `<rect class="field" x="%s" y="%s" width="%s" height="%s" fill="%s" stroke="#ffffff"><title>%s</title></rect>`+"\n",
				number(x), number(y), number(wide), number(high), heatColour(v), html.EscapeString(m.Columns[j]+" "+m.XLabel+", "+m.Rows[i]+": "+share))
			if wide >= narrowField {
				fmt.Fprintf(p, `<text x="%s" y="%s" text-anchor="middle" fill="#1f2328" pointer-events="none">%s</text>`+"\n", number(x+wide/2), number(y+high/2+4), share)
			}
		}
	}
	every := 1
	for every*int(wide) < narrowField && every < len(m.Columns) {
		every++
	}
	for j := 0; j < len(m.Columns); j += every {
		p.text(left+(float64(j)+0.5)*wide, height-bottom+16, "middle", m.Columns[j], "")
	}
	for i, name := range m.Rows {
		p.text(left-7, top+(float64(i)+0.5)*high+4, "end", name, "")
	}
	p.labels(top, m.XLabel, m.YLabel)
	return p.end()
}

// heatColour is the colour of a share.
func heatColour(v float64) string {
	v = min(max(v, 0), 1)
	low, high, p := heat[0], heat[1], 2*v
	if v > 0.5 {
		low, high, p = heat[1], heat[2], 2*v-1
	}
	var c [3]int
	for i := range c {
		c[i] = int(math.Round(low[i] + (high[i]-low[i])*p))
	}
	return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2])
}
