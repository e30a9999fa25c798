package evaluate

import (
	"fmt"
	"iter"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// A text is one dataset to evaluate on: documents as text, so that every tokenizer and every compressor reads the same.
type text struct {
	name      string
	bytes     int64 // of all documents
	documents iter.Seq2[string, error]
}

// texts lists the datasets of the block and then the parts of its mixture. close is to be called at the end.
func (c *Config) texts() (list []text, close func() error, err error) {
	close = func() error { return nil }
	for i, d := range c.Datasets {
		set, err := corpus.Open(d.Data.Path)
		if err != nil {
			return nil, close, err
		}
		at := fmt.Sprintf("dataset[%d].data", i)
		if set.Shape() != corpus.TextShape {
			return nil, close, steps.Blame(at, "the dataset %q has documents of shape %s: only text can be scored", d.Name, set.Shape())
		}
		split := set.Stats().Splits[d.Split]
		if split.Documents == 0 {
			return nil, close, steps.Blame(at, "the dataset %q has no documents in its %s split: set holdout where it is made, or split = \"train\" here if all of it is for evaluation", d.Name, d.Split)
		}
		list = append(list, text{d.Name, split.Bytes, ofDataset(set, d.Split)})
	}
	if c.Data.IsZero() {
		return list, close, nil
	}
	set, err := tokens.Open(c.Data.Path)
	if err != nil {
		return nil, close, err
	}
	tokenizer, err := bpe.Load(set.TokenizerDir())
	if err != nil {
		return nil, set.Close, fmt.Errorf("the tokenizer of the mixture: %w", err)
	}
	parts := 0
	for _, p := range set.Parts() {
		if p.HoldoutDocuments == 0 {
			continue
		}
		for _, other := range list {
			if other.name == p.Name {
				return nil, set.Close, steps.Blame("data", "the mixture has a part called %q, as one of the datasets: give the dataset another name", p.Name)
			}
		}
		parts++
		list = append(list, text{p.Name, p.HoldoutBytes, ofPart(set, p.Name, tokenizer)})
	}
	if parts == 0 {
		return nil, set.Close, steps.Blame("data", "the mixture has no held-out documents: set holdout in its datasets")
	}
	return list, set.Close, nil
}

func ofDataset(set *corpus.Dataset, split string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for d, err := range set.Documents(split) {
			if !yield(d.Text, err) || err != nil {
				return
			}
		}
	}
}

// ofPart turns the held-out ids of a mixture back into text.
func ofPart(set *tokens.Set, part string, t *bpe.Tokenizer) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for d, err := range set.Holdout(part) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(t.Decode(d.IDs[1:len(d.IDs)-1]), nil) { // without BOS and EOS
				return
			}
		}
	}
}

// pieceBytes is the shortest beginning of a long document that is worth reading.
const pieceBytes = 4096

// limited yields at most most bytes of the documents, cut between characters.
func (t text) limited(most *int64) iter.Seq2[string, error] {
	if most == nil {
		return t.documents
	}
	return func(yield func(string, error) bool) {
		spread := train.Spread{Have: t.bytes, Most: *most, Piece: pieceBytes}
		for d, err := range t.documents {
			if err == nil {
				if d = beginning(d, spread.Take(int64(len(d)))); d == "" {
					continue
				}
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

func beginning(s string, n int64) string {
	for n > 0 && n < int64(len(s)) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
