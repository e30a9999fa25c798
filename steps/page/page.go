// Package page makes one page for people of what a pipeline has done: HTML in a single file that loads nothing, and the
// same as Markdown.
//
// A page is a tree of sections that hold blocks; whoever makes a report fills it. Most of what it shows comes out of
// report folders, and this package knows their form (see [Open]), not the step types that write them: a step type that is
// new tomorrow is on the page by what it writes into its folder.
//
// It does not know where reports come from: steps/report takes them from the artifacts that a recipe names, the command
// engine report from what has run. Figures are drawn by steps/internal/figure.
//
// Start at [Page] and its methods HTML and Markdown.
package page

import (
	"fmt"
	"strings"
	"unicode"
)

// A Page is a document for people. The same page gives the same bytes.
type Page struct {
	Title    string
	Lead     string // a sentence below the title
	Facts    []Fact // what is to be seen first
	Sections []*Section
}

// A Fact is a figure with its name.
type Fact struct{ Name, Value string }

// A Section is a part with a heading.
type Section struct {
	Title    string
	State    string // of a step: "done", "failed" …; shown beside the heading
	Aside    string // shown beside the heading: how long it took
	Blocks   []Block
	Sections []*Section
	Folded   bool // shown when asked for

	id string // the anchor, once the page has given one
}

// A Block is one of Text, Table, Figures, Code, Note and Fold.
type Block interface{ block() }

// Text is Markdown. Headings in it are lowered to stand below the section's, and images are not in it: see Figures.
type Text string

// A Table has a head and rows of as many cells, which are Markdown.
type Table struct {
	Head  []string
	Rows  [][]string
	Right []bool // columns that hold numbers
}

// Figures stand side by side where there is room.
type Figures []Figure

// A Figure is a drawing.
type Figure struct {
	Name string // of the file, in Markdown
	Alt  string
	SVG  []byte
	Wide bool // keeps its own size, and is scrolled where that does not fit
}

// Code is text that is shown as it is.
type Code struct{ Language, Text string }

// A Note stands out.
type Note struct {
	Kind string // "failed", "warning" or "note"
	Text string
}

// A Fold is shown when asked for.
type Fold struct {
	Title  string
	Blocks []Block
}

func (Text) block()    {}
func (Table) block()   {}
func (Figures) block() {}
func (Code) block()    {}
func (Note) block()    {}
func (Fold) block()    {}

// Add adds blocks.
func (s *Section) Add(blocks ...Block) { s.Blocks = append(s.Blocks, blocks...) }

// Empty reports whether a section has nothing to show.
func (s *Section) Empty() bool { return len(s.Blocks)+len(s.Sections) == 0 }

// anchors gives every section an anchor of its own.
func (p *Page) anchors() {
	seen := map[string]bool{}
	var walk func([]*Section)
	walk = func(list []*Section) {
		for _, s := range list {
			s.id = slug(s.Title)
			for n := 2; seen[s.id]; n++ {
				s.id = fmt.Sprintf("%s-%d", slug(s.Title), n)
			}
			seen[s.id] = true
			walk(s.Sections)
		}
	}
	walk(p.Sections)
}

// slug is a title as an anchor and a file name.
func slug(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if s := strings.TrimSuffix(b.String(), "-"); s != "" {
		return s
	}
	return "section"
}
