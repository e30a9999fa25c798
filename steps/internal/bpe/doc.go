// Package bpe turns text into token ids and back: byte-level byte-pair encoding as GPT-2, Llama 3 and Qwen use it, in the
// file format of Hugging Face's tokenizers, with the ids that library gives.
//
//	t, err := bpe.Load(artifact.Path)         // a folder with tokenizer.json
//	ids := t.Encode("Hello, world")           // plain text; never adds a special token
//	bos, ok := t.BOS()
//	text := t.Decode(ids)
//
// [Load] and [LoadFile] read tokenizers, [Train] makes one, [Tokenizer.Save] writes one. A Tokenizer never changes once
// it is made and may be used from many goroutines at once.
//
// Encode is for text: what looks like a special token in it stays text, so that a document cannot end itself.
// EncodeSpecial is for templates. Neither adds a token of its own; who wants a BOS puts it there, once.
//
// Bytes survive: Decode(Encode(s)) == s for every string, well-formed UTF-8 or not (unless the file asks for Unicode
// normalisation). Where the rules that cut text into words ask for a character, each byte that is no part of one counts
// as a symbol, as U+FFFD would.
//
// How a conversation is laid out is left to others; this package only carries the template. Start reading at tokenizer.go.
package bpe
