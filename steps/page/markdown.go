package page

import (
	"fmt"
	"strings"
)

// Markdown returns the page as Markdown, and its figures, which stand in a folder beside it, by their names.
func (p *Page) Markdown(folder string) ([]byte, map[string][]byte) {
	p.anchors()
	w := &markdownWriter{folder: folder, figures: map[string][]byte{}}
	fmt.Fprintf(w, "# %s\n\n", escapeMarkdown(p.Title))
	if p.Lead != "" {
		fmt.Fprintf(w, "%s\n\n", escapeMarkdown(p.Lead))
	}
	if len(p.Facts) > 0 {
		rows := make([][]string, len(p.Facts))
		for i, f := range p.Facts {
			rows[i] = []string{escapeMarkdown(f.Name), escapeMarkdown(f.Value)}
		}
		w.table(&Table{Head: []string{"", ""}, Rows: rows})
	}
	for _, s := range p.Sections {
		w.section(s, 2)
	}
	return []byte(strings.TrimRight(Printable(w.String()), "\n") + "\n"), w.figures
}

type markdownWriter struct {
	strings.Builder
	folder  string
	figures map[string][]byte
}

func (w *markdownWriter) section(s *Section, level int) {
	title := escapeMarkdown(s.Title)
	for _, more := range []string{s.State, s.Aside} {
		if more != "" {
			title += " · " + escapeMarkdown(more)
		}
	}
	fmt.Fprintf(w, "%s %s\n\n", strings.Repeat("#", min(level, 6)), title)
	for _, b := range s.Blocks {
		w.block(b, s, level)
	}
	for _, sub := range s.Sections {
		w.section(sub, level+1)
	}
}

func (w *markdownWriter) block(b Block, s *Section, level int) {
	switch b := b.(type) {
	case Text:
		fmt.Fprintf(w, "%s\n\n", strings.Trim(lowered(b, level), "\n"))
	case Table:
		w.table(&b)
	case Figures:
		for _, f := range b {
			if f.SVG == nil {
				fmt.Fprintf(w, "> The figure %s is missing.\n\n", Verbatim(f.Name))
				continue
			}
			name := slug(s.id+"-"+strings.TrimSuffix(f.Name, ".svg")) + ".svg"
			w.figures[name] = f.SVG
			fmt.Fprintf(w, "![%s](%s/%s)\n\n", escapeMarkdown(f.Alt), w.folder, name)
		}
	case Code:
		fence := fenceFor(b.Text)
		fmt.Fprintf(w, "%s%s\n%s\n%[1]s\n\n", fence, b.Language, strings.TrimRight(b.Text, "\n"))
	case Note:
		fmt.Fprintf(w, "> **%s:**", escapeMarkdown(b.Kind))
		for i, line := range strings.Split(b.Text, "\n") {
			if i > 0 {
				w.WriteString("  \n>") // two spaces: the line ends here on the page as well
			}
			w.WriteString(strings.TrimRight(" "+escapeMarkdown(line), " "))
		}
		w.WriteString("\n\n")
	case Fold:
		fmt.Fprintf(w, "**%s**\n\n", escapeMarkdown(b.Title))
		for _, inner := range b.Blocks {
			w.block(inner, s, level)
		}
	}
}

func (w *markdownWriter) table(t *Table) {
	row := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	row(t.Head)
	for i := range t.Head {
		if i < len(t.Right) && t.Right[i] {
			w.WriteString("|---:")
		} else {
			w.WriteString("|---")
		}
	}
	w.WriteString("|\n")
	for _, cells := range t.Rows {
		row(cells)
	}
	w.WriteString("\n")
}
