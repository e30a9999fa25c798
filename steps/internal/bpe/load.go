package bpe

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Load reads the tokenizer of a folder: tokenizer.json, and tokenizer_config.json where there is one.
func Load(dir string) (*Tokenizer, error) {
	t, err := LoadFile(filepath.Join(dir, "tokenizer.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no tokenizer: %w", dir, err)
	}
	return t, err
}

// LoadFile reads a tokenizer.json, together with the tokenizer_config.json beside it, or one of tiktoken's files
// (.tiktoken), whose rule and special tokens follow from its name. Either may be compressed (.gz).
func LoadFile(path string) (*Tokenizer, error) { return LoadPattern(path, "") }

// LoadPattern is LoadFile for a tiktoken file whose name is not one of the published ones: pattern, one of Patterns, says
// how text is cut into words. It must be "" for a tokenizer.json, which says so itself.
func LoadPattern(path, pattern string) (*Tokenizer, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var t *Tokenizer
	switch isJSON := len(bytes.TrimSpace(data)) > 0 && bytes.TrimSpace(data)[0] == '{'; {
	case isJSON && pattern != "":
		return nil, fmt.Errorf("%s states its own pattern: leave out %q", path, pattern)
	case isJSON:
		t, err = readJSON(data, filepath.Dir(path))
	default:
		t, err = readTiktoken(bytes.NewReader(data), filepath.Base(path), pattern)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer %s: %w", path, err)
	}
	return t, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("%s: reading gzip: %w", path, err)
		}
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// jsonFile is tokenizer.json as far as we read it.
type jsonFile struct {
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         struct {
		Type         string            `json:"type"`
		Dropout      *float64          `json:"dropout"`
		Prefix       string            `json:"continuing_subword_prefix"`
		Suffix       string            `json:"end_of_word_suffix"`
		ByteFallback bool              `json:"byte_fallback"`
		IgnoreMerges bool              `json:"ignore_merges"`
		Vocab        map[string]int32  `json:"vocab"`
		Merges       []json.RawMessage `json:"merges"`
	} `json:"model"`
}

// readJSON reads a tokenizer.json; dir is where its tokenizer_config.json may be.
func readJSON(data []byte, dir string) (*Tokenizer, error) {
	var f jsonFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	t := &Tokenizer{format: format{
		normalizer: f.Normalizer, preTokenizer: f.PreTokenizer, postProcessor: f.PostProcessor, decoder: f.Decoder,
		ignoreMerges: f.Model.IgnoreMerges,
	}}
	if err := t.readNormalizer(f.Normalizer); err != nil {
		return nil, err
	}
	if err := t.readPreTokenizer(f.PreTokenizer); err != nil {
		return nil, err
	}
	for name, id := range f.Model.Vocab {
		if err := t.put(id, token{name: name, bytes: decodeName(name)}); err != nil {
			return nil, err
		}
	}
	if err := t.readMerges(f.Model.Merges, f.Model.Vocab); err != nil {
		return nil, err
	}
	for _, a := range f.AddedTokens {
		_, inModel := f.Model.Vocab[a.Content]
		if err := t.put(a.ID, token{name: a.Content, bytes: []byte(a.Content), added: &a, inModel: inModel}); err != nil {
			return nil, err
		}
	}
	if err := t.readConfig(dir); err != nil {
		return nil, err
	}
	return t, t.finish()
}

func (f *jsonFile) check() error {
	m := &f.Model
	switch {
	case m.Type != "" && m.Type != "BPE":
		return fmt.Errorf("its model is of the type %s; only byte-level BPE can be read", m.Type)
	case m.Prefix != "" || m.Suffix != "":
		return errors.New("its model marks parts of words (continuing_subword_prefix, end_of_word_suffix); only byte-level BPE can be read")
	case m.ByteFallback:
		return errors.New("its model is of characters with byte_fallback, as of SentencePiece; only byte-level BPE can be read")
	case m.Dropout != nil && *m.Dropout > 0:
		return fmt.Errorf("its model has dropout %g: the ids of a text would be random", *m.Dropout)
	case len(m.Vocab) == 0:
		return errors.New("it has no model.vocab: is it a tokenizer.json of Hugging Face?")
	}
	return nil
}

// readMerges reads merges written as "a b" or as ["a", "b"].
func (t *Tokenizer) readMerges(merges []json.RawMessage, vocab map[string]int32) error {
	t.order = make([]mergePair, 0, len(merges))
	for i, raw := range merges {
		var pair [2]string
		if len(raw) > 0 && raw[0] == '[' {
			var list []string
			if err := json.Unmarshal(raw, &list); err != nil || len(list) != 2 {
				return fmt.Errorf("merge %d is not a pair of tokens: %.60s", i, raw)
			}
			pair = [2]string(list)
		} else {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return fmt.Errorf("merge %d: %w", i, err)
			}
			var ok bool
			if pair[0], pair[1], ok = strings.Cut(text, " "); !ok {
				return fmt.Errorf("merge %d is not a pair of tokens: %q", i, text)
			}
		}
		left, ok := vocab[pair[0]]
		right, ok2 := vocab[pair[1]]
		if !ok || !ok2 {
			return fmt.Errorf("merge %d joins %q and %q, which are not both in the vocabulary", i, pair[0], pair[1])
		}
		t.order = append(t.order, mergePair{left, right})
	}
	return nil
}
