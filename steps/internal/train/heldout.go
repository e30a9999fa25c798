package train

import (
	"context"
	"iter"
	"math"

	"athanor/gpu"
)

// A Reader computes log-probabilities without gradients: *llm.Model is one.
type Reader interface {
	Forward(s *gpu.Stream) error
	LogProbs(logp, lse []float64, s *gpu.Stream, temperature float64) error
}

// A Document is held-out text as a model reads it.
type Document struct {
	IDs   []int32 // the first is given (the beginning-of-text token); each of the others is predicted
	Bytes int     // of text that the predicted tokens stand for
}

// A Score is how well a model predicts documents.
type Score struct {
	Nats      float64 // Σ −log p of the predicted tokens
	Tokens    int64   // predicted
	Bytes     int64
	Documents int64
}

// Loss is the mean cross-entropy per predicted token in nats.
func (s Score) Loss() float64 { return s.Nats / float64(s.Tokens) }

// BitsPerByte is the cross-entropy per byte of text in bits. It does not depend on the tokenizer, and a compressor's
// output over its input, times eight, is the same figure.
func (s Score) BitsPerByte() float64 { return s.Nats / math.Ln2 / float64(s.Bytes) }

// Add adds the score of other documents.
func (s *Score) Add(o Score) {
	s.Nats += o.Nats
	s.Tokens += o.Tokens
	s.Bytes += o.Bytes
	s.Documents += o.Documents
}

// BitsPerByte turns a loss in nats per token into bits per byte of text.
func BitsPerByte(loss, bytesPerToken float64) float64 { return loss / math.Ln2 / bytesPerToken }

// A Scorer reads held-out documents in pieces of at most Context tokens: the first token of a piece is predicted by the
// piece before, everything earlier is forgotten.
type Scorer struct {
	Model   Reader
	Context int
	Micro   int // most tokens of one forward pass, at least Context

	// Document, if not nil, is called with the score of each document that has something to predict, in order.
	Document func(Score)

	stream gpu.Stream
	logp   []float64
	open   []pending
}

// A pending is a document of which a part is still to be read.
type pending struct {
	score Score
	left  int // tokens to predict that are not in score
}

// Score reads all documents, in order. It stops with ctx's error when ctx ends.
func (s *Scorer) Score(ctx context.Context, documents iter.Seq2[Document, error]) (Score, error) {
	var total Score
	s.stream.Reset()
	s.open = s.open[:0]
	for d, err := range documents {
		if err != nil {
			return total, err
		}
		if len(d.IDs) < 2 {
			continue // nothing to predict
		}
		total.Documents++
		total.Bytes += int64(d.Bytes)
		if s.Document != nil {
			s.open = append(s.open, pending{Score{Bytes: int64(d.Bytes), Documents: 1}, len(d.IDs) - 1})
		}
		if err := s.document(ctx, d.IDs, &total); err != nil {
			return total, err
		}
	}
	return total, s.flush(ctx, &total)
}

// document appends a document, piece by piece, and runs the model whenever the stream is full.
func (s *Scorer) document(ctx context.Context, ids []int32, total *Score) error {
	for from := 0; from < len(ids)-1; from += s.Context {
		to := min(from+s.Context, len(ids)-1) // the last token predicts nothing
		if s.stream.Len()+to-from > s.Micro {
			if err := s.flush(ctx, total); err != nil {
				return err
			}
		}
		s.stream.Append(ids[from:to], ids[from+1:to+1], 0)
	}
	return nil
}

func (s *Scorer) flush(ctx context.Context, total *Score) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n := s.stream.Len()
	if n == 0 {
		return nil
	}
	if cap(s.logp) < n {
		s.logp = make([]float64, max(n, s.Micro))
	}
	if err := s.Model.Forward(&s.stream); err != nil {
		return err
	}
	logp := s.logp[:n]
	if err := s.Model.LogProbs(logp, nil, &s.stream, 1); err != nil {
		return err
	}
	for _, l := range logp {
		total.Nats -= l
	}
	if !finite(total.Nats) {
		return &DivergedError{Loss: total.Nats}
	}
	total.Tokens += int64(n)
	s.stream.Reset()
	s.share(logp)
	return nil
}

// share gives the documents that are open their tokens of a forward pass, in order, and reports those that are whole.
func (s *Scorer) share(logp []float64) {
	for len(logp) > 0 && len(s.open) > 0 {
		d := &s.open[0]
		n := min(d.left, len(logp))
		for _, l := range logp[:n] {
			d.score.Nats -= l
		}
		d.score.Tokens += int64(n)
		logp = logp[n:]
		if d.left -= n; d.left > 0 {
			return
		}
		s.Document(d.score)
		s.open = append(s.open[:0], s.open[1:]...)
	}
}
