package bpe

import (
	"context"
	"fmt"
	"iter"
	"runtime"
)

// TrainOptions say what to train.
type TrainOptions struct {
	VocabSize    int    // ids in all, special tokens included
	Special      string // one of SpecialSets; "" is none
	Pattern      string // one of Patterns; "" is llama3
	MinFrequency int64  // a pair that occurs less often is not merged; less than 1 is 1
	Threads      int    // 0: one per core; the result never depends on it

	// Progress is called now and then, from one goroutine, with how much of a phase is done. Optional.
	Progress func(p Phase, done int)
}

// A Phase is a part of training.
type Phase int

const (
	ReadingText Phase = iota // done counts bytes
	Merging                  // done counts merges
)

// TrainStats are figures of the training text.
type TrainStats struct {
	Bytes  int64 // length of the text
	Words  int   // different words
	Tokens int64 // ids that the tokenizer gives for the text
}

// A VocabSizeError says that the text has too few different pairs for the vocabulary that was asked for.
type VocabSizeError struct {
	Want, Reached int
	MinFrequency  int64
}

func (e *VocabSizeError) Error() string {
	return fmt.Sprintf("the text yields a vocabulary of %d tokens and no more, but %d are asked for: after that no pair of tokens occurs %d times or oftener within a word",
		e.Reached, e.Want, e.MinFrequency)
}

// Train makes a tokenizer from texts: single bytes first, then the most frequent pair of neighbours within words becomes
// a token, again and again (Sennrich et al. 2016). Equal frequencies go to the pair with the smaller ids. The merges
// equal those of Hugging Face's BpeTrainer on the same documents with an initial alphabet of all bytes. Special tokens get the
// last ids.
func Train(ctx context.Context, texts iter.Seq2[string, error], opt TrainOptions) (*Tokenizer, *TrainStats, error) {
	if opt.Threads <= 0 {
		opt.Threads = runtime.GOMAXPROCS(0)
	}
	if opt.Pattern == "" {
		opt.Pattern = "llama3"
	}
	if opt.Special == "" {
		opt.Special = "none"
	}
	opt.MinFrequency = max(opt.MinFrequency, 1)
	t := &Tokenizer{}
	if err := t.setPattern(opt.Pattern); err != nil {
		return nil, nil, err
	}
	special, err := namedSpecials(opt.Special)
	if err != nil {
		return nil, nil, err
	}
	size := opt.VocabSize - len(special.tokens)
	if size < 256 {
		return nil, nil, fmt.Errorf("a vocabulary of %d is too small: the 256 bytes and %d special tokens need %d",
			opt.VocabSize, len(special.tokens), 256+len(special.tokens))
	}
	counted, err := countWords(ctx, texts, t.rules[0], &opt)
	if err != nil {
		return nil, nil, err
	}
	words := counted.words()
	stats := &TrainStats{Bytes: counted.total, Words: len(words)}
	tr := newTrainer(words)
	if err := tr.run(ctx, size, &opt); err != nil {
		return nil, nil, err
	}
	if len(tr.tokens) < size {
		return nil, nil, &VocabSizeError{
			Want: opt.VocabSize, Reached: len(tr.tokens) + len(special.tokens), MinFrequency: opt.MinFrequency,
		}
	}
	for id, b := range tr.tokens {
		if err := t.put(int32(id), token{name: encodeName([]byte(b)), bytes: []byte(b)}); err != nil {
			return nil, nil, err
		}
	}
	t.order = tr.order()
	t.roles = special.roles
	t.addSpecials(special, nil)
	if err := t.finish(); err != nil {
		return nil, nil, err
	}
	stats.Tokens = t.countTokens(words)
	return t, stats, nil
}

// countTokens returns how many ids the words have in all.
func (t *Tokenizer) countTokens(words []wordCount) int64 {
	w := t.pool.get()
	defer t.pool.put(w)
	total := int64(0)
	for _, c := range words {
		total += int64(len(t.encodeNew(w, c.text))) * c.count
	}
	return total
}

func (opt *TrainOptions) progress(p Phase, done int) {
	if opt.Progress != nil {
		opt.Progress(p, done)
	}
}
