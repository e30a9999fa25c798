package dataset

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"athanor/steps/internal/ngram"
)

// Prose holds the limits of the Gopher rules (Rae et al. 2021, appendix A.1) and of FineWeb's own (Penedo et al. 2024,
// section 3.6). Words stand between white space; where a script is written without spaces each letter is a word. Lines
// that hold white space alone do not count.
type Prose struct {
	MinWords           *int     `json:"min_words" min:"1" doc:"Fewest words; punctuation belongs to the word it stands at. Where a script has no spaces, each letter is a word."`
	MaxWords           *int     `json:"max_words" min:"1" doc:"Most words."`
	MinMeanWordChars   *float64 `json:"min_mean_word_chars" min:"0" doc:"Smallest mean length of a word, in characters. About 1 for Chinese."`
	MaxMeanWordChars   *float64 `json:"max_mean_word_chars" min:"0" doc:"Largest mean length of a word."`
	MaxSymbolsPerWord  *float64 `json:"max_symbols_per_word" min:"0" doc:"Most # per word, and most ellipses (... or …) per word."`
	MaxBulletLines     *float64 `json:"max_bullet_lines" min:"0" max:"1" doc:"Largest share of lines that begin with a bullet: one of • ‣ ⁃ ◦ ● ○ ▪, or - * + before a space."`
	MaxEllipsisLines   *float64 `json:"max_ellipsis_lines" min:"0" max:"1" doc:"Largest share of lines that end with an ellipsis."`
	MinWordsWithLetter *float64 `json:"min_words_with_letter" min:"0" max:"1" doc:"Smallest share of words that hold a letter of any script."`
	MinStopWords       *int     `json:"min_stop_words" min:"0" max:"64" doc:"Fewest different words of stop_words."`
	StopWords          []string `json:"stop_words" optional:"true" min:"1" max:"64" doc:"What min_stop_words counts, whatever their case. Left out: the be to of and that have with."`
	MinPunctuatedLines *float64 `json:"min_punctuated_lines" min:"0" max:"1" doc:"Smallest share of lines that end with a mark that ends a sentence in any script, an ellipsis or a quotation mark."`
	MaxShortLines      *float64 `json:"max_short_lines" min:"0" max:"1" doc:"Largest share of lines of at most short_line_chars characters."`
	ShortLineChars     *int     `json:"short_line_chars" min:"1" doc:"Length of a short line. Left out: 30."`
	MaxNewlinesPerWord *float64 `json:"max_newlines_per_word" min:"0" doc:"Most line ends per word; lists and tables have many."`
}

const shortLineChars = 30

var englishStopWords = []string{"the", "be", "to", "of", "and", "that", "have", "with"}

// withRules fills in what the named rules publish where the recipe says nothing of its own.
func (f Filter) withRules() Filter {
	if slices.Contains(f.Rules, "gopher") {
		fill(&f.MinWords, 50)
		fill(&f.MaxWords, 100_000)
		fill(&f.MinMeanWordChars, 3)
		fill(&f.MaxMeanWordChars, 10)
		fill(&f.MaxSymbolsPerWord, 0.1)
		fill(&f.MaxBulletLines, 0.9)
		fill(&f.MaxEllipsisLines, 0.3)
		fill(&f.MinWordsWithLetter, 0.8)
		fill(&f.MinStopWords, 2)
	}
	if slices.Contains(f.Rules, "fineweb") {
		fill(&f.MinPunctuatedLines, 0.12)
		fill(&f.MaxShortLines, 0.67)
		fill(&f.MaxRepeatedLines, 0.01)
		fill(&f.MaxNewlinesPerWord, 0.3)
	}
	if slices.Contains(f.Rules, "gopher_repetition") { // after fineweb, whose limit on repeated lines is smaller
		fill(&f.MaxRepeatedLines, 0.2)
		fill(&f.MaxDuplicateLines, 0.3)
		fill(&f.MaxDuplicateParagraphs, 0.3)
		fill(&f.MaxRepeatedParagraphs, 0.2)
		if f.MaxTopNgrams == nil {
			f.MaxTopNgrams = gopherTopNgrams
		}
		if f.MaxRepeatedNgrams == nil {
			f.MaxRepeatedNgrams = gopherRepeatedNgrams
		}
	}
	fill(&f.ShortLineChars, shortLineChars)
	if f.StopWords == nil {
		f.StopWords = englishStopWords
	}
	return f
}

func fill[T any](setting **T, value T) {
	if *setting == nil {
		*setting = &value
	}
}

// active reports whether any limit is set.
func (p *Prose) active() bool {
	return p.MinWords != nil || p.MaxWords != nil || p.MinMeanWordChars != nil || p.MaxMeanWordChars != nil || p.MaxSymbolsPerWord != nil ||
		p.MaxBulletLines != nil || p.MaxEllipsisLines != nil || p.MinWordsWithLetter != nil || p.MinStopWords != nil ||
		p.MinPunctuatedLines != nil || p.MaxShortLines != nil || p.MaxNewlinesPerWord != nil
}

// check looks for limits that no document can keep.
func (p *Prose) check() (setting string, err error) {
	switch {
	case p.MinWords != nil && p.MaxWords != nil && *p.MinWords > *p.MaxWords:
		return "min_words", fmt.Errorf("min_words = %d is more than max_words = %d: no document can be both", *p.MinWords, *p.MaxWords)
	case p.MinMeanWordChars != nil && p.MaxMeanWordChars != nil && *p.MinMeanWordChars > *p.MaxMeanWordChars:
		return "min_mean_word_chars", fmt.Errorf("min_mean_word_chars = %g is more than max_mean_word_chars = %g: no document can be both",
			*p.MinMeanWordChars, *p.MaxMeanWordChars)
	case p.MinStopWords != nil && *p.MinStopWords > len(p.StopWords):
		return "min_stop_words", fmt.Errorf("min_stop_words = %d, and stop_words has %d: no document can have more", *p.MinStopWords, len(p.StopWords))
	}
	return "", nil
}

// reason is the first limit that the text breaks and the figure that does, or "".
func (p *Prose) reason(m *measures) (setting, figure string) {
	words, lines := float64(m.words), float64(m.lines)
	per := func(n int, of float64) float64 {
		if of == 0 {
			return 0
		}
		return float64(n) / of
	}
	mean := per(m.wordChars, words)
	symbols := per(max(m.hashes, m.ellipses), words)
	stop := bits.OnesCount64(m.stopWords)
	switch {
	case p.MinWords != nil && m.words < *p.MinWords:
		return dropMinWords, fmt.Sprintf("%d words", m.words)
	case p.MaxWords != nil && m.words > *p.MaxWords:
		return dropMaxWords, fmt.Sprintf("%d words", m.words)
	case p.MinMeanWordChars != nil && mean < *p.MinMeanWordChars:
		return dropMinMeanWord, fmt.Sprintf("%.2f characters a word", mean)
	case p.MaxMeanWordChars != nil && mean > *p.MaxMeanWordChars:
		return dropMaxMeanWord, fmt.Sprintf("%.2f characters a word", mean)
	case p.MaxSymbolsPerWord != nil && symbols > *p.MaxSymbolsPerWord:
		return dropSymbols, fmt.Sprintf("%d # and %d ellipses in %d words", m.hashes, m.ellipses, m.words)
	case p.MaxBulletLines != nil && per(m.bulletLines, lines) > *p.MaxBulletLines:
		return dropBullets, fmt.Sprintf("%d of %d lines", m.bulletLines, m.lines)
	case p.MaxEllipsisLines != nil && per(m.ellipsisLines, lines) > *p.MaxEllipsisLines:
		return dropEllipses, fmt.Sprintf("%d of %d lines", m.ellipsisLines, m.lines)
	case p.MinWordsWithLetter != nil && per(m.withLetter, words) < *p.MinWordsWithLetter:
		return dropWithLetter, fmt.Sprintf("%d of %d words", m.withLetter, m.words)
	case p.MinStopWords != nil && stop < *p.MinStopWords:
		return dropStopWords, fmt.Sprintf("%d stop words", stop)
	case p.MinPunctuatedLines != nil && per(m.punctuated, lines) < *p.MinPunctuatedLines:
		return dropPunctuated, fmt.Sprintf("%d of %d lines", m.punctuated, m.lines)
	case p.MaxShortLines != nil && per(m.shortLines, lines) > *p.MaxShortLines:
		return dropShortLines, fmt.Sprintf("%d of %d lines", m.shortLines, m.lines)
	case p.MaxNewlinesPerWord != nil && per(m.newlines, words) > *p.MaxNewlinesPerWord:
		return dropNewlines, fmt.Sprintf("%d line ends for %d words", m.newlines, m.words)
	}
	return "", ""
}

// measures is what the limits of Prose go by.
type measures struct {
	words, wordChars, withLetter int
	hashes, ellipses             int
	stopWords                    uint64 // one bit for each that occurs
	newlines, lines              int
	bulletLines, ellipsisLines   int
	punctuated, shortLines       int
}

// A measurer takes measures.
type measurer struct {
	short   int
	stop    map[string]int // lower case
	longest int            // stop word, in bytes
}

func newMeasurer(p *Prose) *measurer {
	m := &measurer{short: *p.ShortLineChars, stop: map[string]int{}}
	if p.MinStopWords != nil {
		for i, w := range p.StopWords {
			w = strings.ToLower(w)
			m.stop[w] = i
			m.longest = max(m.longest, len(w))
		}
	}
	return m
}

func (m *measurer) measure(text string) *measures {
	out := &measures{newlines: strings.Count(text, "\n"), hashes: strings.Count(text, "#")}
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		out.lines++
		before := out.wordChars
		spaces := m.words(out, line)
		if out.wordChars-before+spaces <= m.short {
			out.shortLines++
		}
		if beginsWithBullet(line) {
			out.bulletLines++
		}
		if strings.HasSuffix(line, "...") || strings.HasSuffix(line, "…") {
			out.ellipsisLines++
		}
		if endsSentence(line) {
			out.punctuated++
		}
		out.ellipses += strings.Count(line, "...") + strings.Count(line, "…")
	}
	return out
}

// words counts the words of a line; it returns the number of its other characters, which are white space.
func (m *measurer) words(out *measures, line string) (spaces int) {
	const none = -1
	start, letter, alone := none, false, false
	end := func(at int) {
		if start == none {
			return
		}
		out.words++
		if letter {
			out.withLetter++
		}
		m.stopWord(out, line[start:at])
		start, letter, alone = none, false, false
	}
	for i, r := range line {
		var isLetter, isSpace, isDigit, single bool
		if r < utf8.RuneSelf {
			isSpace, isLetter = asciiSpace(r), asciiLetter(r)
			isDigit = '0' <= r && r <= '9'
		} else {
			isSpace, isLetter, isDigit, single = unicode.IsSpace(r), unicode.IsLetter(r), unicode.IsDigit(r), ngram.Alone(r)
		}
		if isSpace {
			spaces++
			end(i)
			continue
		}
		if single || alone && (isLetter || isDigit) { // punctuation stays with the letter before it
			end(i)
		}
		if start == none {
			start = i
		}
		out.wordChars++
		letter = letter || isLetter
		alone = alone || single
	}
	end(len(line))
	return spaces
}

// stopWord notes a word, its punctuation taken off, if it is one of the stop words.
func (m *measurer) stopWord(out *measures, word string) {
	if len(m.stop) == 0 {
		return
	}
	for word != "" && word[0] < utf8.RuneSelf && !asciiLetter(rune(word[0])) {
		word = word[1:]
	}
	for word != "" && word[len(word)-1] < utf8.RuneSelf && !asciiLetter(rune(word[len(word)-1])) {
		word = word[:len(word)-1]
	}
	if len(word) > m.longest+8 { // marks beyond ASCII may still come off, and change their length in lower case
		return
	}
	var low [64]byte
	for i := range min(len(word), len(low)) {
		c := word[i]
		if c >= utf8.RuneSelf {
			word = strings.ToLower(strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) }))
			if at, ok := m.stop[word]; ok {
				out.stopWords |= 1 << at
			}
			return
		}
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	if len(word) <= m.longest && len(word) <= len(low) {
		if at, ok := m.stop[string(low[:len(word)])]; ok {
			out.stopWords |= 1 << at
		}
	}
}

func beginsWithBullet(line string) bool {
	r, size := utf8.DecodeRuneInString(line)
	if strings.ContainsRune("•‣⁃◦●○▪", r) {
		return true
	}
	return strings.ContainsRune("-*+", r) && (len(line) == size || line[size] == ' ' || line[size] == '\t')
}

func endsSentence(line string) bool {
	r, _ := utf8.DecodeLastRuneInString(line)
	if r < utf8.RuneSelf {
		return strings.ContainsRune(".!?\"'", r)
	}
	return r == '…' || unicode.In(r, unicode.Sentence_Terminal, unicode.Quotation_Mark)
}
