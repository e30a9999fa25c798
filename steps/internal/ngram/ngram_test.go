package ngram

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{" .,;\n", ""},
		{"The cat, the CAT.", "The|cat|the|CAT"},
		{"x1 = max_len(ab)//3", "x1|max|len|ab|3"},
		{"Straße 12 Ångström naïve", "Straße|12|Ångström|naïve"},
		{"你好,世界。abc", "你|好|世|界|abc"},
		{"abc世def", "abc|世|def"},
		{"สวัสดี", "ส|วั|ส|ดี"},
		{"e\u0301te\u0301", "e\u0301te\u0301"},
		{"привет, МИР", "привет|МИР"},
		{"a\xffb", "a|b"},
	} {
		var got []string
		for _, w := range AppendWords(nil, c.text) {
			got = append(got, c.text[w.Start:w.End])
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%q: %q, want %q", c.text, s, c.want)
		}
	}
}

// Case, punctuation and white space do not count; order and the words do.
func TestHashes(t *testing.T) {
	hashes := func(text string, n int) []uint64 { return AppendHashes(nil, AppendWords(nil, text), n) }
	base := hashes("one two three four five six", 3)
	if len(base) != 4 {
		t.Fatalf("%d hashes", len(base))
	}
	for _, same := range []string{"One, two; THREE\tfour (five) six!", "one\ntwo\nthree\nfour\nfive\nsix"} {
		if !slices.Equal(hashes(same, 3), base) {
			t.Errorf("%q differs", same)
		}
	}
	if !slices.Equal(hashes("ÄRGER МИР 你好 ÉTÉ", 2), hashes("ärger, мир: 你 好, été", 2)) {
		t.Error("case and spaces beyond ASCII count")
	}
	// The same three words have the same hash wherever they stand.
	if moved := hashes("zero and one two three four", 3); !slices.Equal(moved[2:], base[:2]) {
		t.Error("a hash depends on where its words stand")
	}
	seen := map[uint64]bool{}
	for _, text := range []string{"a b c", "a c b", "b a c", "b c a", "c a b", "c b a", "a a b", "a b b", "ab c d", "abc d e", "a bc d"} {
		for _, h := range hashes(text, 3) {
			if seen[h] {
				t.Errorf("%q has the hash of another", text)
			}
			seen[h] = true
		}
	}
	if got := hashes("one two", 3); len(got) != 0 {
		t.Errorf("%d hashes of three words in two", len(got))
	}
}
