package evaluate

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"athanor/gpu"
)

// A request asks for the log-likelihood of a continuation of a context, as lm-evaluation-harness defines it.
type request struct {
	ids  []int32 // the beginning-of-text token, the context, the continuation
	from int     // index of the continuation's first token
}

// A likelihood is the answer.
type likelihood struct {
	Logp   float64 // log-probability of the continuation, in nats
	Greedy bool    // every token of it is the likeliest one
}

// request encodes a context and its continuation. The two are encoded together, as one text, and the continuation is
// what comes after as many tokens as the context has alone; white space at the end of the context counts as part of the
// continuation, because tokens begin with it. The one error is a continuation that is longer than the model's context.
func (e *evaluation) request(query, continuation string) (request, error) {
	trimmed := strings.TrimRightFunc(query, unicode.IsSpace)
	query, continuation = trimmed, query[len(trimmed):]+continuation
	start := []int32{e.start}
	whole := e.tokenizer.EncodeAppend(start[:1:1], query+continuation)
	r := request{ids: whole, from: len(e.tokenizer.EncodeAppend(start[:1:1], query))}
	r.from = min(r.from, len(whole)-1)
	if n := len(whole) - r.from; n > e.scorer.Context {
		return r, fmt.Errorf("%q… is %d tokens long, more than the context of %d: raise context, take a model that is made for a longer one, or leave the line out", beginning(continuation, 40), n, e.scorer.Context)
	}
	if cut := len(whole) - 1 - e.scorer.Context; cut > 0 { // the last token is predicted and not read
		r.ids, r.from = whole[cut:], r.from-cut
		e.truncated++
	}
	return r, nil
}

// likelihoods answers requests; greedy says whether to find out if continuations are the likeliest.
func (e *evaluation) likelihoods(ctx context.Context, requests []request, greedy bool, task string) ([]likelihood, error) {
	answers := make([]likelihood, 0, len(requests))
	var stream gpu.Stream
	logp := make([]float64, e.scorer.Micro)
	for len(answers) < len(requests) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		first, last := len(answers), len(answers)
		stream.Reset()
		for last < len(requests) && (last == first || stream.Len()+len(requests[last].ids)-1 <= e.scorer.Micro) {
			r := requests[last]
			targets := make([]int32, len(r.ids)-1)
			for i := range targets {
				if targets[i] = gpu.NoTarget; i+1 >= r.from {
					targets[i] = r.ids[i+1]
				}
			}
			stream.Append(r.ids[:len(r.ids)-1], targets, 0)
			last++
		}
		if err := e.model.Forward(&stream); err != nil {
			return nil, err
		}
		logp = logp[:stream.Len()]
		if err := e.model.LogProbs(logp, nil, &stream, 1); err != nil {
			return nil, err
		}
		for i := range requests[first:last] {
			from, to := int(stream.Starts[i]), int(stream.Starts[i+1])
			answer := likelihood{}
			for n := from; n < to; n++ {
				answer.Logp += logp[n] // 0 where there is no target
			}
			if greedy {
				var err error
				if answer.Greedy, err = e.greedy(&stream, from, to); err != nil {
					return nil, err
				}
			}
			answers = append(answers, answer)
		}
		e.progress(task, len(answers), len(requests))
	}
	return answers, nil
}

// greedy reports whether the targets of tokens [from, to) of the last forward are all the likeliest.
func (e *evaluation) greedy(s *gpu.Stream, from, to int) (bool, error) {
	logits := make([]float32, e.model.Config.VocabSize)
	for n := from; n < to; n++ {
		if s.Targets[n] == gpu.NoTarget {
			continue
		}
		if err := e.model.Logits(logits, n); err != nil {
			return false, err
		}
		for _, l := range logits {
			if l > logits[s.Targets[n]] {
				return false, nil
			}
		}
	}
	return true, nil
}
