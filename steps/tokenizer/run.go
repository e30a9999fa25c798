package tokenizer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
)

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	var t *bpe.Tokenizer
	var perToken float64
	var err error
	if c.Train != nil {
		t, perToken, err = c.train(ctx, rt)
	} else if t, err = c.read(rt.Spec()); err == nil {
		perToken = float64(len(samplePage)) / float64(len(t.Encode(samplePage)))
	}
	if err != nil {
		return err
	}
	dir, err := rt.Output("tokenizer")
	if err != nil {
		return err
	}
	if err := t.Save(dir); err != nil {
		return err
	}
	rt.Set("vocab_size", t.VocabSize())
	rt.Set("bytes_per_token", perToken)
	rt.Log("%d tokens; a token is %.2f bytes of text", t.VocabSize(), perToken)
	return nil
}

// train trains the tokenizer and returns it with the bytes per token of its text.
func (c *Config) train(ctx context.Context, rt *steps.Runtime) (*bpe.Tokenizer, float64, error) {
	parts, total, err := c.Train.open()
	if err != nil {
		return nil, 0, err
	}
	special := c.specialTokens()
	opt := bpe.TrainOptions{
		VocabSize: c.Train.VocabSize, Special: special, MinFrequency: c.Train.MinFrequency, Threads: rt.Spec().Threads,
		Progress: progress(rt, total, c.Train.VocabSize-256-bpe.SpecialCount(special)),
	}
	if c.Pattern != nil {
		opt.Pattern = *c.Pattern
	}
	t, stats, err := bpe.Train(ctx, texts(parts), opt)
	var short *bpe.VocabSizeError
	if errors.As(err, &short) {
		return nil, 0, steps.Blame("train.vocab_size", "%w; set it to %d or less, or give it more text than these %d bytes", err, short.Reached, total)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("training the tokenizer: %w", err)
	}
	rt.Log("trained on %d bytes of text with %d different words", stats.Bytes, stats.Words)
	return t, float64(stats.Bytes) / float64(max(stats.Tokens, 1)), nil
}

// A part is a dataset and how much of it is read.
type part struct {
	data  *corpus.Dataset
	limit int64 // bytes
}

// open opens the datasets and shares max_bytes out among them. total is what will be read, about.
func (c *Train) open() (parts []part, total int64, err error) {
	for i, a := range c.Corpus {
		d, err := corpus.Open(a.Path)
		if err != nil {
			return nil, 0, steps.Blame(fmt.Sprintf("train.corpus[%d]", i), "%w", err)
		}
		size := d.Stats().Splits[corpus.Train].Bytes
		parts = append(parts, part{d, size})
		total += size
	}
	if total > c.MaxBytes {
		for i := range parts {
			parts[i].limit = int64(float64(parts[i].limit) / float64(total) * float64(c.MaxBytes))
		}
		total = c.MaxBytes
	}
	return parts, total, nil
}

// texts yields the strings of the parts' documents. A document that would go over a part's limit ends the part.
func texts(parts []part) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, p := range parts {
			left := p.limit
			for d, err := range p.data.Documents(corpus.Train) {
				if err != nil {
					yield("", err)
					return
				}
				if left -= int64(d.Bytes()); left < 0 {
					break
				}
				for s := range d.Strings {
					if !yield(s, nil) {
						return
					}
				}
			}
		}
	}
}

// progress reports the two phases of training, each with its own unit.
func progress(rt *steps.Runtime, bytes int64, merges int) func(bpe.Phase, int) {
	var phase bpe.Phase
	start := time.Now()
	return func(p bpe.Phase, done int) {
		if p != phase {
			phase, start = p, time.Now()
		}
		e := steps.Event{Done: float64(done), Total: float64(bytes), Unit: "bytes"}
		if p == bpe.Merging {
			e.Total, e.Unit = float64(merges), "merges"
		}
		if s := time.Since(start).Seconds(); s > 0 {
			e.Rate = e.Done / s
		}
		rt.Progress(e)
	}
}
