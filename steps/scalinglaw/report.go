package scalinglaw

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"athanor/steps/internal/figure"
)

// write writes the report, or what there is of it without a law.
func (r *result) write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, p := range r.proxies {
		if err := enc.Encode(p); err != nil {
			return err
		}
	}
	files := map[string][]byte{"metrics.jsonl": lines.Bytes(), "isoflop.svg": r.curves().SVG(), "summary.md": r.markdown()}
	if r.found() {
		files["parameters.svg"] = r.line("Parameters", "parameters", (*Curve).Params, r.law.Params).SVG()
		files["tokens.svg"] = r.line("Tokens", "tokens", func(c *Curve) float64 { return c.Tokens }, r.law.Tokens).SVG()
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// found reports whether there is a law.
func (r *result) found() bool { return r.tokens > 0 }

// curves draws the left panel of figure 3 of arXiv 2203.15556: the loss over N, a curve for each budget, its minimum marked.
func (r *result) curves() *figure.Chart {
	chart := &figure.Chart{Title: "Loss at equal compute", XLabel: "parameters per token, C/6D", YLabel: "held-out loss, nats per token", LogX: true}
	for i := range r.law.Curves {
		c := &r.law.Curves[i]
		points := figure.Series{Name: Budget(c.Budget) + " FLOPs", NoLine: true}
		for _, p := range c.Points {
			points.X, points.Y = append(points.X, p.Params()), append(points.Y, p.Loss)
		}
		chart.Series = append(chart.Series, points)
		if c.Curvature == 0 {
			continue // no parabola was found
		}
		fit := figure.Series{Colour: i + 1}
		first, last := points.X[0], points.X[len(points.X)-1]
		const samples = 60
		for s := range samples + 1 {
			n := first * math.Pow(last/first, float64(s)/samples)
			fit.X, fit.Y = append(fit.X, n), append(fit.Y, c.At(c.Budget/(6*n)))
		}
		chart.Series = append(chart.Series, fit)
	}
	minima := figure.Series{Name: "minima", Points: true}
	for i := range r.law.Curves {
		if c := &r.law.Curves[i]; c.Curvature > 0 {
			minima.X, minima.Y = append(minima.X, c.Params()), append(minima.Y, c.Least)
		}
	}
	chart.Series = append(chart.Series, minima)
	return chart
}

// line draws the other panels: the minima over the budget, the law, and where it meets the target.
func (r *result) line(title, label string, of func(*Curve) float64, law func(float64) float64) *figure.Chart {
	minima := figure.Series{Name: "minima", NoLine: true}
	budgets := []float64{r.config.Target}
	for i := range r.law.Curves {
		c := &r.law.Curves[i]
		minima.X, minima.Y = append(minima.X, c.Budget), append(minima.Y, of(c))
		budgets = append(budgets, c.Budget)
	}
	fit := figure.Series{Name: "law"}
	for _, c := range []float64{slices.Min(budgets), slices.Max(budgets)} {
		fit.X, fit.Y = append(fit.X, c), append(fit.Y, law(c))
	}
	target := figure.Series{Name: "target", NoLine: true, X: []float64{r.config.Target}, Y: []float64{law(r.config.Target)}}
	return &figure.Chart{
		Title: title + " at the best", XLabel: "training FLOPs", YLabel: label, LogX: true, LogY: true,
		Series: []figure.Series{minima, fit, target},
	}
}

// markdown is the summary for people.
func (r *result) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Scaling law\n\n")
	if r.found() {
		r.conclusion(&b)
	} else {
		fmt.Fprintf(&b, "There is no law: a curve has no minimum among its sizes, or the minima make no sense together.\n")
	}
	fmt.Fprintf(&b, "\n## Minima\n\n| budget | parameters per token | tokens | loss |\n|---|---|---|---|\n")
	for i := range r.law.Curves {
		if c := &r.law.Curves[i]; c.Curvature > 0 {
			fmt.Fprintf(&b, "| %s | %.3g | %.3g | %.4f |\n", Budget(c.Budget), c.Params(), c.Tokens, c.Least)
		} else {
			fmt.Fprintf(&b, "| %s | none | none | none |\n", Budget(c.Budget))
		}
	}
	fmt.Fprintf(&b, "\n![loss at equal compute](isoflop.svg)\n\n")
	if r.found() {
		fmt.Fprintf(&b, "![parameters](parameters.svg)\n\n![tokens](tokens.svg)\n\n")
	}
	fmt.Fprintf(&b, "## Proxies\n\n| proxy | weights | tokens | held-out loss |\n|---|---|---|---|\n")
	for _, p := range r.proxies {
		fmt.Fprintf(&b, "| %s | %d | %.0f | %.4f |\n", p.Name, p.Parameters, p.Tokens, p.Loss)
	}
	return b.Bytes()
}

func (r *result) conclusion(b *bytes.Buffer) {
	c, l := r.config, r.law
	trust := func(i Interval, known bool) string {
		if !known {
			return " (too few proxies for an interval)"
		}
		return fmt.Sprintf(" (%.4g to %.4g)", i.Low, i.High)
	}
	fmt.Fprintf(b, "| | |\n|---|---|\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("target", "%s FLOPs, %.3g times the largest budget", Budget(c.Target), c.Target/l.Curves[len(l.Curves)-1].Budget)
	row("law", "N*(C) = %.3g · C^%.3f", l.A, l.Alpha)
	row("exponent", "%.3f%s", l.Alpha, trust(r.alpha, r.trusted))
	row("N* at the target", "%.3g%s", l.Params(c.Target), trust(r.params, r.trusted))
	row("model", "%d layers of %d, %d heads, %d of keys and values", r.shape.Layers, r.shape.Dim, r.shape.llm.NumAttentionHeads, r.shape.llm.NumKeyValueHeads)
	row("weights", "%d", r.shape.llm.Parameters())
	row("tokens", "%d", r.tokens)
	row("predicted loss", "%.4f%s nats per token", r.loss, trust(r.within, r.foretold))
	row("law of the loss", "L(N, D) = %.4g + %.4g/N^%.3f + %.4g/D^%.3f", r.surface.E, r.surface.A, r.surface.Alpha, r.surface.B, r.surface.Beta)
	row("its misfit", "%.2f %% of a proxy's loss (root mean square)", 100*r.surface.Error)
	row("its exponent", "%.3f", r.surface.Exponent())
	fmt.Fprintf(b, "\nN counts what a token is multiplied with: training FLOPs per token over 6, the head and attention in it, the embedding table not.\n"+
		"The size is that of the minima below; the predicted loss is that of the law of the loss, fitted to all proxies. Where their two exponents\n"+
		"are far apart, neither is sure. Intervals hold 95 %% of the draws of a bootstrap over residuals.\n")
}
