package dataset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"athanor/steps/internal/corpus"
)

// prose is a page that all published rules keep.
const prose = `The furnace that holds one heat for weeks was the heart of the laboratory, and with it came the patience of its keeper.
He would have been content to watch the glass for a season, for that is what the work asks of those who do it well.
Nobody who has seen the slow turning of the colours will say that the wait was long, or that the fire was to blame.
And so the book ends, as it began, with the hand on the bellows and the eye on the flame.`

// Each limit drops what is beyond it, says the figure, and keeps what is just within.
func TestProseLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter Filter
		drops  string
		keeps  string
		figure string
	}{
		{dropMinWords, Filter{Prose: Prose{MinWords: ptr(3)}}, "one, two.", "one, two. three", "2 words"},
		{dropMinWords, Filter{Prose: Prose{MinWords: ptr(4)}}, "你好,世", "你好,世界。", "3 words"},
		{dropMaxWords, Filter{Prose: Prose{MaxWords: ptr(2)}}, "a b\nc", "a-b\n c", "3 words"},
		{dropMinMeanWord, Filter{Prose: Prose{MinMeanWordChars: ptr(3.0)}}, "ab äöü", "abc äöü", "2.50 characters a word"},
		{dropMaxMeanWord, Filter{Prose: Prose{MaxMeanWordChars: ptr(3.0)}}, "abcd äöü", "abcd äö", "3.50 characters a word"},
		{dropSymbols, Filter{Prose: Prose{MaxSymbolsPerWord: ptr(0.5)}}, "#a #b c", "#a b c ... d", "2 # and 0 ellipses in 3 words"},
		{dropSymbols, Filter{Prose: Prose{MaxSymbolsPerWord: ptr(0.5)}}, "a... b… c", "#a b... c d", "0 # and 2 ellipses in 3 words"},
		{dropBullets, Filter{Prose: Prose{MaxBulletLines: ptr(0.5)}}, "- a\n\n  • b\nc", "-a\n* b\n\n\n", "2 of 3 lines"},
		{dropEllipses, Filter{Prose: Prose{MaxEllipsisLines: ptr(0.5)}}, "a...\nb… \nc", "a...\nb.", "2 of 3 lines"},
		{dropWithLetter, Filter{Prose: Prose{MinWordsWithLetter: ptr(0.5)}}, "a 12 --", "a1 -- 你 7", "1 of 3 words"},
		{dropStopWords, Filter{Prose: Prose{MinStopWords: ptr(2)}}, "the cat, the dog", "The cat; \"AND\" a dog", "1 stop words"},
		{dropStopWords, Filter{Prose: Prose{MinStopWords: ptr(2), StopWords: []string{"的", "是"}}}, "这是书", "这是我的。", "1 stop words"},
		{dropPunctuated, Filter{Prose: Prose{MinPunctuatedLines: ptr(0.5)}}, "a.\nb\nc", "a。\nb,\n", "1 of 3 lines"},
		{dropPunctuated, Filter{Prose: Prose{MinPunctuatedLines: ptr(1.0)}}, "a.\nb;", "a!\nb?\nc…\nd”\ne؟\nf।", "1 of 2 lines"},
		{dropShortLines, Filter{Prose: Prose{MaxShortLines: ptr(0.5), ShortLineChars: ptr(4)}}, "a b \nä cd\nabcde", "a  b\n\nabc d", "2 of 3 lines"},
		{dropNewlines, Filter{Prose: Prose{MaxNewlinesPerWord: ptr(0.5)}}, "a b\n\nc", "a b c d\n\n", "2 line ends for 3 words"},
	} {
		f, err := newFilter(c.filter)
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

// The published sets keep prose and drop what they were made against; single settings override them, which lets code and
// other languages through.
func TestRules(t *testing.T) {
	both := []string{"gopher", "fineweb"}
	var code, menu strings.Builder
	for c := 'a'; c <= 'p'; c++ {
		fmt.Fprintf(&code, "func f%c(%c, i int) int { return %c + i }\n", c, c, c)
		fmt.Fprintf(&menu, "The best of the shops, number %c\n", c)
	}
	const chinese = "这是一本书,我的朋友说它的故事很好。我们在家里看了三天,又给了别人。\n他是老师,在山上住了很久,种花也种菜,常常有人去看他,听他说从前的事。\n"
	for _, c := range []struct {
		name   string
		filter Filter
		text   string
		want   string
	}{
		{"prose", Filter{Rules: both}, prose, ""},
		{"short", Filter{Rules: both}, "The cat and the dog.", dropMinWords},
		{"short is not FineWeb's business", Filter{Rules: both[1:]}, "The cat and the dog went up the hill.", ""},
		{"overridden", Filter{Rules: both, Prose: Prose{MinWords: ptr(2)}}, "The cat and the dog with a long tail that goes on.", ""},
		{"a menu", Filter{Rules: both[1:]}, menu.String(), dropPunctuated},
		{"said twice", Filter{Rules: both[1:]}, prose + "\n" + prose, dropRepeated},
		{"code under rules for prose", Filter{Rules: both}, code.String(), dropMinMeanWord},
		{"code under its own", Filter{Rules: both[:1], Prose: Prose{MinMeanWordChars: ptr(1.0), MinStopWords: ptr(0), MinWordsWithLetter: ptr(0.5)}}, code.String(), ""},
		{"Chinese under rules for English", Filter{Rules: both}, chinese, dropMinMeanWord},
		{"Chinese under its own", Filter{Rules: both, Prose: Prose{MinMeanWordChars: ptr(1.0), StopWords: []string{"的", "是", "在"}}}, chinese, ""},
	} {
		f, err := newFilter(c.filter)
		if err != nil {
			t.Fatal(err)
		}
		if name, figure := f.reason(c.text); name != c.want {
			t.Errorf("%s: %q (%s), want %q", c.name, name, figure, c.want)
		}
	}
}

// What the rules fill in is what is published.
func TestPublishedLimits(t *testing.T) {
	f := Filter{Rules: []string{"fineweb", "gopher"}}.withRules()
	got := []float64{float64(*f.MinWords), float64(*f.MaxWords), *f.MinMeanWordChars, *f.MaxMeanWordChars, *f.MaxSymbolsPerWord, *f.MaxBulletLines,
		*f.MaxEllipsisLines, *f.MinWordsWithLetter, float64(*f.MinStopWords), *f.MinPunctuatedLines, *f.MaxShortLines, float64(*f.ShortLineChars),
		*f.MaxRepeatedLines, *f.MaxNewlinesPerWord}
	if want := []float64{50, 100000, 3, 10, 0.1, 0.9, 0.3, 0.8, 2, 0.12, 0.67, 30, 0.01, 0.3}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if g := (Filter{}).withRules(); g.Prose.active() || g.MaxRepeatedLines != nil {
		t.Errorf("limits without rules: %+v", g)
	}
}

// The rules go through the step, into the counts.
func TestRulesInStep(t *testing.T) {
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	c.Filter.Rules = []string{"gopher"}
	p, err := produce(t, put(t, map[string]string{"a": prose, "b": "The cat and the dog.", "c": strings.Repeat("- seven cats and\n", 30)}), 2, c)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.data.Stats(); s.Dropped[dropMinWords] != 1 || s.Dropped[dropBullets] != 1 || s.Kept != 1 {
		t.Errorf("%+v", s)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{prose}) {
		t.Errorf("%q", got)
	}
}
