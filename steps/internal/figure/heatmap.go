package figure

import (
	"fmt"
	"math"
	"strings"
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

// SVG returns the picture as an SVG document.
func (m *HeatMap) SVG() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", width, height)
	text(&b, width/2, 22, "middle", m.Title, ` font-size="15"`)
	wide := float64(width-left-right) / float64(max(1, len(m.Columns)))
	high := float64(height-top-bottom) / float64(max(1, len(m.Rows)))
	for i, row := range m.Values {
		y := top + float64(i)*high
		for j, v := range row {
			x := left + float64(j)*wide
			fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s" stroke="white"/>`+"\n",
				number(x), number(y), number(wide), number(high), heatColour(v))
			text(&b, x+wide/2, y+high/2+4, "middle", number(math.Round(100*v))+" %", "")
		}
	}
	for j, name := range m.Columns {
		text(&b, left+(float64(j)+0.5)*wide, float64(height-bottom+18), "middle", name, "")
	}
	for i, name := range m.Rows {
		text(&b, float64(left-8), top+(float64(i)+0.5)*high+4, "end", name, "")
	}
	text(&b, (left+width-right)/2, height-16, "middle", m.XLabel, "")
	text(&b, 18, (top+height-bottom)/2, "middle", m.YLabel, fmt.Sprintf(` transform="rotate(-90 18 %d)"`, (top+height-bottom)/2))
	b.WriteString("</svg>\n")
	return []byte(b.String())
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
