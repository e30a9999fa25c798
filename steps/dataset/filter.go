package dataset

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"athanor/steps/internal/corpus"
)

// The names under which dropped records are counted, in the order of the filters. "duplicate" and "bad" come beside
// them in the output dropped.
const (
	dropUTF8     = "invalid_utf8"
	dropEmpty    = "empty"
	dropMinChars = "min_chars"
	dropMaxChars = "max_chars"
	dropLine     = "max_line_chars"
	dropRun      = "max_run"
	dropAlpha    = "min_alpha"
	dropRepeated = "max_repeated_lines"
	dropMatching = "drop_matching"
)

var dropNames = []string{dropUTF8, dropEmpty, dropMinChars, dropMaxChars, dropLine, dropRun, dropAlpha, dropRepeated, dropMatching}

// A filter is a Filter made ready.
type filter struct {
	Filter
	patterns []*regexp.Regexp
}

func newFilter(f Filter) (*filter, error) {
	out := &filter{Filter: f}
	for i, p := range f.DropMatching {
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("filter.drop_matching[%d]: %w", i, err)
		}
		out.patterns = append(out.patterns, re)
	}
	return out, nil
}

// repair makes the strings of d valid UTF-8. It reports false if the document is to be dropped instead.
func (f *filter) repair(d *corpus.Document) bool {
	valid := true
	for s := range d.Strings {
		valid = valid && utf8.ValidString(s)
	}
	for _, m := range d.Messages {
		valid = valid && utf8.ValidString(m.Role)
	}
	if valid {
		return true
	}
	if f.InvalidUTF8 != "replace" {
		return false
	}
	fix := func(s *string) { *s = strings.ToValidUTF8(*s, "\uFFFD") }
	for _, s := range []*string{&d.Text, &d.Prompt, &d.Chosen, &d.Rejected} {
		fix(s)
	}
	for i := range d.Messages {
		fix(&d.Messages[i].Role)
		fix(&d.Messages[i].Content)
	}
	return true
}

// reason is the name of the first filter that drops d, or "". The filters look at all the document's strings as one
// text.
func (f *filter) reason(d *corpus.Document) string {
	text := d.Text
	if text == "" {
		var parts []string
		for s := range d.Strings {
			parts = append(parts, s)
		}
		text = strings.Join(parts, "\n")
	}
	if strings.TrimSpace(text) == "" {
		return dropEmpty
	}
	c := count(text)
	switch {
	case f.MinChars != nil && c.chars < *f.MinChars:
		return dropMinChars
	case f.MaxChars != nil && c.chars > *f.MaxChars:
		return dropMaxChars
	case f.MaxLineChars != nil && c.longestLine > *f.MaxLineChars:
		return dropLine
	case f.MaxRun != nil && c.longestRun > *f.MaxRun:
		return dropRun
	case f.MinAlpha != nil && float64(c.letters) < *f.MinAlpha*float64(c.visible):
		return dropAlpha
	case f.MaxRepeatedLines != nil && repeatedLines(text) > *f.MaxRepeatedLines:
		return dropRepeated
	}
	for _, re := range f.patterns {
		if re.MatchString(text) {
			return dropMatching
		}
	}
	return ""
}

type counts struct {
	chars       int // code points
	visible     int // other than white space
	letters     int
	longestLine int // code points, without the line end
	longestRun  int // of one visible character
}

func count(text string) counts {
	var c counts
	line, run, last := 0, 0, rune(-1)
	for _, r := range text {
		c.chars++
		if r == '\n' {
			c.longestLine, line = max(c.longestLine, line), 0
		} else if r != '\r' {
			line++
		}
		if unicode.IsSpace(r) {
			last = -1
			continue
		}
		c.visible++
		if unicode.IsLetter(r) {
			c.letters++
		}
		if r != last {
			run, last = 0, r
		}
		run++
		c.longestRun = max(c.longestRun, run)
	}
	c.longestLine = max(c.longestLine, line)
	return c
}

// repeatedLines is the share of the bytes of all lines that are in lines equal to an earlier one, white space at the
// ends and blank lines left aside.
func repeatedLines(text string) float64 {
	seen := map[string]bool{}
	all, repeated := 0, 0
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		all += len(line)
		if seen[line] {
			repeated += len(line)
		}
		seen[line] = true
	}
	if all == 0 {
		return 0
	}
	return float64(repeated) / float64(all)
}
