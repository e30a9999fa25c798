package bpe

import (
	"strings"
	"unsafe"
)

// Encode returns the ids of plain text. The text of a special token is text here and never becomes that token. Tokens
// that the file added without calling them special are found. Nothing is put before or after.
func (t *Tokenizer) Encode(text string) []int32 {
	if text == "" {
		return nil
	}
	return t.EncodeAppend(make([]int32, 0, len(text)/3+8), text)
}

// EncodeAppend appends the ids that Encode would return to dst.
func (t *Tokenizer) EncodeAppend(dst []int32, text string) []int32 {
	return t.encode(dst, text, &t.plain)
}

// EncodeSpecial returns the ids of text in which special tokens are written by their names, as in a filled-in template.
// Text from outside must not come here: it could end a turn or a document.
func (t *Tokenizer) EncodeSpecial(text string) []int32 {
	return t.encode(nil, text, &t.special)
}

func (t *Tokenizer) encode(dst []int32, text string, added *addedSet) []int32 {
	w := t.pool.get()
	defer t.pool.put(w)
	added.raw.split(text, func(part string, id int32) {
		if id >= 0 {
			dst = append(dst, id)
			return
		}
		if t.normalize != nil {
			part = t.normalize.String(part)
		}
		added.normalized.split(part, func(part string, id int32) {
			if id >= 0 {
				dst = append(dst, id)
				return
			}
			if t.prefix && !strings.HasPrefix(part, " ") {
				part = " " + part
			}
			dst = t.encodeText(w, dst, part)
		})
	})
	return dst
}

// encodeText encodes text without added tokens. The rules of Llama 3 and GPT-2 are called directly: this is the hot path.
func (t *Tokenizer) encodeText(w *worker, dst []int32, s string) []int32 {
	if len(t.rules) == 1 {
		switch r := t.rules[0].(type) {
		case wordRule:
			for i := 0; i < len(s); {
				end := r.next(s, i)
				dst = t.encodeWord(w, dst, s, i, end)
				i = end
			}
			return dst
		case gpt2Rule:
			for i := 0; i < len(s); {
				end := r.next(s, i)
				dst = t.encodeWord(w, dst, s, i, end)
				i = end
			}
			return dst
		}
	}
	t.pieces(s, t.rules, func(piece string) {
		dst = t.encodeWord(w, dst, piece, 0, len(piece))
	})
	return dst
}

// pieces applies rules one after the other.
func (t *Tokenizer) pieces(s string, rules []rule, yield func(string)) {
	if len(rules) == 0 {
		yield(s)
		return
	}
	rules[0].each(s, func(piece string) { t.pieces(piece, rules[1:], yield) })
}

// encodeWord appends the ids of the word s[i:end].
func (t *Tokenizer) encodeWord(w *worker, dst []int32, s string, i, end int) []int32 {
	n := end - i
	if n == 1 {
		return append(dst, t.byByte[s[i]])
	}
	if n <= shortKey {
		lo, hi := load(s, i, n)
		set := &w.short[hashShort(lo, hi, n)&(shortSets-1)]
		e := &set[0]
		if e.lo != lo || e.hi != hi || int(e.size) != n {
			if e = &set[1]; e.lo != lo || e.hi != hi || int(e.size) != n {
				ids := t.encodeNew(w, s[i:end])
				if len(ids) > len(e.ids) {
					return append(dst, ids...)
				}
				set[1] = set[0]
				e = &set[0]
				e.lo, e.hi, e.size, e.n = lo, hi, uint8(n), uint8(len(ids))
				copy(e.ids[:], ids)
			}
		}
		if at := len(dst); cap(dst)-at >= len(e.ids) {
			// Copying the whole array is a few instructions, copying part of it a call.
			*(*[len(e.ids)]int32)(dst[at : at+len(e.ids)]) = e.ids
			return dst[:at+int(e.n)]
		}
		return append(dst, e.ids[:e.n]...)
	}
	if n <= longKey {
		word := s[i:end]
		e := &w.long[hashLong(word)&(longSlots-1)]
		if string(e.key) != word {
			e.key = append(e.key[:0], word...)
			e.ids = append(e.ids[:0], t.encodeNew(w, word)...)
		}
		return append(dst, e.ids...)
	}
	return append(dst, t.encodeNew(w, s[i:end])...)
}

// encodeNew encodes a word by the merges. The result lies in the worker's memory until the next call.
func (t *Tokenizer) encodeNew(w *worker, word string) []int32 {
	if t.whole != nil {
		if id, ok := t.whole[word]; ok {
			w.scratch.ids = append(w.scratch.ids[:0], id)
			return w.scratch.ids
		}
	}
	ids := w.scratch.ids[:0]
	for _, b := range unsafe.Slice(unsafe.StringData(word), len(word)) {
		ids = append(ids, t.byByte[b])
	}
	w.scratch.ids = ids
	return t.merges.merge(&w.scratch)
}
