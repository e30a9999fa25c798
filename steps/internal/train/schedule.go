package train

import (
	"fmt"
	"math"
)

// A Schedule is the learning rate as a function of the tokens consumed. Tokens and not steps are its clock, so that it
// keeps its meaning while the batch grows.
type Schedule struct {
	Peak   float64 // learning rate after the warm-up
	Warmup int64   // tokens of linear warm-up from 0
	Total  int64   // tokens of the whole run
	Shape  Shape
	Final  float64 // learning rate at the end, as a share of Peak; constant ignores it
	Decay  float64 // wsd: the share of Total, at its end, over which the rate falls
}

// A Shape is the course of the learning rate after the warm-up.
type Shape string

const (
	Cosine   Shape = "cosine"   // half a period of the cosine from the peak to the final rate (arXiv 1608.03983)
	Linear   Shape = "linear"   // a straight line from the peak to the final rate
	Constant Shape = "constant" // the peak
	WSD      Shape = "wsd"      // constant, then a straight line over the last share of the run (arXiv 2404.06395)
	WSDSqrt  Shape = "wsd_sqrt" // constant, then 1−√ over the last share of the run (arXiv 2405.18392)
)

// Validate reports a schedule that cannot be followed.
func (s Schedule) Validate() error {
	switch s.Shape {
	case Cosine, Linear, Constant:
	case WSD, WSDSqrt:
		if decay := s.Decay * float64(s.Total); decay+float64(s.Warmup) > float64(s.Total) {
			return fmt.Errorf("a warm-up of %d tokens and a decay of %.0f are more than the %d tokens of the run", s.Warmup, decay, s.Total)
		}
	default:
		return fmt.Errorf("no schedule has the shape %q", s.Shape)
	}
	if s.Warmup < 0 || s.Warmup > s.Total {
		return fmt.Errorf("a warm-up of %d tokens in a run of %d", s.Warmup, s.Total)
	}
	return nil
}

// At is the learning rate of the optimizer step that consumes the tokens [from, to). In the warm-up the step counts by
// its end, so that the first one moves; afterwards by its start, so that the first one past the warm-up has the peak
// and the last one is not spent at the final rate's zero.
func (s Schedule) At(from, to int64) float64 {
	if from < s.Warmup {
		return s.Peak * min(1, float64(to)/float64(s.Warmup))
	}
	switch s.Shape {
	case Cosine:
		p := share(from-s.Warmup, s.Total-s.Warmup)
		return s.Peak * (s.Final + (1-s.Final)*(1+math.Cos(math.Pi*p))/2)
	case Linear:
		return s.Peak * (1 - (1-s.Final)*share(from-s.Warmup, s.Total-s.Warmup))
	case WSD:
		return s.Peak * (1 - (1-s.Final)*s.decayed(from))
	case WSDSqrt:
		return s.Peak * (1 - (1-s.Final)*math.Sqrt(s.decayed(from)))
	}
	return s.Peak
}

// decayed is how much of the wsd shapes' decay lies before token at: 0 before it starts.
func (s Schedule) decayed(at int64) float64 {
	length := s.Decay * float64(s.Total)
	start := float64(s.Total) - length
	if length <= 0 || float64(at) <= start {
		return 0
	}
	return min(1, (float64(at)-start)/length)
}

func share(part, whole int64) float64 {
	if whole <= 0 {
		return 1
	}
	return min(1, float64(part)/float64(whole))
}

// Batches says how many tokens each optimizer step consumes. The batch may grow on the way: small batches suit the
// noisy beginning, large ones the end (arXiv 2407.21783, section 3.4.1).
type Batches struct {
	Tokens int64  // at the start
	Ramp   []Ramp // in order of At
	Total  int64  // tokens of the whole run
}

// A Ramp is one growth of the batch.
type Ramp struct {
	At     float64 // share of the run's tokens after which it holds
	Tokens int64
}

// Size is the size of the step that begins after consumed tokens; 0 at the end. Sizes add up to Total exactly: the last
// step takes what is left, which is between a half and one and a half batches, so that no tiny batch with the weight of
// a whole one ends the run.
func (b Batches) Size(consumed int64) int64 {
	size := b.Tokens
	for _, r := range b.Ramp {
		if float64(consumed) >= r.At*float64(b.Total) {
			size = r.Tokens
		}
	}
	left := b.Total - consumed
	if 2*left < 3*size {
		return max(0, left)
	}
	return size
}

// TokensOf is how many tokens the first n optimizer steps consume.
func (b Batches) TokensOf(n int) int64 {
	consumed := int64(0)
	for ; n > 0 && consumed < b.Total; n-- {
		consumed += b.Size(consumed)
	}
	return consumed
}

// Bound is a size that no step exceeds.
func (b Batches) Bound() int64 {
	largest := b.Tokens
	for _, r := range b.Ramp {
		largest = max(largest, r.Tokens)
	}
	return min(b.Total, largest+largest/2)
}

// Mean is how many tokens a step consumes in the mean over the run, its end left aside.
func (b Batches) Mean() int64 {
	steps, from, size := 0.0, 0.0, b.Tokens
	for _, r := range b.Ramp {
		steps += (r.At - from) / float64(size)
		from, size = r.At, r.Tokens
	}
	return int64(1 / (steps + (1-from)/float64(size)))
}

// Validate reports sizes that do not make a run.
func (b Batches) Validate() error {
	if b.Total < 1 || b.Tokens < 1 {
		return fmt.Errorf("batches of %d tokens in a run of %d", b.Tokens, b.Total)
	}
	at := 0.0
	for i, r := range b.Ramp {
		if r.Tokens < 1 || r.At > 1 || r.At < at {
			return fmt.Errorf("growth %d of the batch, to %d tokens at %g of the run: growths are in order, between 0 and 1", i+1, r.Tokens, r.At)
		}
		at = r.At
	}
	return nil
}
