package reinforce

import (
	"context"
	"math/rand/v2"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// A Rollout is one sampled answer and all that is known of it. Its numbers are per token of the answer, in order.
type Rollout struct {
	finetune.Answer

	Prompt int       `json:"prompt"` // its number
	Ref    []float64 `json:"ref"`    // log-probabilities of the reference
	Values []float64 `json:"values"` // of the critic, before each token; nil without one

	Score reward.Score `json:"score"` // its Total less the penalty of an answer without end

	Advantages []float64 `json:"-"` // set by the Method
	Returns    []float64 `json:"-"` // what the critic shall say; set by a Method that has one
}

// Tokens are a micro-batch's numbers per token of its stream; they are 0 where there is no target.
type Tokens struct {
	Old, Ref, Advantages, Values, Returns []float64
}

// chosen are the numbers of an iteration's prompts: epoch after epoch, each in an order of its own.
func chosen(all, each, iteration int, seed uint64) []int {
	out := make([]int, 0, each)
	var order []int
	epoch := -1
	for at := iteration * each; len(out) < each; at++ {
		if at/all != epoch {
			epoch = at / all
			order = rand.New(rand.NewPCG(seed, uint64(epoch))).Perm(all)
		}
		out = append(out, order[at%all])
	}
	return out
}

// mix makes a seed of a seed and a number.
func mix(seed uint64, n int) uint64 { return rand.New(rand.NewPCG(seed, uint64(n))).Uint64() }

// pack lays answers out behind their prompts, in streams of at most micro tokens. The last token of an answer is a
// target and is not read. A batch's Extra is its *Tokens.
func pack(prompts []finetune.Prompt, rollouts []Rollout, which []int, micro int) []*train.Batch {
	var batches []*train.Batch
	for _, i := range which {
		r := &rollouts[i]
		prompt := prompts[r.Prompt].IDs
		n := len(prompt) + len(r.IDs) - 1
		last := len(batches) - 1
		if last < 0 || batches[last].Stream.Len()+n > micro {
			b := &train.Batch{Extra: &Tokens{}}
			b.Stream.Reset()
			batches = append(batches, b)
			last++
		}
		b := batches[last]
		ids, targets := make([]int32, 0, n), make([]int32, n)
		ids = append(append(ids, prompt...), r.IDs[:len(r.IDs)-1]...)
		for at := range targets {
			targets[at] = gpu.NoTarget
		}
		copy(targets[len(prompt)-1:], r.IDs)
		b.Stream.Append(ids, targets, 0)
		b.Extra.(*Tokens).append(r, len(prompt)-1)
	}
	return batches
}

// append adds an answer whose first token is predicted after skip others.
func (t *Tokens) append(r *Rollout, skip int) {
	for _, column := range []struct {
		to   *[]float64
		from []float64
	}{{&t.Old, r.Logp}, {&t.Ref, r.Ref}, {&t.Advantages, r.Advantages}, {&t.Values, r.Values}, {&t.Returns, r.Returns}} {
		*column.to = append(*column.to, make([]float64, skip+len(r.IDs))...)
		copy((*column.to)[len(*column.to)-len(r.IDs):], column.from)
	}
}

// read returns what a model's head says at each token of each answer.
func read(ctx context.Context, m *llm.Model, prompts []finetune.Prompt, rollouts []Rollout, micro int, temperature float64) ([][]float64, error) {
	all := make([]int, len(rollouts))
	for i := range all {
		all[i] = i
	}
	out := make([][]float64, 0, len(rollouts))
	for _, b := range pack(prompts, rollouts, all, micro) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := &b.Stream
		numbers := make([]float64, s.Len())
		if err := m.Forward(s); err != nil {
			return nil, err
		}
		if err := m.LogProbs(numbers, nil, s, temperature); err != nil {
			return nil, err
		}
		for segment := range s.Segments() {
			end := int(s.Starts[segment+1])
			out = append(out, numbers[end-len(rollouts[len(out)].IDs):end])
		}
	}
	return out, nil
}
