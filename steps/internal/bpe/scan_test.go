package bpe

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/dlclark/regexp2"
)

// The rules by hand are compared with their regular expressions as regexp2 matches them.

type ruleCase struct {
	name string
	rule rule
	expr *regexRule
}

func ruleCases() []ruleCase {
	list := []ruleCase{}
	for name, expr := range map[string]string{
		"llama3": llama3Pattern, "qwen2": qwen2Pattern, "gpt2": gpt2Pattern, "cl100k": cl100kPattern,
	} {
		list = append(list, ruleCase{name, knownRules[expr], &regexRule{re: regexp2.MustCompile(expr, regexp2.None)}})
	}
	return list
}

func cut(r rule, s string) (pieces []string) {
	r.each(s, func(p string) { pieces = append(pieces, p) })
	return pieces
}

// alike leaves out of s what our tables and Go's see differently: letters and numbers newer than Go's tables, and the
// long s, which regexp2 does not fold to s as the library does (a fixture has it).
func alike(s string) string {
	return strings.Map(func(r rune) rune {
		k := other
		switch {
		case unicode.IsLetter(r):
			k = letter
		case unicode.Is(unicode.N, r):
			k = number
		case r == '\r' || r == '\n':
			k = newline
		case unicode.IsSpace(r):
			k = space
		}
		if got, _ := classes.at(string(r), 0); got != k || r == 0x17f {
			return -1
		}
		return r
	}, s)
}

func checkRules(t *testing.T, list []ruleCase, s string) {
	t.Helper()
	for _, c := range list {
		got, want := cut(c.rule, s), cut(c.expr, s)
		if !slices.Equal(got, want) {
			t.Errorf("%s on %q:\n got %q\nwant %q", c.name, s, got, want)
		}
	}
}

// atoms are what the rules distinguish, and what has gone wrong in other tokenizers.
var atoms = []string{
	"a", "Z", "é", "ß", "漢", "ǅ", "ʰ", "1", "٣", "½", "Ⅷ", " ", " ", "\t", "\n", "\r", "\r\n", "\u00a0", "\u0085", "\u2028",
	"\u3000", "\v", "'", "'", "'s", "'T", "'re", "'LL", "'vE", "l", "s", "!", "_", "-", "\u0301", "\u200d", "😀", "\ufeff", "\ufffd", "\x00",
	"\xff", "\xc3", "\xe2\x82", "\xed\xa0\x80", "\xf0\x9f",
}

// TestRulesExhaustively tries every sequence of four atoms of one byte or less, and a great many longer ones.
func TestRulesExhaustively(t *testing.T) {
	list := ruleCases()
	few := []string{"a", "1", " ", "\n", "'", "!", "\t", "l"}
	for i := range len(few) * len(few) * len(few) * len(few) {
		s := ""
		for range 4 {
			s += few[i%len(few)]
			i /= len(few)
		}
		checkRules(t, list, s)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var s strings.Builder
		for range 1 + rng.IntN(24) {
			s.WriteString(atoms[rng.IntN(len(atoms))])
		}
		checkRules(t, list, s.String())
	}
}

func TestRulesOnFixtures(t *testing.T) {
	var f libraryFixture
	readFixture(t, "library.json", &f)
	list := ruleCases()
	for _, s := range slices.Concat(f.Docs, f.Texts) {
		checkRules(t, list, alike(s))
	}
}

func FuzzRules(f *testing.F) {
	for _, s := range atoms {
		f.Add(s + " don't\r\n " + s)
	}
	list := ruleCases()
	f.Fuzz(func(t *testing.T, s string) { checkRules(t, list, alike(s)) })
}

// TestClasses compares the generated table, which is of Unicode 16, with Go's, which may be older or newer: what is
// assigned in both has one class.
func TestClasses(t *testing.T) {
	if n := len(classes.data); n > 256 {
		t.Fatalf("%d different pages do not fit a byte", n)
	}
	elsewhere := []*unicode.RangeTable{unicode.M, unicode.P, unicode.S, unicode.Z, unicode.Cc, unicode.Cf, unicode.Co}
	newer := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		got, _ := classes.at(string(r), 0)
		in := unicode.IsLetter(r) && got == letter || unicode.Is(unicode.N, r) && got == number ||
			unicode.IsSpace(r) && got >= space || unicode.IsOneOf(elsewhere, r) && (got == other || got >= space)
		switch assigned := unicode.IsOneOf(elsewhere, r) || unicode.IsLetter(r) || unicode.IsNumber(r); {
		case assigned && !in && (unicode.Version == "15.0.0" || got != other):
			t.Errorf("%U has the class %d and another one in Go", r, got)
		case !assigned && got != other:
			newer++
		}
	}
	if unicode.Version == "15.0.0" && newer != 5004 {
		t.Errorf("%d letters and numbers are newer than Go's tables, want 5004", newer)
	}
}
