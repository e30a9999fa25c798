package bpe

import "unicode/utf8"

// Decode returns the text of ids, byte for byte; special tokens come out as their names. Ids outside of the vocabulary
// come out as nothing.
func (t *Tokenizer) Decode(ids []int32) string {
	out := make([]byte, 0, 4*len(ids))
	for _, id := range ids {
		out = append(out, t.Bytes(id)...)
	}
	return string(out)
}

// A Stream decodes ids one by one, as they are sampled, and hands out whole characters only.
type Stream struct {
	t    *Tokenizer
	tail []byte // the beginning of a character
}

// Stream returns a decoder for one sequence of ids.
func (t *Tokenizer) Stream() *Stream { return &Stream{t: t} }

// Next takes an id and returns the text that is complete with it, which may be "". Bytes that can become no character
// come out as they are.
func (s *Stream) Next(id int32) string {
	s.tail = append(s.tail, s.t.Bytes(id)...)
	n := len(s.tail)
	for back := 1; back < utf8.UTFMax && back <= len(s.tail); back++ {
		c := s.tail[len(s.tail)-back:]
		if utf8.RuneStart(c[0]) {
			if !utf8.FullRune(c) {
				n -= back
			}
			break
		}
	}
	out := string(s.tail[:n])
	s.tail = append(s.tail[:0], s.tail[n:]...)
	return out
}

// Flush returns what is left of an incomplete character at the end.
func (s *Stream) Flush() string {
	out := string(s.tail)
	s.tail = s.tail[:0]
	return out
}
