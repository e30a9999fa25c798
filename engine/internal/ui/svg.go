package ui

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
)

// The drawing follows Sugiyama, Tagawa and Toda (1981), in the plainest form that serves pipelines: a step lies one
// layer below the lowest of its needs; long edges pass through invisible nodes; the order within a layer comes from a
// few sweeps of the barycenter rule. Graphviz as a Go library would draw it more finely, but it is a WebAssembly machine
// that starts with every command: 20 ms each time, half a second the first.

const (
	nodeHeight = 34
	layerGap   = 46
	nodeGap    = 24
	margin     = 16
	charWidth  = 7.4 // of the 12-point monospace font below
	sweeps     = 8
)

// node is a step or, where step is nil, a place where a long edge passes a layer.
type node struct {
	step        *plan.Step
	layer       int
	x, width    float64 // x is the center
	above       []*node
	below       []*node
	rank, place float64 // rank: the barycenter; place: index in the layer
}

// The drawing's colours on white paper are written as attributes; this is for screens that are dark. A state is shown by
// the edge of a step and by its class.
const dagStyle = `@media screen and (prefers-color-scheme:dark){.dag .node{fill:#1b1f26;stroke:#6e7681}.dag .edge{stroke:#6e7681}.dag .tip{fill:#6e7681}.dag text{fill:#e6e8eb}` +
	`.dag .done{stroke:#4ac26b}.dag .failed{stroke:#ff7b82}.dag .running,.dag .interrupted{stroke:#e3b341}}`

var stateColours = map[journal.State]string{
	journal.Done: "#1a7f37", journal.Failed: "#c8283c", journal.Running: "#9a6700", journal.Interrupted: "#9a6700",
}

// SVG draws the steps and their dependencies.
func SVG(w io.Writer, p *plan.Plan) error { return SVGWith(w, p, nil) }

// SVGWith is SVG with the state of each step shown. stateOf may be nil.
func SVGWith(w io.Writer, p *plan.Plan, stateOf func(*plan.Step) journal.State) error {
	layers := layout(p)
	var width float64
	for _, layer := range layers {
		for _, n := range layer {
			width = max(width, n.x+n.width/2)
		}
	}
	height := margin*2 + len(layers)*(nodeHeight+layerGap) - layerGap
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="dag" width="%.0f" height="%d" viewBox="0 0 %.0[1]f %[2]d" font-family="ui-monospace, monospace" font-size="12">`+"\n", width+margin, max(height, 2*margin))
	fmt.Fprintf(&b, "<title>%s</title>\n<style>%s</style>\n", html.EscapeString(p.Program.Name), dagStyle)
	for _, layer := range layers {
		for _, n := range layer {
			for _, m := range n.below {
				drawEdge(&b, n, m)
			}
		}
	}
	for _, layer := range layers {
		for _, n := range layer {
			drawNode(&b, n, stateOf)
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (n *node) top() float64 { return float64(margin + n.layer*(nodeHeight+layerGap)) }

func drawEdge(b *strings.Builder, from, to *node) {
	y0, y1 := from.top()+nodeHeight, to.top()
	if from.step == nil {
		fmt.Fprintf(b, `<path class="edge" d="M%.1f %.1fV%.1f" fill="none" stroke="#8b949e"/>`+"\n", from.x, from.top(), y0) // through the layer
	}
	bend := (y1 - y0) / 2
	fmt.Fprintf(b, `<path class="edge" d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" stroke="#8b949e"/>`+"\n", from.x, y0, from.x, y0+bend, to.x, y1-bend, to.x, y1)
	if to.step != nil {
		fmt.Fprintf(b, `<path class="tip" d="M%.1f %.1fl4 -7h-8z" fill="#8b949e"/>`+"\n", to.x, y1)
	}
}

func drawNode(b *strings.Builder, n *node, stateOf func(*plan.Step) journal.State) {
	if n.step == nil {
		return
	}
	class, colour, says := "node", "#8b949e", ""
	if stateOf != nil {
		state := stateOf(n.step)
		class += " " + string(state)
		if c, ok := stateColours[state]; ok {
			colour = c
		}
		says = "<title>" + string(state) + "</title>"
	}
	fmt.Fprintf(b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="6" fill="#f6f8fa" stroke="%s" stroke-width="1.5">%s</rect>`,
		class, n.x-n.width/2, n.top(), n.width, nodeHeight, colour, says)
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle" fill="#1f2328" pointer-events="none">%s</text>`+"\n", n.x, n.top()+nodeHeight/2+4, html.EscapeString(n.step.Name()))
}

// layout gives every node its layer and its place.
func layout(p *plan.Plan) [][]*node {
	nodes := map[*plan.Step]*node{}
	var layers [][]*node
	add := func(n *node) {
		for len(layers) <= n.layer {
			layers = append(layers, nil)
		}
		layers[n.layer] = append(layers[n.layer], n)
	}
	for _, s := range p.Steps { // needs come first
		n := &node{step: s, width: float64(len(s.Name()))*charWidth + 20}
		needs := slices.DeleteFunc(slices.Clone(s.Needs), func(need *plan.Step) bool { return nodes[need] == nil }) // children may be left out
		for _, need := range needs {
			n.layer = max(n.layer, nodes[need].layer+1)
		}
		nodes[s] = n
		add(n)
		for _, need := range needs {
			from := nodes[need]
			for from.layer < n.layer-1 {
				via := &node{layer: from.layer + 1}
				connect(from, via)
				add(via)
				from = via
			}
			connect(from, n)
		}
	}
	for i := range sweeps {
		sweep(layers, i%2 == 0)
	}
	for _, layer := range layers {
		x := float64(margin)
		for _, n := range layer {
			n.x = x + n.width/2
			x += n.width + nodeGap
		}
	}
	center(layers)
	return layers
}

func connect(above, below *node) {
	above.below = append(above.below, below)
	below.above = append(below.above, above)
}

// sweep orders each layer by the mean place of the neighbors in the layer before it, downwards or upwards.
func sweep(layers [][]*node, down bool) {
	for _, layer := range layers {
		for i, n := range layer {
			n.place = float64(i)
		}
	}
	for i := range layers {
		if !down {
			i = len(layers) - 1 - i
		}
		for j, n := range layers[i] {
			neighbors := n.above
			if !down {
				neighbors = n.below
			}
			n.rank = float64(j)
			if len(neighbors) > 0 {
				n.rank = 0
				for _, m := range neighbors {
					n.rank += m.place / float64(len(neighbors))
				}
			}
		}
		slices.SortStableFunc(layers[i], func(a, b *node) int {
			switch {
			case a.rank < b.rank:
				return -1
			case a.rank > b.rank:
				return 1
			}
			return 0
		})
		for j, n := range layers[i] {
			n.place = float64(j)
		}
	}
}

// center moves narrow layers to the middle of the widest.
func center(layers [][]*node) {
	right := func(layer []*node) float64 {
		last := layer[len(layer)-1]
		return last.x + last.width/2
	}
	var widest float64
	for _, layer := range layers {
		widest = max(widest, right(layer))
	}
	for _, layer := range layers {
		shift := (widest - right(layer)) / 2
		for _, n := range layer {
			n.x += shift
		}
	}
}
