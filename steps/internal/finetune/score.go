package finetune

import (
	"context"

	"athanor/gpu"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A Score is how well a model predicts the targets of some examples.
type Score struct {
	Loss     float64 // nats per target
	Accuracy float64 // share of the targets that are the likeliest token
	Targets  int
}

// Predict reads batches with a model that has room for them.
func Predict(ctx context.Context, m *llm.Model, batches []*train.Batch) (Score, error) {
	var s Score
	nats, right := 0.0, 0
	for _, b := range batches {
		if err := ctx.Err(); err != nil {
			return s, err
		}
		logp, err := LogProbs(m, &b.Stream)
		if err != nil {
			return s, err
		}
		for _, l := range logp {
			nats -= l
		}
		n, all, err := likeliest(m, &b.Stream)
		if err != nil {
			return s, err
		}
		right += n
		s.Targets += all
	}
	s.Loss, s.Accuracy = nats/float64(s.Targets), float64(right)/float64(s.Targets)
	return s, nil
}

// LogProbs returns the log-probability of each target of a stream, or the score there.
func LogProbs(m *llm.Model, s *gpu.Stream) ([]float64, error) {
	logp := make([]float64, s.Len())
	if err := m.Forward(s); err != nil {
		return nil, err
	}
	return logp, m.LogProbs(logp, nil, s, 1)
}

// logitRows is how many tokens' logits are on the host at once.
const logitRows = 64

// likeliest counts the targets of the stream of the last forward, and those that have the largest logit.
func likeliest(m *llm.Model, s *gpu.Stream) (right, all int, err error) {
	var rows []int
	for n, target := range s.Targets {
		if target != gpu.NoTarget {
			rows = append(rows, n)
		}
	}
	v := m.Config.VocabSize
	logits := make([]float32, logitRows*v)
	for all = len(rows); len(rows) > 0; {
		some := rows[:min(len(rows), logitRows)]
		if err := m.Logits(logits[:len(some)*v], some...); err != nil {
			return 0, 0, err
		}
		for i, row := range some {
			best := 0
			for id, l := range logits[i*v : (i+1)*v] {
				if l > logits[i*v+best] {
					best = id
				}
			}
			if int32(best) == s.Targets[row] {
				right++
			}
		}
		rows = rows[len(some):]
	}
	return right, all, nil
}
