package train

import (
	"fmt"

	"athanor/gpu"
)

// A Source says what the model is trained on.
type Source interface {
	// Next collects the micro-batches of the next optimizer step, tokens tokens in all. They belong to the source and
	// hold until the next call.
	Next(tokens int64) ([]*Batch, error)
	// State is all that Restore needs to make Next go on from here: cursors, epochs, random numbers, buffers.
	State() ([]byte, error)
	Restore(state []byte) error
}

// A Loader appends exactly n tokens of packed documents to a stream, in segments of at most context tokens. A document
// that does not fit goes on in the next call. *tokens.Loader is one.
type Loader interface {
	Fill(s *gpu.Stream, n, context int) error
	State() ([]byte, error)
	Restore(state []byte) error
}

// Packed is the Source of pre-training: packed documents, each step's tokens cut into micro-batches at the boundaries
// of segments. The cut decides nothing but the order in which floating-point numbers are added.
type Packed struct {
	Loader  Loader
	Context int // longest segment, in tokens
	Micro   int // most tokens of a micro-batch, at least Context

	whole   gpu.Stream
	batches []*Batch
}

// Next implements Source.
func (p *Packed) Next(tokens int64) ([]*Batch, error) {
	p.whole.Reset()
	if err := p.Loader.Fill(&p.whole, int(tokens), p.Context); err != nil {
		return nil, err
	}
	if int64(p.whole.Len()) != tokens {
		return nil, fmt.Errorf("the loader gave %d tokens where %d were asked for", p.whole.Len(), tokens)
	}
	used := 0
	for first := 0; first < p.whole.Segments(); used++ {
		if used == len(p.batches) {
			p.batches = append(p.batches, new(Batch))
		}
		last := first + 1
		for last < p.whole.Segments() && int(p.whole.Starts[last+1]-p.whole.Starts[first]) <= p.Micro {
			last++
		}
		view(&p.batches[used].Stream, &p.whole, first, last)
		first = last
	}
	return p.batches[:used], nil
}

// State implements Source: between steps the loader has all of it.
func (p *Packed) State() ([]byte, error) { return p.Loader.State() }

// Restore implements Source.
func (p *Packed) Restore(state []byte) error { return p.Loader.Restore(state) }

// view makes dst the segments [first, last) of src, whose tokens it shares.
func view(dst, src *gpu.Stream, first, last int) {
	from, to := src.Starts[first], src.Starts[last]
	dst.IDs, dst.Positions, dst.Targets = src.IDs[from:to], src.Positions[from:to], src.Targets[from:to]
	dst.Starts = dst.Starts[:0]
	for _, start := range src.Starts[first : last+1] {
		dst.Starts = append(dst.Starts, start-from)
	}
}
