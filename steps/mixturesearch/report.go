package mixturesearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps/internal/figure"
)

// write writes the report.
func (r *result) write(dir string) error {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for i := range r.proxies {
		p := &r.proxies[i]
		err := enc.Encode(map[string]any{
			"name": p.Name, "weights": p.Weights, "losses": p.Losses, "tokens": p.Tokens, "target": p.target, "predicted_left_out": p.predicted,
		})
		if err != nil {
			return err
		}
	}
	for name, data := range map[string][]byte{
		"metrics.jsonl": lines.Bytes(), "weights.svg": r.bars().SVG(), "fit.svg": r.scatter().SVG(), "summary.md": r.markdown(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// named are the mixtures that are worth comparing: the best, and those that one would take without a search.
func (r *result) named() []figure.BarSeries {
	list := []figure.BarSeries{{Name: "best", Values: r.best}}
	for i := range r.proxies[:2] {
		list = append(list, figure.BarSeries{Name: r.proxies[i].Name, Values: r.proxies[i].mixture})
	}
	return list
}

func (r *result) bars() *figure.Bars {
	b := &figure.Bars{Title: "Weights", YLabel: "share of the tokens", Series: r.named()}
	for _, p := range r.parts {
		b.Groups = append(b.Groups, p.Name)
	}
	return b
}

// scatter shows what the law is worth: for each proxy the target against what the others say of it.
func (r *result) scatter() *figure.Chart {
	points := figure.Series{Name: "proxies", NoLine: true}
	for i := range r.proxies {
		points.X, points.Y = append(points.X, r.proxies[i].target), append(points.Y, r.proxies[i].predicted)
	}
	ends := []float64{slices.Min(points.X), slices.Max(points.X)}
	return &figure.Chart{
		Title: "The law, fitted without the proxy", XLabel: "measured target, nats per token", YLabel: "predicted",
		Series: []figure.Series{points, {Name: "equal", X: ends, Y: ends}},
	}
}

// markdown is the summary for people.
func (r *result) markdown() []byte {
	var b bytes.Buffer
	row := func(cells ...string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	fmt.Fprintf(&b, "# Mixture search\n\n")
	list := r.named()
	head := []string{"part", "tokens", "in the target"}
	for _, s := range list {
		head = append(head, s.Name)
	}
	row(append(head, "most allowed")...)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(head)+1))
	for i, p := range r.parts {
		cells := []string{p.Name, fmt.Sprint(p.Tokens), fmt.Sprintf("%g", r.config.Target[p.Name])}
		for _, s := range list {
			cells = append(cells, fmt.Sprintf("%.4f", s.Values[i]))
		}
		row(append(cells, fmt.Sprintf("%.4f", r.caps[i]))...)
	}
	fmt.Fprintf(&b, "\n| | |\n|---|---|\n")
	row("predicted target", fmt.Sprintf("%.4f nats per token", r.predicted))
	row("fit error", fmt.Sprintf("%.4f, each proxy predicted by a law fitted to the others", r.fitError))
	row("spread of the proxies", fmt.Sprintf("%.4f", r.spread))
	for i := range r.proxies[:2] {
		row(r.proxies[i].Name+", measured", fmt.Sprintf("%.4f", r.proxies[i].target))
	}
	first := slices.MinFunc(r.proxies, func(a, b proxy) int {
		if a.target < b.target {
			return -1
		}
		return 1
	})
	row("best proxy, measured", fmt.Sprintf("%.4f (%s)", first.target, first.Name))
	fmt.Fprintf(&b, "\nThe loss of each part in the target is c + exp(a + Σ t·w) over the weights w; the weights are the minimum of the target\n"+
		"within what the proxies have tried and max_epochs allow.\n\n![weights](weights.svg)\n\n![fit](fit.svg)\n\n## Proxies\n\n")
	head = []string{"proxy"}
	for _, p := range r.parts {
		head = append(head, p.Name)
	}
	row(append(head, "target", "predicted")...)
	fmt.Fprintf(&b, "|%s\n", strings.Repeat("---|", len(head)+2))
	for i := range r.proxies {
		p := &r.proxies[i]
		cells := []string{p.Name}
		for _, w := range p.mixture {
			cells = append(cells, fmt.Sprintf("%.4f", w))
		}
		row(append(cells, fmt.Sprintf("%.4f", p.target), fmt.Sprintf("%.4f", p.predicted))...)
	}
	return b.Bytes()
}
