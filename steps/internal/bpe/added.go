package bpe

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// An addedToken is a token beside the merges, with the fields of tokenizer.json.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not beside a letter, number or underscore
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // takes the white space after it along
	Normalized bool   `json:"normalized"`  // looked for after normalisation
	Special    bool   `json:"special"`     // a control token
}

// An addedSet finds added tokens in text, in two rounds as the library does: before normalisation and after.
type addedSet struct{ raw, normalized matcher }

// A matcher finds the leftmost and then longest of some strings.
type matcher struct {
	byFirst map[byte][]candidate // longest first
	first   string               // the first bytes
}

type candidate struct {
	text  string
	id    int32
	token *addedToken
}

func newAddedSet(tokens []token, special bool, form *norm.Form) addedSet {
	var raw, normalized []candidate
	for id, tok := range tokens {
		a := tok.added
		if a == nil || a.Content == "" || a.Special && !special {
			continue
		}
		if !a.Normalized {
			raw = append(raw, candidate{a.Content, int32(id), a})
			continue
		}
		text := a.Content
		if form != nil {
			text = form.String(text)
		}
		normalized = append(normalized, candidate{text, int32(id), a})
	}
	return addedSet{newMatcher(raw), newMatcher(normalized)}
}

func newMatcher(list []candidate) matcher {
	sort.SliceStable(list, func(i, j int) bool { return len(list[i].text) > len(list[j].text) })
	m := matcher{byFirst: map[byte][]candidate{}}
	for _, c := range list {
		b := c.text[0]
		if m.byFirst[b] == nil {
			m.first += string([]byte{b})
		}
		m.byFirst[b] = append(m.byFirst[b], c)
	}
	return m
}

// split calls yield for the parts of s in order: added tokens with their id, and text between them with -1.
func (m *matcher) split(s string, yield func(part string, id int32)) {
	start := 0 // of the text not yet handed out
	for i := 0; i < len(s); {
		at := m.nextFirst(s, i)
		if at < 0 {
			break
		}
		c := m.match(s, at)
		if c == nil {
			i = at + 1
			continue
		}
		begin, end := at, at+len(c.text)
		i = end
		if c.token.SingleWord && (wordEnds(s[:begin]) || wordBegins(s[end:])) {
			continue
		}
		if c.token.LStrip {
			begin = max(start, len(strings.TrimRightFunc(s[:begin], unicode.IsSpace)))
		}
		if c.token.RStrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
			i = end
		}
		if begin > start {
			yield(s[start:begin], -1)
		}
		yield(s[begin:end], c.id)
		start = end
	}
	if start < len(s) {
		yield(s[start:], -1)
	}
}

func (m *matcher) nextFirst(s string, i int) int {
	at := -1
	switch len(m.first) {
	case 0:
	case 1:
		at = strings.IndexByte(s[i:], m.first[0])
	default:
		for j := i; j < len(s); j++ {
			if m.byFirst[s[j]] != nil {
				return j
			}
		}
	}
	if at < 0 {
		return -1
	}
	return i + at
}

func (m *matcher) match(s string, i int) *candidate {
	list := m.byFirst[s[i]]
	for j := range list {
		if strings.HasPrefix(s[i:], list[j].text) {
			return &list[j]
		}
	}
	return nil
}

func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

func wordEnds(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func wordBegins(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}
