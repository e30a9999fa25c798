package figure

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// The picture's measures, in pixels. Small, so that the letters can still be read where a telephone shows it.
const (
	width, height = 480, 300
	left, right   = 72, 16
	bottom        = 46
	titleAt       = 20
	charWidth     = 6.3 // of a letter, about
)

// The colours of the series, on white paper and on black.
var (
	colours = []string{"#2563c9", "#c8442d", "#1c8a54", "#8250c4", "#b8720a", "#0b8a9c", "#b0307d", "#6b7280"}
	bright  = []string{"#79aaff", "#ff8f78", "#5ccf95", "#bd9bff", "#f0b34f", "#55c9da", "#f287c4", "#a3acb8"}
)

// Style is the style sheet of every picture: for paper that is black, since what is white is written as attributes. A
// page that holds several pictures needs it once.
var Style = style()

func style() string {
	var b strings.Builder
	b.WriteString("@media screen and (prefers-color-scheme:dark){")
	b.WriteString(".fig .paper{fill:#16181d}.fig .ink{fill:#e6e8eb}.fig .soft{fill:#9aa4af}.fig .grid{stroke:#2d333b}.fig .axis{stroke:#6e7681}.fig .field{stroke:#16181d}")
	for i, colour := range bright {
		fmt.Fprintf(&b, ".fig .l%d{stroke:%s}.fig .f%[1]d{fill:%[2]s}", i+1, colour)
	}
	b.WriteString("}")
	return b.String()
}

// picture writes one SVG document.
type picture struct{ strings.Builder }

// newPicture begins with the paper and the title.
func newPicture(title string) *picture {
	p := &picture{}
	fmt.Fprintf(p, `<svg xmlns="http://www.w3.org/2000/svg" class="fig" role="img" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(p, "<title>%s</title>\n<style>%s</style>\n", html.EscapeString(title), Style)
	fmt.Fprintf(p, `<rect class="paper" width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	fmt.Fprintf(p, `<text class="ink" x="8" y="%d" font-size="14" font-weight="600" fill="#1f2328">%s</text>`+"\n", titleAt, html.EscapeString(title))
	return p
}

func (p *picture) end() []byte {
	p.WriteString("</svg>\n")
	return []byte(p.String())
}

// text writes what explains: soft, so that the data stands out.
func (p *picture) text(x, y float64, anchor, s, attributes string) {
	fmt.Fprintf(p, `<text class="soft" x="%s" y="%s" text-anchor="%s" fill="#59636e"%s>%s</text>`+"\n",
		number(x), number(y), anchor, attributes, html.EscapeString(s))
}

// names writes the legend below the title, in as many rows as it takes, and returns where the plot may begin.
func (p *picture) names(list []name) float64 {
	const row = 17
	x, y := 8.0, float64(titleAt+row+2)
	if len(list) == 0 {
		return titleAt + 14
	}
	for _, n := range list {
		wide := 16 + charWidth*float64(len([]rune(n.text))) + 14
		if x > 8 && x+wide > width {
			x, y = 8, y+row
		}
		fmt.Fprintf(p, `<rect class="f%d" x="%s" y="%s" width="10" height="10" rx="2" fill="%s"/>`, n.colour+1, number(x), number(y-9), colours[n.colour])
		p.text(x+15, y, "start", n.text, "")
		x += wide
	}
	return y + 12
}

// A name is a line of the legend.
type name struct {
	text   string
	colour int
}

// frame draws the axes with their ticks and labels; x may be nil.
func (p *picture) frame(x, y *axis, top float64, xLabel, yLabel string) {
	floor := float64(height - bottom)
	if x != nil {
		for _, v := range x.ticks() {
			at := x.place(v)
			fmt.Fprintf(p, `<path class="grid" d="M%s %sV%s" stroke="#e6e9ed"/>`+"\n", number(at), number(top), number(floor))
			p.text(at, floor+16, "middle", short(v), "")
		}
	}
	for _, v := range y.ticks() {
		at := y.place(v)
		fmt.Fprintf(p, `<path class="grid" d="M%d %sH%d" stroke="#e6e9ed"/>`+"\n", left, number(at), width-right)
		p.text(left-7, at+4, "end", short(v), "")
	}
	fmt.Fprintf(p, `<path class="axis" d="M%d %sV%sH%d" fill="none" stroke="#8b949e"/>`+"\n", left, number(top), number(floor), width-right)
	p.labels(top, xLabel, yLabel)
}

// labels names the axes.
func (p *picture) labels(top float64, xLabel, yLabel string) {
	middle := (top + height - bottom) / 2
	p.text((left+width-right)/2, height-10, "middle", xLabel, "")
	p.text(14, middle, "middle", yLabel, fmt.Sprintf(` transform="rotate(-90 14 %s)"`, number(middle)))
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
