package bpe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	"golang.org/x/text/unicode/norm"
)

// A Tokenizer maps text to ids and back. It does not change; all methods may be called from several goroutines.
type Tokenizer struct {
	tokens []token          // by id; the place of an unused id is a token without a name
	byName map[string]int32 // names of special and other added tokens
	byByte [256]int32       // the token of each single byte
	merges *mergeTable
	order  []mergePair      // the merges in order of precedence, as they are written to a file
	ranks  []uint32         // their ranks; nil if these are their places in order
	whole  map[string]int32 // words that are a token as they are, whatever the merges say; nil if the file does not ask for it

	rules     []rule     // applied one after the other, each to the pieces of the one before
	normalize *norm.Form // what the file asks for before anything else; nil for nothing
	prefix    bool       // a space is put before text that does not begin with one
	plain     addedSet   // tokens that Encode finds in the text
	special   addedSet   // tokens that EncodeSpecial finds

	roles  roles
	format format
	pool   workers

	digest func() string
}

// A token is one entry of the vocabulary.
type token struct {
	name    string // as the file writes it; "" if the id is unused
	bytes   []byte // what it decodes to
	added   *addedToken
	inModel bool // of an added token: the model's vocabulary has it too, as GPT-2's has <|endoftext|>
}

// A mergePair is one merge as the file states it.
type mergePair struct{ left, right int32 }

// roles names the tokens with a part to play, "" where there is none, and the template of conversations (Jinja).
type roles struct {
	bos, eos, eot, pad string
	template           string
}

// format keeps what a file said and encoding does not use, so that Save states it again.
type format struct {
	normalizer, preTokenizer, postProcessor, decoder json.RawMessage
	ignoreMerges                                     bool
	config                                           map[string]json.RawMessage // tokenizer_config.json
}

// VocabSize is one more than the highest id: the number of rows of an embedding.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Bytes returns what a token decodes to; nil if there is no such token. The caller must not change it.
func (t *Tokenizer) Bytes(id int32) []byte {
	if id < 0 || int(id) >= len(t.tokens) {
		return nil
	}
	return t.tokens[id].bytes
}

// Special returns the id of a special token, or of another one added beside the merges, by its text.
func (t *Tokenizer) Special(name string) (int32, bool) {
	id, ok := t.byName[name]
	return id, ok
}

// IsSpecial reports whether a token is a control token, which no plain text yields.
func (t *Tokenizer) IsSpecial(id int32) bool {
	return id >= 0 && int(id) < len(t.tokens) && t.tokens[id].added != nil && t.tokens[id].added.Special
}

// BOS is the token that opens a document. Encode never adds it.
func (t *Tokenizer) BOS() (int32, bool) { return t.Special(t.roles.bos) }

// EOS is the token that ends a document.
func (t *Tokenizer) EOS() (int32, bool) { return t.Special(t.roles.eos) }

// EOT is the token that ends a turn of a conversation.
func (t *Tokenizer) EOT() (int32, bool) { return t.Special(t.roles.eot) }

// PAD is the token that fills up, where a format needs one. Where we choose it, it is never EOS.
func (t *Tokenizer) PAD() (int32, bool) { return t.Special(t.roles.pad) }

// ChatTemplate is the layout of a conversation, in Jinja as Hugging Face reads it; "" if there is none.
func (t *Tokenizer) ChatTemplate() string { return t.roles.template }

// Digest identifies the tokenizer: the SHA-256, in hexadecimal, of the files that Save writes.
func (t *Tokenizer) Digest() string { return t.digest() }

// finish derives what encoding needs from tokens, order and format, and checks that every text can be encoded.
func (t *Tokenizer) finish() error {
	ids := make(map[string]int32, len(t.tokens)) // the model's own, by name
	for id, tok := range t.tokens {
		if tok.name != "" && (tok.added == nil || tok.inModel) {
			ids[tok.name] = int32(id)
		}
	}
	if err := t.findBytes(ids); err != nil {
		return err
	}
	if t.format.ignoreMerges {
		t.whole = make(map[string]int32, len(ids))
		for name, id := range ids {
			if b := decodeName(name); !t.IsSpecial(id) && encodeName(b) == name {
				t.whole[string(b)] = id
			}
		}
	}
	t.merges = newMergeTable(len(t.order))
	for i, m := range t.order {
		joined := t.tokens[m.left].name + t.tokens[m.right].name
		id, ok := ids[joined]
		if !ok {
			return fmt.Errorf("merge %d makes %q, which the vocabulary does not have", i, joined)
		}
		rank := uint32(i)
		if t.ranks != nil {
			rank = t.ranks[i]
		}
		t.merges.add(m.left, m.right, rank, id)
	}
	t.byName = map[string]int32{}
	for id, tok := range t.tokens {
		if tok.added != nil {
			t.byName[tok.added.Content] = int32(id)
		}
	}
	t.plain = newAddedSet(t.tokens, false, t.normalize)
	t.special = newAddedSet(t.tokens, true, t.normalize)
	t.roles.complete(t.byName)
	t.digest = sync.OnceValue(t.computeDigest)
	return nil
}

// maxVocab bounds the ids of a file, so that a damaged one does not ask for all memory.
const maxVocab = 1 << 24

// put enters a token under its id.
func (t *Tokenizer) put(id int32, tok token) error {
	if id < 0 || id >= maxVocab {
		return fmt.Errorf("token %q has the id %d, which is not between 0 and %d", tok.name, id, maxVocab)
	}
	if n := int(id) + 1 - len(t.tokens); n > 0 {
		t.tokens = append(t.tokens, make([]token, n)...)
	}
	if old := t.tokens[id]; old.name != "" && old.name != tok.name {
		return fmt.Errorf("the id %d belongs to both %q and %q", id, old.name, tok.name)
	}
	t.tokens[id] = tok
	return nil
}

func (t *Tokenizer) findBytes(ids map[string]int32) error {
	missing := 0
	first := byte(0)
	for b := range t.byByte {
		id, ok := ids[string(byteRune[b])]
		if !ok {
			if missing == 0 {
				first = byte(b)
			}
			missing++
		}
		t.byByte[b] = id
	}
	if missing > 0 {
		return fmt.Errorf("the vocabulary has no token for %d of the 256 bytes (the first is 0x%02x), so text would be lost: it is not a byte-level vocabulary", missing, first)
	}
	return nil
}

func (t *Tokenizer) computeDigest() string {
	h := sha256.New()
	for _, f := range t.files() {
		h.Write([]byte(f.name))
		h.Write([]byte{0})
		h.Write(f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
