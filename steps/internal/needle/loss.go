package needle

import (
	"context"
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
	"athanor/steps/internal/train"
)

// A Reader computes log-probabilities: *llm.Model is one.
type Reader interface {
	train.Reader
	Inference(maxTokens int) error // reserves memory for texts of so many tokens
}

// ValueLoss is how badly a model predicts the values where it is asked for them: the cross-entropy in nats per token of a
// value, over one needle of each cell. It falls long before the first needle is found. A model that knows what values look
// like and does not look back stays at the logarithm of how many there are.
func (t *Test) ValueLoss(ctx context.Context, m Reader) (float64, error) {
	if err := m.Inference(t.lengths[len(t.lengths)-1]); err != nil {
		return 0, err
	}
	nats, tokens := 0.0, 0
	for i := 0; i < len(t.trials); i += t.grid.Needles {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		s := t.answered(&t.trials[i])
		logp := make([]float64, s.Len())
		err := m.Forward(s)
		if err == nil {
			err = m.LogProbs(logp, nil, s, 1)
		}
		if err != nil {
			return 0, fmt.Errorf("reading the values of needles: %w", err)
		}
		for j, target := range s.Targets {
			if target != gpu.NoTarget {
				nats -= logp[j]
				tokens++
			}
		}
	}
	if math.IsNaN(nats) || math.IsInf(nats, 0) {
		return 0, &train.DivergedError{Loss: nats}
	}
	return nats / float64(tokens), nil
}

// answered is a trial's text with the right answer behind it, whose tokens are the only targets.
func (t *Test) answered(tr *trial) *gpu.Stream {
	value := t.hay.Tokenizer.Encode(" " + tr.fact.Value)
	ids := slices.Concat(tr.prompt, value[:len(value)-1])
	targets := slices.Repeat([]int32{gpu.NoTarget}, len(ids))
	copy(targets[len(tr.prompt)-1:], value)
	var s gpu.Stream
	s.Append(ids, targets, 0)
	return &s
}
