package page

import (
	"bytes"
	_ "embed" // the style sheet
	"fmt"
	"html"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"

	"athanor/steps/internal/figure"
)

//go:embed page.css
var styleSheet string

// policy keeps a browser from loading or running anything, whatever the page holds.
const policy = "default-src 'none'; style-src 'unsafe-inline'"

// HTML returns the page as one file that loads nothing, for screens of any size, light and dark, and for paper.
func (p *Page) HTML() []byte {
	p.anchors()
	w := &htmlWriter{}
	fmt.Fprintf(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"+
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n"+
		"<meta http-equiv=\"Content-Security-Policy\" content=\"%s\">\n<title>%s</title>\n<style>\n%s%s\n</style>\n</head>\n<body>\n",
		policy, html.EscapeString(p.Title), styleSheet, figure.Style)
	fmt.Fprintf(w, "<header>\n<h1>%s</h1>\n", html.EscapeString(p.Title))
	if p.Lead != "" {
		fmt.Fprintf(w, "<p class=\"lead\">%s</p>\n", html.EscapeString(p.Lead))
	}
	if len(p.Facts) > 0 {
		w.WriteString("<dl class=\"facts\">\n")
		for _, f := range p.Facts {
			fmt.Fprintf(w, "<div><dt>%s</dt><dd>%s</dd></div>\n", html.EscapeString(f.Name), html.EscapeString(f.Value))
		}
		w.WriteString("</dl>\n")
	}
	w.WriteString("</header>\n<nav aria-label=\"Contents\">\n")
	w.contents(p.Sections, 2)
	w.WriteString("</nav>\n<main>\n")
	for _, s := range p.Sections {
		w.section(s, 2)
	}
	w.WriteString("</main>\n</body>\n</html>\n")
	return []byte(Printable(w.String()))
}

type htmlWriter struct{ strings.Builder }

// contents lists the sections, down to a depth.
func (w *htmlWriter) contents(list []*Section, depth int) {
	w.WriteString("<ul>\n")
	for _, s := range list {
		fmt.Fprintf(w, "<li><a href=\"#%s\">%s</a>", s.id, html.EscapeString(s.Title))
		if s.State != "" {
			fmt.Fprintf(w, " <span class=\"dot %s\" title=\"%[1]s\"></span>", html.EscapeString(s.State))
		}
		if depth > 1 && len(s.Sections) > 0 {
			w.WriteString("\n")
			w.contents(s.Sections, depth-1)
		}
		w.WriteString("</li>\n")
	}
	w.WriteString("</ul>\n")
}

// section writes a section under a heading of a level.
func (w *htmlWriter) section(s *Section, level int) {
	fmt.Fprintf(w, "<section id=\"%s\">\n", s.id)
	h := min(level, 6)
	heading := fmt.Sprintf("<h%d>%s", h, html.EscapeString(s.Title))
	if s.State != "" {
		heading += fmt.Sprintf(" <span class=\"state %s\">%[1]s</span>", html.EscapeString(s.State))
	}
	if s.Aside != "" {
		heading += fmt.Sprintf(" <span class=\"aside\">%s</span>", html.EscapeString(s.Aside))
	}
	heading += fmt.Sprintf("</h%d>\n", h)
	if s.Folded {
		fmt.Fprintf(w, "<details><summary>%s</summary>\n", heading)
	} else {
		w.WriteString(heading)
	}
	for _, b := range s.Blocks {
		w.block(b, level)
	}
	for _, sub := range s.Sections {
		w.section(sub, level+1)
	}
	if s.Folded {
		w.WriteString("</details>\n")
	}
	w.WriteString("</section>\n")
}

func (w *htmlWriter) block(b Block, level int) {
	switch b := b.(type) {
	case Text:
		w.WriteString(toHTML(lowered(b, level)))
	case Table:
		w.table(&b)
	case Figures:
		w.WriteString("<div class=\"figures\">\n")
		for _, f := range b {
			w.figure(&f)
		}
		w.WriteString("</div>\n")
	case Code:
		fmt.Fprintf(w, "<pre><code>%s</code></pre>\n", html.EscapeString(b.Text))
	case Note:
		fmt.Fprintf(w, "<p class=\"note %s\">%s</p>\n", html.EscapeString(b.Kind), html.EscapeString(b.Text))
	case Fold:
		fmt.Fprintf(w, "<details><summary>%s</summary>\n", html.EscapeString(b.Title))
		for _, inner := range b.Blocks {
			w.block(inner, level)
		}
		w.WriteString("</details>\n")
	}
}

func (w *htmlWriter) figure(f *Figure) {
	svg, err := inline(f.SVG)
	if err != nil {
		fmt.Fprintf(w, "<figure><p class=\"note warning\">The figure %s cannot be shown: %s.</p></figure>\n", html.EscapeString(f.Name), html.EscapeString(err.Error()))
		return
	}
	class := ""
	if f.Wide {
		class = ` class="scrolled"`
	}
	fmt.Fprintf(w, "<figure%s>%s</figure>\n", class, svg)
}

func (w *htmlWriter) table(t *Table) {
	row := func(tag string, cells []string) {
		w.WriteString("<tr>")
		for i, cell := range cells {
			class := ""
			if i < len(t.Right) && t.Right[i] {
				class = ` class="number"`
			}
			fmt.Fprintf(w, "<%s%s>%s</%[1]s>", tag, class, cellHTML(cell))
		}
		w.WriteString("</tr>\n")
	}
	w.WriteString("<div class=\"wide\"><table>\n<thead>\n")
	row("th", t.Head)
	w.WriteString("</thead>\n<tbody>\n")
	for _, cells := range t.Rows {
		row("td", cells)
	}
	w.WriteString("</tbody>\n</table></div>\n")
}

// markdown reads CommonMark with tables. What text from elsewhere might smuggle in is shown as text: HTML, and images,
// which would load something.
var markdown = goldmark.New(
	goldmark.WithExtensions(extension.NewTable()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(harmless{}, 100))),
)

func toHTML(text string) string {
	var b bytes.Buffer
	if err := markdown.Convert([]byte(text), &b); err != nil {
		return "<pre>" + html.EscapeString(text) + "</pre>\n"
	}
	wide := strings.NewReplacer("<table>", `<div class="wide"><table>`, "</table>", "</table></div>")
	return wide.Replace(b.String())
}

// cellHTML is Markdown of one line without the paragraph around it.
func cellHTML(text string) string {
	if text == "" {
		return ""
	}
	out := strings.TrimSuffix(toHTML(strings.ReplaceAll(text, `\|`, "|")), "\n")
	if inner, ok := strings.CutPrefix(out, "<p>"); ok && strings.Count(out, "<p>") == 1 {
		return strings.TrimSuffix(inner, "</p>")
	}
	return html.EscapeString(text)
}

// harmless renders what may not be on the page as text.
type harmless struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (harmless) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindRawHTML, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		raw := n.(*ast.RawHTML)
		for i := 0; entering && i < raw.Segments.Len(); i++ {
			segment := raw.Segments.At(i)
			_, _ = w.WriteString(html.EscapeString(string(segment.Value(source)))) // the writer keeps its error for Flush
		}
		return ast.WalkSkipChildren, nil
	})
	r.Register(ast.KindHTMLBlock, func(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		block := n.(*ast.HTMLBlock)
		_, _ = w.WriteString("<pre>")
		for i := range block.Lines().Len() {
			line := block.Lines().At(i)
			_, _ = w.WriteString(html.EscapeString(string(line.Value(source))))
		}
		if block.HasClosure() {
			_, _ = w.WriteString(html.EscapeString(string(block.ClosureLine.Value(source))))
		}
		_, _ = w.WriteString("</pre>\n")
		return ast.WalkContinue, nil
	})
	r.Register(ast.KindImage, func(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			_, _ = w.WriteString("<em>")
		} else {
			_, _ = w.WriteString("</em>")
		}
		return ast.WalkContinue, nil
	})
}
