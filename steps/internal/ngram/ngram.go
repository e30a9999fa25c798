// Package ngram cuts text into words, in any language, and hashes every n of them in a row. Near-duplicates are found
// by such hashes (steps/internal/minhash), and so are training documents that hold pieces of an evaluation set
// (steps/dataset).
//
// A word is a run of letters, digits and marks, in lower case: punctuation, symbols and white space only separate. Where
// a script is written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) each of its letters is a word.
//
// Start at [AppendWords], then [AppendHashes].
package ngram

import (
	"unicode"
	"unicode/utf8"
)

// A Word is one word of a text.
type Word struct {
	Hash       uint64
	Start, End int // where it stands, in bytes
}

// prime is that of the 64-bit FNV hash.
const prime = 0x100000001b3

// ascii holds the lower-case form of each ASCII letter and digit, and 0 for all that separates.
var ascii = func() (table [utf8.RuneSelf]byte) {
	for c := range table {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			table[c] = byte(c)
		case 'A' <= c && c <= 'Z':
			table[c] = byte(c) + 'a' - 'A'
		}
	}
	return table
}()

// AppendWords adds the words of text to dst.
func AppendWords(dst []Word, text string) []Word {
	const none = -1
	start, hash := none, uint64(0)
	end := func(at int) {
		if start != none {
			dst = append(dst, Word{Hash: Mix(hash), Start: start, End: at})
			start, hash = none, 0
		}
	}
	alone := false // the word that is open is one letter of a script without spaces
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			low := ascii[c]
			if low == 0 || alone {
				end(i)
				alone = false
			}
			if low != 0 {
				if start == none {
					start = i
				}
				hash = (hash ^ uint64(low)) * prime
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		single := Alone(r)
		switch {
		case unicode.IsMark(r) && start != none: // belongs to the letter before it
		case !unicode.In(r, unicode.L, unicode.N, unicode.M):
			end(i)
			alone = false
			i += size
			continue
		case single || alone:
			end(i)
			alone = single
		}
		if start == none {
			start = i
		}
		hash = (hash ^ uint64(unicode.ToLower(r))) * prime
		i += size
	}
	end(len(text))
	return dst
}

// Alone reports whether r is a letter of a script that is written without spaces between words.
func Alone(r rune) bool {
	return r >= 0x0e00 && !unicode.IsMark(r) &&
		unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// AppendHashes adds the hash of every n words in a row to dst: len(words)-n+1 of them, none if there are fewer than n
// words. The i-th stands at words[i] to words[i+n-1]. Different runs of words have equal hashes with probability 2^-64.
func AppendHashes(dst []uint64, words []Word, n int) []uint64 {
	if n < 1 || len(words) < n {
		return dst
	}
	// A polynomial in base, modulo 2^64, of the words' hashes; it rolls from one run to the next.
	const base = 0x9e3779b97f4a7c15
	power := uint64(1)
	for range n {
		power *= base
	}
	sum := uint64(0)
	for i, w := range words {
		sum = sum*base + w.Hash
		if i >= n {
			sum -= words[i-n].Hash * power
		}
		if i >= n-1 {
			dst = append(dst, Mix(sum))
		}
	}
	return dst
}

// Mix spreads the bits of x over the whole word: the finalizer of SplitMix64 (Steele, Lea and Flood 2014).
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
