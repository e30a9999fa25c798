package dataset

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// A batch is what one worker takes at a time.
const (
	batchBytes   = 1 << 20
	batchRecords = 512
)

type batch struct {
	src     *source
	records []record
	err     error // of the reader; the last batch of all
	size    int

	results []result
	done    chan struct{} // closed when results are there
}

// A result is what came of a record: a document, or a reason against it.
type result struct {
	doc  corpus.Document
	hash [32]byte
	drop string // the filter that dropped it
	bad  error  // it is no document
}

// run is the step.
func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	list := rt.Spec().Files
	if len(list) == 0 {
		var err error
		if list, err = files(rt.Spec()); err != nil {
			return err
		}
	}
	sources, err := c.planned(list)
	if err != nil {
		return err
	}
	f, err := newFilter(c.Filter)
	if err != nil {
		return err
	}
	dir, err := rt.Output("dataset")
	if err != nil {
		return err
	}
	m := newMerger(rt, &c, corpus.Create(dir))
	r := &reader{spec: rt.Spec()}
	m.progress = newProgress(rt, sources, &r.read)
	if err := stages(ctx, r, sources, f, m, workers(rt.Spec().Threads)); err != nil {
		m.writer.Abort()
		return err
	}
	return m.finish()
}

func workers(threads int) int {
	if threads > 0 {
		return threads
	}
	return runtime.GOMAXPROCS(0)
}

// stages runs the reader, the workers and the merger side by side until all is merged. Errors come out of the merger,
// in the order of the records, so that the first one is the same in every run.
func stages(ctx context.Context, r *reader, sources []*source, f *filter, m *merger, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	jobs := make(chan *batch)
	order := make(chan *batch, 2*n) // bounds what is in memory
	g.Go(func() error {
		defer close(order)
		defer close(jobs)
		return readBatches(ctx, r, sources, order, jobs)
	})
	for range n {
		g.Go(func() error {
			for b := range jobs {
				for i := range b.records {
					b.results = append(b.results, b.src.process(&b.records[i], f))
				}
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
			if err := m.merge(b); err != nil {
				return err
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// readBatches cuts the records into batches and gives each to the merger's queue and then to the workers.
func readBatches(ctx context.Context, r *reader, sources []*source, order, jobs chan<- *batch) error {
	send := func(b *batch) error {
		for _, to := range []chan<- *batch{order, jobs} {
			select {
			case to <- b:
			case <-ctx.Done():
				return errEnough
			}
		}
		return nil
	}
	next := &batch{done: make(chan struct{})}
	r.emit = func(src *source, rec record) error {
		if len(next.records) > 0 && (next.src != src || next.size >= batchBytes || len(next.records) >= batchRecords) {
			if err := send(next); err != nil {
				return err
			}
			next = &batch{done: make(chan struct{})}
		}
		next.src = src
		next.size += rec.size()
		next.records = append(next.records, rec)
		return nil
	}
	if err := r.all(ctx, sources); err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // the merger, or whoever waits for the step, wants no more
		}
		next.err = err
	}
	if err := send(next); err != nil {
		return ctx.Err()
	}
	return nil
}

// process parses and filters a record.
func (src *source) process(rec *record, f *filter) result {
	d, shape := rec.doc, src.shape
	if rec.json != nil {
		// A JSON decoder replaces what is not UTF-8 without a word.
		if f.InvalidUTF8 != "replace" && !utf8.Valid(rec.json) {
			return result{drop: dropUTF8}
		}
		var err error
		if d, shape, err = src.parse(rec.json); err != nil {
			return result{bad: err}
		}
	} else {
		if shape == "" {
			shape = d.Shape()
		}
		d = d.Only(shape)
	}
	for i, m := range d.Messages {
		if role, ok := src.columns.Roles[m.Role]; ok {
			d.Messages[i].Role = role
		}
	}
	if !f.repair(&d) {
		return result{drop: dropUTF8}
	}
	if why := f.reason(&d); why != "" {
		return result{drop: why}
	}
	if d.Shape() != shape {
		return result{bad: fmt.Errorf("one of the columns of a %s document is empty", shape)}
	}
	return result{doc: d, hash: d.Hash()}
}
