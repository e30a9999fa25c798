package dataset

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"athanor/steps/internal/corpus"
)

// The names under which dropped records are counted, in the order in which they are looked at; where a setting of the
// filter block drops them, its name. "duplicate" and "bad" come beside them in the output dropped.
const (
	dropUTF8     = "invalid_utf8"
	dropEmpty    = "empty"
	dropMinChars = "min_chars"
	dropMaxChars = "max_chars"
	dropLine     = "max_line_chars"
	dropRun      = "max_run"
	dropAlpha    = "min_alpha"
	dropRepeated = "max_repeated_lines"

	dropDuplicateLines      = "max_duplicate_lines"
	dropDuplicateParagraphs = "max_duplicate_paragraphs"
	dropRepeatedParagraphs  = "max_repeated_paragraphs"
	dropTopNgrams           = "max_top_ngrams"
	dropRepeatedNgrams      = "max_repeated_ngrams"

	dropMinWords    = "min_words"
	dropMaxWords    = "max_words"
	dropMinMeanWord = "min_mean_word_chars"
	dropMaxMeanWord = "max_mean_word_chars"
	dropSymbols     = "max_symbols_per_word"
	dropBullets     = "max_bullet_lines"
	dropEllipses    = "max_ellipsis_lines"
	dropWithLetter  = "min_words_with_letter"
	dropStopWords   = "min_stop_words"
	dropPunctuated  = "min_punctuated_lines"
	dropShortLines  = "max_short_lines"
	dropNewlines    = "max_newlines_per_word"
	dropMatching    = "drop_matching"
	dropEvaluation  = "decontaminate"
	dropNear        = "near_duplicate"
	dropLines       = "lines"
)

var dropNames = []string{dropUTF8, dropEmpty, dropMinChars, dropMaxChars, dropLine, dropRun, dropAlpha, dropRepeated,
	dropDuplicateLines, dropDuplicateParagraphs, dropRepeatedParagraphs, dropTopNgrams, dropRepeatedNgrams,
	dropMinWords, dropMaxWords, dropMinMeanWord, dropMaxMeanWord, dropSymbols, dropBullets, dropEllipses, dropWithLetter, dropStopWords,
	dropPunctuated, dropShortLines, dropNewlines, dropMatching, dropEvaluation, dropNear, dropLines}

// A filter is a Filter made ready. Several goroutines may use it.
type filter struct {
	Filter
	patterns []*regexp.Regexp
	counting bool // whether any limit needs counts
	repeater *repeater
	measurer *measurer // nil if no limit of Prose is set
}

func newFilter(f Filter) (*filter, error) {
	out := &filter{Filter: f.withRules()}
	out.counting = f.MinChars != nil || f.MaxChars != nil || f.MaxLineChars != nil || f.MaxRun != nil || f.MinAlpha != nil
	out.repeater = newRepeater(&out.Repetition)
	if out.Prose.active() {
		out.measurer = newMeasurer(&out.Prose)
	}
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

// reason is the name of the first filter that drops the text, with the figure for which it does; "" if none does.
func (f *filter) reason(text string) (name, figure string) {
	if strings.TrimSpace(text) == "" {
		return dropEmpty, ""
	}
	var c counts
	if f.counting {
		c = count(text)
	}
	switch {
	case f.MinChars != nil && c.chars < *f.MinChars:
		return dropMinChars, fmt.Sprintf("%d characters", c.chars)
	case f.MaxChars != nil && c.chars > *f.MaxChars:
		return dropMaxChars, fmt.Sprintf("%d characters", c.chars)
	case f.MaxLineChars != nil && c.longestLine > *f.MaxLineChars:
		return dropLine, fmt.Sprintf("a line of %d characters", c.longestLine)
	case f.MaxRun != nil && c.longestRun > *f.MaxRun:
		return dropRun, fmt.Sprintf("one character %d times", c.longestRun)
	case f.MinAlpha != nil && float64(c.letters) < *f.MinAlpha*float64(c.visible):
		return dropAlpha, fmt.Sprintf("%d of %d characters are letters", c.letters, c.visible)
	}
	if f.MaxRepeatedLines != nil {
		if _, share := repeats(text, "\n"); share > *f.MaxRepeatedLines {
			return dropRepeated, fmt.Sprintf("%.3f of the text", share)
		}
	}
	if name, figure := f.repeater.reason(text); name != "" {
		return name, figure
	}
	if f.measurer != nil {
		if name, figure := f.Prose.reason(f.measurer.measure(text)); name != "" {
			return name, figure
		}
	}
	for _, re := range f.patterns {
		if re.MatchString(text) { // and only then where: that takes longer
			return dropMatching, fmt.Sprintf("%q", excerpt(re.FindString(text), 80))
		}
	}
	return "", ""
}

// whole is all the document's strings as one text; the filters look at that.
func whole(d *corpus.Document) string {
	if d.Text != "" {
		return d.Text
	}
	var parts []string
	for s := range d.Strings {
		parts = append(parts, s)
	}
	return strings.Join(parts, "\n")
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
		var isSpace, isLetter bool
		if r < utf8.RuneSelf {
			isSpace, isLetter = asciiSpace(r), asciiLetter(r)
		} else {
			isSpace, isLetter = unicode.IsSpace(r), unicode.IsLetter(r)
		}
		if isSpace {
			last = -1
			continue
		}
		c.visible++
		if isLetter {
			c.letters++
		}
		if r != last {
			c.longestRun = max(c.longestRun, run)
			run, last = 0, r
		}
		run++
	}
	c.longestRun = max(c.longestRun, run)
	c.longestLine = max(c.longestLine, line)
	return c
}

// The two questions that are asked of every character; asking package unicode about ASCII takes several times as long.
func asciiSpace(r rune) bool  { return r == ' ' || '\t' <= r && r <= '\r' }
func asciiLetter(r rune) bool { return 'a' <= r|0x20 && r|0x20 <= 'z' }
