package bpe

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tiktokenKind is what a .tiktoken file leaves to the program that reads it.
type tiktokenKind struct {
	pattern string
	special map[string]int32
}

// tiktokenFiles says by the beginning of the file's name what goes with the published ones.
var tiktokenFiles = map[string]tiktokenKind{
	"cl100k": {"cl100k", map[string]int32{
		"<|endoftext|>": 100257, "<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260,
		"<|endofprompt|>": 100276,
	}},
	"r50k": {"gpt2", map[string]int32{"<|endoftext|>": 50256}},
	"gpt2": {"gpt2", map[string]int32{"<|endoftext|>": 50256}},
	"p50k": {"gpt2", map[string]int32{"<|endoftext|>": 50256}},
}

// readTiktoken reads lines of a token in base64 and its rank, which is its id. pattern names the rule; "" means that of
// the published file of this name.
//
// Such a file lists no merges: two neighbours merge if what they make is in the vocabulary, and its rank is the merge's.
// The merges of a saved tokenizer.json are all the ways to cut a token in two, by rank.
func readTiktoken(r io.Reader, name, pattern string) (*Tokenizer, error) {
	var kind tiktokenKind
	for prefix, k := range tiktokenFiles {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			kind = k
		}
	}
	if pattern == "" {
		pattern = kind.pattern
	}
	if pattern == "" {
		return nil, fmt.Errorf("a tiktoken file does not say how text is cut into words, and its name is none of the published ones: name a pattern, one of %v", Patterns)
	}
	t := &Tokenizer{}
	if err := t.setPattern(pattern); err != nil {
		return nil, err
	}
	t.format.ignoreMerges = true
	if err := t.readRanks(r); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(kind.special)) {
		id := kind.special[name]
		if err := t.put(id, token{name: name, bytes: []byte(name), added: &addedToken{ID: id, Content: name, Special: true}}); err != nil {
			return nil, err
		}
	}
	t.splitTokens()
	return t, t.finish()
}

func (t *Tokenizer) readRanks(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		text, rank, ok := strings.Cut(line, " ")
		raw, err := base64.StdEncoding.DecodeString(text)
		id, err2 := strconv.ParseInt(rank, 10, 32)
		if !ok || err != nil || err2 != nil || len(raw) == 0 || id < 0 {
			return fmt.Errorf("line %d is not a token in base64 and its rank: %.60q", n, line)
		}
		if err := t.put(int32(id), token{name: encodeName(raw), bytes: raw}); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// splitTokens lists as merges all the ways to make a token of two others, by the token's id.
func (t *Tokenizer) splitTokens() {
	ids := make(map[string]int32, len(t.tokens))
	for id, tok := range t.tokens {
		if tok.name != "" && tok.added == nil {
			ids[string(tok.bytes)] = int32(id)
		}
	}
	for id, tok := range t.tokens {
		if tok.added != nil {
			continue
		}
		from := len(t.order)
		for i := 1; i < len(tok.bytes); i++ {
			left, ok := ids[string(tok.bytes[:i])]
			right, ok2 := ids[string(tok.bytes[i:])]
			if ok && ok2 {
				t.order = append(t.order, mergePair{left, right})
				t.ranks = append(t.ranks, uint32(id))
			}
		}
		slices.SortFunc(t.order[from:], func(a, b mergePair) int {
			if a.left != b.left {
				return int(a.left) - int(b.left)
			}
			return int(a.right) - int(b.right)
		})
	}
}
