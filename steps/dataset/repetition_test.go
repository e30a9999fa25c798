package dataset

import (
	"maps"
	"strings"
	"testing"
)

// Each limit drops what is beyond it, says the figure, and keeps what is just within.
func TestRepetitionLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Repetition
		drops  string
		keeps  string
		figure string
	}{
		{dropDuplicateLines, Repetition{MaxDuplicateLines: ptr(0.5)}, "a\nlong line\na\n\n a \na", "a\na\na\nbb\n\n\n\ncc", "0.600 of the lines"},
		{dropDuplicateParagraphs, Repetition{MaxDuplicateParagraphs: ptr(0.3)}, "a\nb\n\nc\n\n\na\nb", "a\nb\n\na\nc\n\n\n\na", "0.333 of the paragraphs"},
		{dropRepeatedParagraphs, Repetition{MaxRepeatedParagraphs: ptr(0.39)}, "aaaa\n\nbb\n\naaaa", "aaaa\n\nbbbbb\n\naaaa", "0.400 of the text"},
		{dropTopNgrams, Repetition{MaxTopNgrams: map[string]float64{"2": 0.5}}, "aa bb, cc! Aa bb", "aa bb cc dd aa bb ee ff", "2 words in a row take 0.800 of the words"},
		{dropTopNgrams, Repetition{MaxTopNgrams: map[string]float64{"2": 0.99}}, "aa aa aa", "aa bb", "2 words in a row take 1.000 of the words"},
		{dropRepeatedNgrams, Repetition{MaxRepeatedNgrams: map[string]float64{"3": 0.4}}, "aa bb cc aa bb cc dd", "aa bb cc dd ee aa bb cc", "repeated runs of 3 words take 0.429 of the words"},
		{dropRepeatedNgrams, Repetition{MaxRepeatedNgrams: map[string]float64{"2": 0.49}}, "aa bb cc aa bb cc", "aa bb cc aa bb dd", "repeated runs of 2 words take 0.500 of the words"},
	} {
		f, err := newFilter(Filter{Repetition: c.limits})
		if err != nil {
			t.Fatal(err)
		}
		if name, figure := f.reason(c.drops); name != c.name || figure != c.figure {
			t.Errorf("%q is dropped by %q (%s), want %s (%s)", c.drops, name, figure, c.name, c.figure)
		}
		if name, figure := f.reason(c.keeps); name != "" {
			t.Errorf("%q is dropped by %s (%s)", c.keeps, name, figure)
		}
	}
}

// The set keeps prose, drops what goes round in circles, and yields to FineWeb's smaller limit and to single settings.
func TestGopherRepetition(t *testing.T) {
	f := Filter{Rules: []string{"gopher_repetition", "fineweb"}, Repetition: Repetition{MaxTopNgrams: map[string]float64{"2": 0.9}}}.withRules()
	if *f.MaxRepeatedLines != 0.01 || *f.MaxDuplicateLines != 0.3 || *f.MaxDuplicateParagraphs != 0.3 || *f.MaxRepeatedParagraphs != 0.2 ||
		f.MaxTopNgrams["2"] != 0.9 || len(f.MaxTopNgrams) != 1 || !maps.Equal(f.MaxRepeatedNgrams, gopherRepeatedNgrams) {
		t.Errorf("%+v", f)
	}
	round, err := newFilter(Filter{Rules: []string{"gopher_repetition"}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		prose: "",
		strings.Repeat("click here ", 40) + prose:                              dropTopNgrams,
		prose + " " + prose[:len(prose)/2]:                                     dropRepeatedNgrams,
		prose + strings.Repeat("\nthe same line", 3):                           "",
		prose + strings.Repeat("\nx", 9):                                       dropDuplicateLines,
		"one\n\ntwo\n\n" + prose + "\n\none\n\ntwo":                            dropDuplicateParagraphs,
		prose + "\n\n" + strings.ReplaceAll(prose, "\n", " \n") + "\n" + prose: dropRepeated,
	} {
		if name, figure := round.reason(text); name != want {
			t.Errorf("%.40q…: %q (%s), want %q", text, name, figure, want)
		}
	}
}
