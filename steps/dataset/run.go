package dataset

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/errgroup"

	"athanor/steps"
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
	sc, err := newScreen(rt, &c)
	if err != nil {
		return err
	}
	m, err := newMerger(rt, &c, sc)
	if err != nil {
		return err
	}
	r := &reader{spec: rt.Spec()}
	m.progress = newProgress(rt, sources, &r.read)
	err = stages(ctx, r, sources, sc, m, workers(rt.Spec().Threads))
	m.progress.log(r.read.Load())
	if err == nil && m.second != nil {
		err = m.finishSecond(ctx)
	}
	if err != nil {
		m.abort()
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
func stages(ctx context.Context, r *reader, sources []*source, sc *screen, m *merger, n int) error {
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
			w := &worker{screen: sc}
			for b := range jobs {
				for i := range b.records {
					b.results = append(b.results, w.process(b.src, &b.records[i]))
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
