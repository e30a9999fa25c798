package page

import (
	"regexp"
	"strings"
	"unicode"
)

// imageLine is a line that is a figure.
var imageLine = regexp.MustCompile(`^!\[([^\]]*)\]\(([^()\s]+\.svg)\)$`)

// fences follows the code blocks of a Markdown text, in which nothing means anything.
type fences struct{ open string }

// inside takes in the next line and reports whether it belongs to a code block, its fences included.
func (f *fences) inside(line string) bool {
	mark := strings.TrimLeft(line, " ")
	if len(line)-len(mark) > 3 {
		return f.open != ""
	}
	n := 0
	for n < len(mark) && (mark[0] == '`' || mark[0] == '~') && mark[n] == mark[0] {
		n++
	}
	switch {
	case f.open == "":
		if n < 3 || mark[0] == '`' && strings.Contains(mark[n:], "`") {
			return false
		}
		f.open = mark[:n]
	case n >= len(f.open) && mark[0] == f.open[0] && strings.TrimSpace(mark[n:]) == "":
		f.open = ""
	}
	return true
}

// blocksOf takes a report's Markdown apart: its title, text and figures between, and the names of the drawings shown.
func blocksOf(markdown, dir string) (title string, blocks []Block, shown []string) {
	var text strings.Builder
	var figures Figures
	flush := func() {
		if t := strings.Trim(text.String(), "\n"); t != "" {
			blocks = append(blocks, Text(t+"\n"))
		}
		text.Reset()
	}
	var code fences
	for line := range strings.Lines(markdown) {
		bare := strings.TrimRight(line, "\r\n")
		inside := code.inside(bare)
		image := imageLine.FindStringSubmatch(bare)
		if !inside && image != nil {
			if figures == nil {
				flush()
			}
			figures = append(figures, figureOf(dir, image[2], image[1]))
			shown = append(shown, image[2])
			continue
		}
		if figures != nil && strings.TrimSpace(bare) != "" {
			blocks, figures = append(blocks, figures), nil
		}
		if heading, ok := strings.CutPrefix(bare, "# "); ok && !inside && title == "" {
			title = strings.TrimSpace(heading)
			continue
		}
		if figures == nil {
			text.WriteString(line)
		}
	}
	if figures != nil {
		blocks = append(blocks, figures)
	}
	flush()
	return title, blocks, shown
}

// longLines is how many lines of text make a section long.
const longLines = 30

// folded folds the long sections of a text, and the others of its sections that show such blocks: who looks for an
// overview finds it, and examples where they are asked for.
func folded(blocks []Block) []Block {
	var parts []Block
	long := false
	for _, b := range blocks {
		text, ok := b.(Text)
		if !ok {
			parts = append(parts, b)
			continue
		}
		for _, part := range sections(string(text)) {
			_, rest, ok := section(part)
			long = long || ok && strings.Count(rest, "\n") > longLines
			parts = append(parts, Text(part))
		}
	}
	for i, b := range parts {
		text, _ := b.(Text)
		title, rest, ok := section(string(text))
		if ok && long && (strings.Contains(rest, "\n```") || strings.Contains(rest, "\n~~~") || strings.Count(rest, "\n") > longLines) {
			parts[i] = Fold{Title: title, Blocks: []Block{Text(strings.Trim(rest, "\n") + "\n")}}
		}
	}
	return parts
}

// section takes a section of the second level apart.
func section(part string) (title, rest string, ok bool) {
	heading, rest, _ := strings.Cut(part, "\n")
	title, ok = strings.CutPrefix(heading, "## ")
	return strings.TrimSpace(title), rest, ok
}

// sections cuts a Markdown text before each heading of the second level.
func sections(text string) []string {
	var parts []string
	var part strings.Builder
	var code fences
	for line := range strings.Lines(text) {
		if !code.inside(strings.TrimRight(line, "\r\n")) && strings.HasPrefix(line, "## ") && part.Len() > 0 {
			parts = append(parts, part.String())
			part.Reset()
		}
		part.WriteString(line)
	}
	return append(parts, part.String())
}

// lowered puts the headings of a Markdown text below a heading of a level.
func lowered(text Text, level int) string {
	var b strings.Builder
	var code fences
	for line := range strings.Lines(string(text)) {
		n := len(line) - len(strings.TrimLeft(line, "#"))
		if !code.inside(strings.TrimRight(line, "\r\n")) && n > 0 && strings.HasPrefix(line[n:], " ") {
			line = strings.Repeat("#", min(6, max(n-1, 1)+level)) + line[n:]
		}
		b.WriteString(line)
	}
	return b.String()
}

// Printable replaces control characters, which models write as well as people, by the sign for what cannot be shown: with
// them a file is no text to other tools, and no valid HTML.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// escapeMarkdown keeps the characters of a plain text from meaning anything.
func escapeMarkdown(s string) string {
	return strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "|", `\|`, "#", `\#`, "&", `\&`).
		Replace(strings.Join(strings.Fields(s), " "))
}

// Plain is a plain text as Markdown that shows it as it is, on one line.
func Plain(s string) string { return escapeMarkdown(s) }

// Verbatim is a short text as Markdown that shows it in the letters of code, on one line.
func Verbatim(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`) // also within code, a cell ends there
	if s == "" {
		return ""
	}
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// fenceFor is a row of backquotes that the text does not hold.
func fenceFor(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence
}
