package bpe

import "unicode/utf8"

// A class is what the splitting rules need to know of a character.
type class uint8

const (
	other   class = iota // neither letter, number nor white space: punctuation, marks, symbols, ill-formed bytes
	letter               // \p{L}
	number               // \p{N}
	space                // \s but \r and \n
	newline              // \r \n
)

// A classRange gives one class to the code points first..last.
type classRange struct {
	first, last rune
	class       class
}

// spaces are the code points with the property White_Space.
var spaces = [...]classRange{
	{'\t', '\t', space}, {'\n', '\n', newline}, {'\v', '\f', space}, {'\r', '\r', newline}, {' ', ' ', space},
	{0x85, 0x85, space}, {0xa0, 0xa0, space}, {0x1680, 0x1680, space}, {0x2000, 0x200a, space},
	{0x2028, 0x2029, space}, {0x202f, 0x202f, space}, {0x205f, 0x205f, space}, {0x3000, 0x3000, space},
}

// classTable maps a code point to its class in two steps: pages[r>>8] is the number of a page of 256 classes. Pages
// that are equal are stored once, so the table takes some 30 KB and stays in the nearest caches.
type classTable struct {
	ascii [256]class // of a whole character that is one byte; bytes from 0x80 on are multi
	pages [0x1100]uint8
	data  [][256]class
}

// multi marks a byte that is part of a longer character, or ill-formed.
const multi class = 0xff

// classes is filled once, when the program starts.
var classes = newClassTable()

func newClassTable() *classTable {
	flat := make([]class, 0x110000)
	for _, list := range [][]classRange{classRanges[:], spaces[:]} {
		for _, r := range list {
			for c := r.first; c <= r.last; c++ {
				flat[c] = r.class
			}
		}
	}
	t := &classTable{}
	seen := map[[256]class]uint8{}
	for i := range t.pages {
		page := [256]class(flat[i<<8 : (i+1)<<8])
		n, ok := seen[page]
		if !ok {
			n = uint8(len(t.data))
			t.data = append(t.data, page)
			seen[page] = n
		}
		t.pages[i] = n
	}
	copy(t.ascii[:], flat[:utf8.RuneSelf])
	for i := utf8.RuneSelf; i < len(t.ascii); i++ {
		t.ascii[i] = multi
	}
	return t
}

// at returns the class of the character at s[i:] and its length in bytes. An ill-formed byte is a character of its own,
// of class other, as U+FFFD is.
func (t *classTable) at(s string, i int) (class, int) {
	if k := t.ascii[s[i]]; k != multi {
		return k, 1
	}
	return t.decode(s[i:])
}

func (t *classTable) decode(s string) (class, int) {
	r, n := utf8.DecodeRuneInString(s)
	return t.data[t.pages[r>>8]][uint8(r)], n
}
