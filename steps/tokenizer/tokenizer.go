// Package tokenizer is the step type tokenizer: byte-level BPE trained on datasets, or read from a file that somebody
// else made.
//
// The work is done by steps/internal/bpe; this package turns the words of a recipe into its options and documents into
// its text. The artifact is tokenizer.json and tokenizer_config.json as Hugging Face's AutoTokenizer reads them.
package tokenizer

import (
	_ "embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/bpe"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "tokenizer",
	Doc:     "A byte-level BPE tokenizer, trained on datasets or read from a tokenizer.json or tiktoken file.",
	Version: 2,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "tokenizer", Type: "tokenizer", Doc: "tokenizer.json and tokenizer_config.json, with the chat template."},
		{Name: "vocab_size", Type: "number", Doc: "Token ids, special tokens included."},
		{Name: "bytes_per_token", Type: "number", Doc: "Bytes of text per token: of the text it was trained on, or for one read from a file of a fixed page of prose and code in several scripts."},
	},
	Files:    files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a tokenizer block holds.
type Config struct {
	Train         *Train  `json:"train" hcl:"block" doc:"Trains a tokenizer. Either this or from."`
	From          *string `json:"from" hcl:"path" doc:"A tokenizer to read: a tokenizer.json, the folder of one, or a tiktoken file. Either this or train."`
	SpecialTokens *string `json:"special_tokens" one_of:"llama3,chatml,none" doc:"The control tokens, with the chat template that uses them. They get the last ids. Left out: llama3 when training; those of the file with from. Given with from, those that the file lacks are added."`
	Pattern       *string `json:"pattern" one_of:"llama3,gpt2,cl100k" doc:"The rule that cuts text into the words which tokens never cross. Left out: llama3 when training; with from, what the file says or its name tells."`
}

// Train says what to train on.
type Train struct {
	Corpus       []steps.Artifact `json:"corpus" kind:"dataset" min:"1" doc:"The datasets, whose training split is read in order."`
	VocabSize    int              `json:"vocab_size" min:"257" doc:"Token ids: the 256 bytes, the merges and the special tokens."`
	MinFrequency int64            `json:"min_frequency" default:"2" min:"1" doc:"Fewest occurrences of a pair that is merged."`
	MaxBytes     int64            `json:"max_bytes" default:"4294967296" min:"1" doc:"Most text to read, in bytes of whole documents; each dataset gives the beginning of its own, in proportion to its size."`
}

// samplePage is what bytes_per_token of a tokenizer from a file is measured on.
//
//go:embed sample.txt
var samplePage string

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	switch {
	case c.Train == nil && c.From == nil:
		return steps.Blame("train", "a tokenizer is either trained or read from a file: add a train block, or `from`")
	case c.Train != nil && c.From != nil:
		return steps.Blame("from", "a tokenizer is either trained or read from a file: leave out `from`, or the train block")
	case c.Train != nil:
		if least := 256 + bpe.SpecialCount(c.specialTokens()); c.Train.VocabSize <= least {
			return steps.Blame("train.vocab_size", "a vocabulary of %d leaves no room for merges: the 256 bytes and %d special tokens take %d; set it higher",
				c.Train.VocabSize, least-256, least)
		}
	case c.Pattern != nil && strings.HasSuffix(strings.TrimSuffix(*c.From, ".gz"), ".json"):
		return steps.Blame("pattern", "%s says itself how text is cut into words: leave out pattern", *c.From)
	}
	return nil
}

// specialTokens is the set that the recipe asks for; "none" with from means: what the file has.
func (c *Config) specialTokens() string {
	switch {
	case c.SpecialTokens != nil:
		return *c.SpecialTokens
	case c.From != nil:
		return "none"
	}
	return "llama3"
}

// files lists what is read from outside the recipe.
func files(s *steps.Spec) ([]string, error) {
	var c Config
	if err := s.Decode(&c); err != nil || c.From == nil {
		return nil, err
	}
	path := s.Resolve(*c.From)
	info, err := os.Stat(path)
	if err != nil {
		return nil, steps.Blame("from", "%w", err)
	}
	dir, list := filepath.Dir(path), []string{path}
	if info.IsDir() {
		dir, list = path, []string{filepath.Join(path, "tokenizer.json")}
		if _, err := os.Stat(list[0]); err != nil {
			return nil, steps.Blame("from", "the folder holds no tokenizer: %w", err)
		}
	}
	for _, name := range bpe.SideFiles {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			list = append(list, filepath.Join(dir, name))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, steps.Blame("from", "%w", err)
		}
	}
	return list, nil
}

// read reads the tokenizer of from.
func (c *Config) read(s *steps.Spec) (*bpe.Tokenizer, error) {
	path := s.Resolve(*c.From)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "tokenizer.json")
	}
	pattern := ""
	if c.Pattern != nil {
		pattern = *c.Pattern
	}
	t, err := bpe.LoadPattern(path, pattern)
	if err != nil {
		return nil, steps.Blame("from", "%w", err)
	}
	if t, err = t.WithSpecial(c.specialTokens()); err != nil {
		return nil, steps.Blame("special_tokens", "%w", err)
	}
	return t, nil
}

// estimate tells the size of the vocabulary, which the size of models depends on.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	size := 0
	switch {
	case c.From != nil:
		t, err := c.read(in.Spec)
		if err != nil {
			return steps.Estimate{}, err
		}
		size = t.VocabSize()
	case c.Train != nil:
		size = c.Train.VocabSize
	}
	if size == 0 {
		return steps.Estimate{}, errors.New("the size of the vocabulary is not known yet")
	}
	return steps.Estimate{Facts: map[string]float64{"vocab_size": float64(size)}}, nil
}
