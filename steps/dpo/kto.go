package dpo

import (
	"context"
	"maps"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A prospect is the loss of one answer that is good or bad (KTO, arXiv 2402.01306, equation 8). With a = π − ρ, the sum
// of its log-probabilities under the model less that under the reference:
//
//	good   λ_D·(1 − σ(β(a − z)))
//	bad    λ_U·(1 − σ(β(z − a)))
//
// z is the mean of a over answers to other prompts than they were given to, 0 at least: an estimate of the model's KL
// divergence from the reference, which no derivative goes through. It is of all answers of an optimizer step.
type prospect struct {
	counting
	beta, goodWeight, badWeight float64
	good                        []bool             // by the number of the example
	mismatched                  []finetune.Example // the prompt of each with another's answer; no segment: there is none
	micro                       int

	reference, mismatchedReference []reference
	z                              float64

	means, goodMeans, badMeans finetune.Means
}

func (o *prospect) compare(refs, mismatched []reference) {
	o.reference, o.mismatchedReference = refs, mismatched
}

// Units counts answers.
func (o *prospect) Units(b *train.Batch) int { return b.Stream.Segments() }

// Prepare implements train.Preparing: it estimates z.
func (o *prospect) Prepare(batches []*train.Batch, read func(s *gpu.Stream) ([]float64, error)) error {
	var numbers []int
	for _, b := range batches {
		numbers = append(numbers, b.Extra.([]int)...)
	}
	var err error
	o.z, err = o.divergence(numbers, read)
	return err
}

// divergence is z for some examples.
func (o *prospect) divergence(numbers []int, read func(s *gpu.Stream) ([]float64, error)) (float64, error) {
	var some []int
	for _, i := range numbers {
		if len(o.mismatched[i].Segments) > 0 {
			some = append(some, i)
		}
	}
	sum := 0.0
	for _, b := range finetune.Pack(o.mismatched, some, o.micro) {
		logp, err := read(&b.Stream)
		if err != nil {
			return 0, err
		}
		for segment, number := range b.Extra.([]int) {
			sum += o.sum(&b.Stream, segment, logp).logp - o.mismatchedReference[number][0]
		}
	}
	return max(0, sum/float64(max(1, len(some)))), nil
}

// Loss sums over answers.
func (o *prospect) Loss(b *train.Batch, h *train.Head) float64 {
	sum, s := 0.0, &b.Stream
	for segment, number := range b.Extra.([]int) {
		a := o.sum(s, segment, h.Logp)
		loss, slope := o.judge(number, a)
		sum += loss
		for n := a.first; n < a.last; n++ {
			if s.Targets[n] != gpu.NoTarget && o.counts(s.Targets[n]) {
				h.DLogp[n] = slope
			}
		}
	}
	return sum
}

// judge is the loss of one answer and its derivative with respect to the answer's log-probability. It notes figures:
// those of good and of bad answers are means over their own kind.
func (o *prospect) judge(number int, a answer) (loss, slope float64) {
	lead := a.logp - o.reference[number][0]
	weight, sign, side, means := o.goodWeight, 1.0, "chosen", &o.goodMeans
	if !o.good[number] {
		weight, sign, side, means = o.badWeight, -1, "rejected", &o.badMeans
	}
	figures := map[string]float64{side + "_reward": o.beta * lead, side + "_logp": a.logp}
	if o.good[number] {
		figures["chosen_drop"] = -lead / float64(max(1, a.count))
	}
	means.Add(1, figures)
	o.means.Add(1, map[string]float64{"accuracy": finetune.Share(sign*(lead-o.z) > 0)})
	right := finetune.Sigmoid(o.beta * sign * (lead - o.z))
	return weight * (1 - right), -weight * sign * o.beta * right * (1 - right)
}

// Figures implements train.Telling.
func (o *prospect) Figures() map[string]float64 {
	out, good, bad := o.means.Take(), o.goodMeans.Take(), o.badMeans.Take()
	maps.Copy(out, good)
	maps.Copy(out, bad)
	if len(good) > 0 && len(bad) > 0 {
		out["margin"] = out["chosen_reward"] - out["rejected_reward"]
	}
	out["kl"] = o.z
	return out
}

func (o *prospect) measure(ctx context.Context, m *llm.Model, examples []finetune.Example, chosen []int, micro int) (map[string]float64, error) {
	read := func(s *gpu.Stream) ([]float64, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return finetune.LogProbs(m, s)
	}
	var err error
	if o.z, err = o.divergence(chosen, read); err != nil {
		return nil, err
	}
	sum := 0.0
	for _, b := range finetune.Pack(examples, chosen, micro) {
		logp, err := read(&b.Stream)
		if err != nil {
			return nil, err
		}
		for segment, number := range b.Extra.([]int) {
			loss, _ := o.judge(number, o.sum(&b.Stream, segment, logp))
			sum += loss
		}
	}
	out := o.Figures()
	out["loss"] = sum / float64(max(1, len(chosen)))
	return out, nil
}
