package bpe

import "unicode/utf8"

// The vocabulary of tokenizer.json is written in printable characters: each byte has one. Printable bytes of Latin-1 are
// themselves, the others are U+0100 and up in order (bytes_to_unicode of GPT-2).
//
// byteOrder lists the bytes in the order of their characters, which is the order of their ids when we train.
var byteRune, runeByte, byteOrder = alphabet()

func alphabet() (byteRune [256]rune, runeByte map[rune]byte, byteOrder [256]byte) {
	runeByte = map[rune]byte{}
	printable := func(b int) bool { return '!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b }
	n := 0
	for b := range 256 {
		if printable(b) {
			byteRune[b] = rune(b)
			byteOrder[n] = byte(b)
			n++
		}
	}
	next := rune(256)
	for b := range 256 {
		if !printable(b) {
			byteRune[b] = next
			byteOrder[n] = byte(b)
			next++
			n++
		}
	}
	for b, r := range byteRune {
		runeByte[r] = byte(b)
	}
	return byteRune, runeByte, byteOrder
}

// encodeName writes bytes in the characters of the vocabulary.
func encodeName(b []byte) string {
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = utf8.AppendRune(out, byteRune[c])
	}
	return string(out)
}

// decodeName returns the bytes that a name of the vocabulary stands for. A name with a character outside of the alphabet
// stands for itself, as in the library.
func decodeName(name string) []byte {
	out := make([]byte, 0, len(name))
	for _, r := range name {
		b, ok := runeByte[r]
		if !ok {
			return []byte(name)
		}
		out = append(out, b)
	}
	return out
}
