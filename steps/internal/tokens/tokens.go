// Package tokens keeps training data as token ids and deals it out.
//
// A set is a folder:
//
//	mixture.json            [Manifest]: the parts, their weights and figures, and the tokenizer
//	PART.bin, PART.idx      the training documents of a part: a Megatron indexed dataset ([CreateIndexed], [OpenIndexed])
//	PART.holdout.bin, .idx  its held-out documents, and in PART.holdout.bytes.npy the length of each one's text
//	tokenizer/              the tokenizer that made the ids, in the format of Hugging Face
//
// Every document is BOS, the ids of its text, EOS.
//
// Start at [Open]; [Set.Loader] deals out packed batches by weight, and can be stopped and resumed at any point. Making
// ids of text is the business of steps/mixture; what is done with a batch is that of steps/internal/train.
package tokens

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
)

const (
	manifestName  = "mixture.json"
	tokenizerName = "tokenizer"
	formatVersion = 1
)

// A Manifest is what mixture.json holds.
type Manifest struct {
	Version   int    `json:"version"`    // of this layout: 1
	Tokenizer string `json:"tokenizer"`  // SHA-256 of the tokenizer artifact
	VocabSize int    `json:"vocab_size"` // every id is below it
	BOS       int32  `json:"bos"`
	EOS       int32  `json:"eos"`
	Parts     []Part `json:"parts"`
}

// A Part is one dataset of a mixture. Tokens count BOS and EOS; Bytes are those of the text alone.
type Part struct {
	Name      string  `json:"name"`
	Weight    float64 `json:"weight"`     // share of the tokens dealt out; all parts together have 1
	MaxEpochs *int    `json:"max_epochs"` // how often its documents may be dealt out; null: without limit

	Tokens    int64 `json:"tokens"`
	Documents int64 `json:"documents"`
	Bytes     int64 `json:"bytes"`

	HoldoutTokens    int64 `json:"holdout_tokens"`
	HoldoutDocuments int64 `json:"holdout_documents"`
	HoldoutBytes     int64 `json:"holdout_bytes"`
}

// Available is how many tokens the part can deal out, [Unlimited] if it has no limit.
func (p *Part) Available() int64 {
	switch {
	case p.Weight == 0 || p.Tokens == 0:
		return 0
	case p.MaxEpochs == nil || p.Tokens > Unlimited/int64(*p.MaxEpochs):
		return Unlimited
	}
	return p.Tokens * int64(*p.MaxEpochs)
}

// Unlimited stands for a supply of tokens without end.
const Unlimited = math.MaxInt64

// Available is how many tokens the parts with a weight can deal out together before all have reached their max_epochs.
func (m *Manifest) Available() int64 {
	var sum int64
	for i := range m.Parts {
		n := m.Parts[i].Available()
		if n > Unlimited-sum {
			return Unlimited
		}
		sum += n
	}
	return sum
}

// A Set is an opened folder of token ids. Its methods may be called from several goroutines.
type Set struct {
	dir      string
	manifest Manifest
	train    []*Indexed
	holdout  []*Indexed // nil where a part has no held-out documents
}

// Open opens the set in dir: it maps the files into memory and reads no ids.
func Open(dir string) (*Set, error) {
	path := filepath.Join(dir, manifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening a set of tokens: %w", err)
	}
	s := &Set{dir: dir}
	if err := json.Unmarshal(data, &s.manifest); err != nil {
		return nil, fmt.Errorf("opening a set of tokens: %s: %w", path, err)
	}
	if s.manifest.Version != formatVersion {
		return nil, fmt.Errorf("opening a set of tokens: %s has version %d, this program reads %d", path, s.manifest.Version, formatVersion)
	}
	for i := range s.manifest.Parts {
		if err := s.openPart(&s.manifest.Parts[i]); err != nil {
			return nil, errors.Join(fmt.Errorf("opening a set of tokens: %w", err), s.Close())
		}
	}
	return s, nil
}

func (s *Set) openPart(p *Part) error {
	train, err := OpenIndexed(filepath.Join(s.dir, p.Name))
	if err != nil {
		return err
	}
	s.train = append(s.train, train)
	if train.Tokens() != p.Tokens || int64(train.Len()) != p.Documents {
		return fmt.Errorf("part %s has %d tokens in %d documents, but mixture.json says %d in %d",
			p.Name, train.Tokens(), train.Len(), p.Tokens, p.Documents)
	}
	s.holdout = append(s.holdout, nil)
	if p.HoldoutDocuments == 0 {
		return nil
	}
	s.holdout[len(s.holdout)-1], err = OpenIndexed(filepath.Join(s.dir, p.Name+".holdout"))
	return err
}

// Close unmaps the files. Loaders of the set must no longer be used.
func (s *Set) Close() error {
	var errs []error
	for _, ix := range append(s.train, s.holdout...) {
		if ix != nil {
			errs = append(errs, ix.Close())
		}
	}
	s.train, s.holdout = nil, nil
	return errors.Join(errs...)
}

// Manifest returns what mixture.json holds. Do not change it.
func (s *Set) Manifest() *Manifest { return &s.manifest }

// Parts returns the parts in the order of the recipe. Do not change them.
func (s *Set) Parts() []Part { return s.manifest.Parts }

// TokenizerDir is the folder of the tokenizer that made the ids.
func (s *Set) TokenizerDir() string { return filepath.Join(s.dir, tokenizerName) }

// VocabSize is one more than the greatest id that can occur.
func (s *Set) VocabSize() int { return s.manifest.VocabSize }

// Reweigh gives the parts other weights, whose sum need not be 1, and no max_epochs. It comes before the first Loader.
func (s *Set) Reweigh(weights []float64) {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	for i := range s.manifest.Parts {
		s.manifest.Parts[i].Weight, s.manifest.Parts[i].MaxEpochs = weights[i]/sum, nil
	}
}

// Available is how many tokens a Loader can deal out, [Unlimited] if a part has no max_epochs.
func (s *Set) Available() int64 { return s.manifest.Available() }
