package mixture

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/tokens"
)

// run is the step.
func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return err
	}
	e, err := newEncoder(&c, rt.Spec().Threads)
	if err != nil {
		return err
	}
	data, total, err := c.open()
	if err != nil {
		return err
	}
	dir, err := rt.Output("data")
	if err != nil {
		return err
	}
	if err := os.CopyFS(tokens.TokenizerDir(dir), os.DirFS(c.Tokenizer.Path)); err != nil {
		return fmt.Errorf("copying the tokenizer: %w", err)
	}
	e.progress = progress{rt: rt, total: total, began: time.Now()}
	m := tokens.Manifest{Tokenizer: c.Tokenizer.Digest, VocabSize: e.vocabSize, BOS: e.bos, EOS: e.eos}
	sum := 0.0
	for _, p := range c.Parts {
		sum += p.Weight
	}
	for i, p := range c.Parts {
		part, err := e.part(ctx, dir, tokens.Part{Name: p.Name, Weight: p.Weight / sum, MaxEpochs: p.MaxEpochs}, data[i])
		if err != nil {
			return fmt.Errorf("part %s: %w", p.Name, err)
		}
		m.Parts = append(m.Parts, part)
	}
	if err := tokens.WriteManifest(dir, m); err != nil {
		return err
	}
	setValues(rt, &m)
	return nil
}

// open opens the datasets and returns the bytes of all their text.
func (c *Config) open() ([]*corpus.Dataset, int64, error) {
	var data []*corpus.Dataset
	total := int64(0)
	for i, p := range c.Parts {
		d, err := corpus.Open(p.Data.Path)
		if err != nil {
			return nil, 0, err
		}
		at := fmt.Sprintf("part[%d].data", i)
		if shape := d.Shape(); shape != corpus.TextShape {
			return nil, 0, steps.Blame(at, "a mixture is made of texts, and this dataset has documents of shape %s: name a column of text where it is made, columns { text = … }, or learn from it with sft, reward_model or dpo", shape)
		}
		if d.Stats().Splits[corpus.Train].Documents == 0 {
			return nil, 0, steps.Blame(at, "the dataset has no documents to train on")
		}
		for _, split := range d.Stats().Splits {
			total += split.Bytes
		}
		data = append(data, d)
	}
	return data, total, nil
}

func setValues(rt *steps.Runtime, m *tokens.Manifest) {
	var train, holdout, text int64
	for i := range m.Parts {
		train += m.Parts[i].Tokens
		holdout += m.Parts[i].HoldoutTokens
		text += m.Parts[i].Bytes
	}
	rt.Set("tokens", train)
	rt.Set("holdout_tokens", holdout)
	rt.Set("bytes_per_token", float64(text)/float64(train))
	if n := m.Available(); n < tokens.Unlimited {
		rt.Set("available_tokens", n)
	} else {
		rt.Set("available_tokens", nil)
	}
}

// An encoder turns documents into ids with several workers.
type encoder struct {
	tokenizer *bpe.Tokenizer
	vocabSize int
	bos, eos  int32
	workers   int
	progress  progress
}

func newEncoder(c *Config, threads int) (*encoder, error) {
	t, err := bpe.Load(c.Tokenizer.Path)
	if err != nil {
		return nil, err
	}
	e := &encoder{tokenizer: t, vocabSize: t.VocabSize(), workers: threads}
	if e.workers <= 0 {
		e.workers = runtime.GOMAXPROCS(0)
	}
	var ok bool
	if e.eos, ok = t.EOS(); !ok {
		return nil, steps.Blame("tokenizer", "the tokenizer has no end-of-text token, and every document must end with one: set eos_token in its tokenizer_config.json")
	}
	if e.bos, ok = t.BOS(); !ok {
		e.bos = e.eos
	}
	return e, nil
}

// batchBytes of text are encoded at a time.
const batchBytes = 1 << 19

// A batch is what one worker takes at a time.
type batch struct {
	split string
	texts []string
	size  int
	err   error // of the reader; the last batch of all

	ids  []int32 // of all documents
	ends []int   // of each document in ids
	done chan struct{}
}

// part writes one part. The reader, the workers and the writer run side by side; the writer takes the batches in the
// reader's order.
func (e *encoder) part(ctx context.Context, dir string, part tokens.Part, data *corpus.Dataset) (tokens.Part, error) {
	w, err := tokens.CreatePart(dir, part, e.vocabSize)
	if err != nil {
		return part, err
	}
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *batch)
	order := make(chan *batch, 2*e.workers) // bounds what is in memory
	g.Go(func() error {
		defer close(order)
		defer close(jobs)
		return readBatches(ctx, data, order, jobs)
	})
	for range e.workers {
		g.Go(func() error {
			for b := range jobs {
				e.encode(b)
				close(b.done)
			}
			return nil
		})
	}
	g.Go(func() error {
		for b := range order {
			select {
			case <-b.done:
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := e.write(w, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		w.Abort()
		return part, err
	}
	return w.Close()
}

// readBatches cuts the documents into batches and gives each to the writer's queue and then to the workers.
func readBatches(ctx context.Context, data *corpus.Dataset, order, jobs chan<- *batch) error {
	send := func(b *batch) error {
		b.done = make(chan struct{})
		for _, to := range []chan<- *batch{order, jobs} {
			select {
			case to <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	for _, split := range []string{corpus.Train, corpus.Holdout} {
		next := &batch{split: split}
		for d, err := range data.Documents(split) {
			if err != nil {
				next.err = err
				break
			}
			next.texts = append(next.texts, d.Text)
			if next.size += len(d.Text); next.size >= batchBytes {
				if err := send(next); err != nil {
					return err
				}
				next = &batch{split: split}
			}
		}
		if err := send(next); err != nil {
			return err
		}
	}
	return nil
}

func (e *encoder) encode(b *batch) {
	b.ids = make([]int32, 0, b.size/2)
	for _, text := range b.texts {
		b.ids = append(b.ids, e.bos)
		b.ids = e.tokenizer.EncodeAppend(b.ids, text)
		b.ids = append(b.ids, e.eos)
		b.ends = append(b.ends, len(b.ids))
	}
}

func (e *encoder) write(w *tokens.PartWriter, b *batch) error {
	from := 0
	for i, to := range b.ends {
		add := w.Train
		if b.split == corpus.Holdout {
			add = w.Holdout
		}
		if err := add(b.ids[from:to], len(b.texts[i])); err != nil {
			return err
		}
		from = to
	}
	e.progress.report(b.size, len(b.ids))
	return b.err
}

// A progress reports how much of the text is encoded.
type progress struct {
	rt     *steps.Runtime
	total  int64
	done   int64
	tokens int64
	began  time.Time
	last   time.Time
}

func (p *progress) report(bytes, ids int) {
	p.done += int64(bytes)
	p.tokens += int64(ids)
	now := time.Now()
	if now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	p.rt.Progress(steps.Event{
		Done: float64(p.done), Total: float64(p.total), Unit: "bytes",
		Rate:    float64(p.done) / max(1e-9, now.Sub(p.began).Seconds()),
		Metrics: map[string]float64{"tokens": float64(p.tokens)},
	})
}
