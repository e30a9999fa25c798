package dpo

import (
	"context"
	"math"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// The variants of the loss.
const (
	dpo    = "dpo"
	ipo    = "ipo"
	simpo  = "simpo"
	robust = "robust"
	orpo   = "orpo"
	kto    = "kto"
)

// An objective is a loss, and what the step asks of it beside training.
type objective interface {
	train.Telling
	// compare sets what the reference model says of the examples, and of kto's prompts with the answers of others.
	compare(refs, mismatched []reference)
	// measure returns figures of the chosen examples under a model, loss among them.
	measure(ctx context.Context, m *llm.Model, examples []finetune.Example, chosen []int, micro int) (map[string]float64, error)
	// sum is the log-probability of one conversation of a stream.
	sum(s *gpu.Stream, segment int, logp []float64) answer
}

// A reference is the log-probability that the reference model gives to each conversation of an example, summed over the
// tokens that count.
type reference []float64

// counting says which tokens of an answer count.
type counting struct {
	control func(id int32) bool // targets that are left out of the preference; nil: none
}

func (o counting) counts(target int32) bool { return o.control == nil || !o.control(target) }

// An answer is where the tokens of one answer lie in a stream, and what they sum up to.
type answer struct {
	first, last int     // tokens of its segment
	logp        float64 // summed over the tokens that count in the preference
	count       int     // those tokens
	all         float64 // summed over all its tokens
	tokens      int
}

func (o counting) sum(s *gpu.Stream, segment int, logp []float64) answer {
	a := answer{first: int(s.Starts[segment]), last: int(s.Starts[segment+1])}
	for n := a.first; n < a.last; n++ {
		if s.Targets[n] == gpu.NoTarget {
			continue
		}
		a.all += logp[n]
		a.tokens++
		if o.counts(s.Targets[n]) {
			a.logp += logp[n]
			a.count++
		}
	}
	return a
}

// A preference is the loss of one pair as a function of how much more the model has come to favour the better answer.
//
// With π the log-probability of an answer, ρ that of the reference (0 for simpo and orpo), each divided by the answer's
// tokens where lengths are normalised, c = π_c − ρ_c and r = π_r − ρ_r for the chosen and the rejected answer, and
// h = c − r:
//
//	dpo     −(1−ε)·log σ(βh) − ε·log σ(−βh)                  arXiv 2305.18290, equation 7; ε after 2403.00409, section 3
//	robust  (−(1−ε)·log σ(βh) + ε·log σ(−βh)) / (1−2ε)       2403.00409, equation 11
//	ipo     (h − 1/(2β))²                                    2310.12036, equation 17
//	simpo   −log σ(βh − margin)                              2405.14734, equation 6
//	orpo    −β·log σ(h − log(1−eᶜ) + log(1−eʳ))              2403.07691, equations 6 and 7
type preference struct {
	counting
	variant    string
	beta       float64
	smoothing  float64 // ε
	margin     float64
	normalized bool        // log-probabilities per token
	nll        float64     // coefficient of the better answer's −log p per token
	reference  []reference // by the number of the pair; nil: 0

	means finetune.Means
}

func (o *preference) compare(refs, _ []reference) { o.reference = refs }

// loss is that of one pair and its derivatives with respect to c and r.
func (o *preference) loss(c, r float64) (loss, dc, dr float64) {
	if o.variant == orpo {
		logC, slopeC := unlikelihood(c)
		logR, slopeR := unlikelihood(r)
		x := c - r - logC + logR
		slope := -o.beta * finetune.Sigmoid(-x)
		return o.beta * finetune.Softplus(-x), slope * (1 - slopeC), -slope * (1 - slopeR)
	}
	loss, slope := o.lead(c - r)
	return loss, slope, -slope
}

// certain is the largest log-probability of which the odds are taken: those of a certain answer are infinite.
const certain = -1e-9

// unlikelihood is log(1−eˣ) and its derivative.
func unlikelihood(x float64) (log, slope float64) {
	if x > certain {
		return math.Log(-certain), 0
	}
	return math.Log(-math.Expm1(x)), math.Exp(x) / math.Expm1(x)
}

// lead is the loss of a pair that depends on h alone, and its derivative.
func (o *preference) lead(h float64) (loss, slope float64) {
	x := o.beta * h
	switch o.variant {
	case ipo:
		off := h - 1/(2*o.beta)
		return off * off, 2 * off
	case simpo:
		x -= o.margin
		return finetune.Softplus(-x), -o.beta * finetune.Sigmoid(-x)
	case robust:
		scale := 1 / (1 - 2*o.smoothing)
		loss = (1-o.smoothing)*finetune.Softplus(-x) - o.smoothing*finetune.Softplus(x)
		slope = -(1-o.smoothing)*finetune.Sigmoid(-x) - o.smoothing*finetune.Sigmoid(x)
		return scale * loss, scale * o.beta * slope
	}
	loss = (1-o.smoothing)*finetune.Softplus(-x) + o.smoothing*finetune.Softplus(x)
	slope = -(1-o.smoothing)*finetune.Sigmoid(-x) + o.smoothing*finetune.Sigmoid(x)
	return loss, o.beta * slope
}

// Units counts pairs.
func (o *preference) Units(b *train.Batch) int { return b.Stream.Segments() / 2 }

// scale is what a sum of log-probabilities is divided by.
func (o *preference) scale(a answer) float64 {
	if o.normalized {
		return float64(max(1, a.count))
	}
	return 1
}

// Loss sums over pairs.
func (o *preference) Loss(b *train.Batch, h *train.Head) float64 {
	sum := 0.0
	for pair, number := range b.Extra.([]int) {
		s := &b.Stream
		c, r := o.sum(s, 2*pair, h.Logp), o.sum(s, 2*pair+1, h.Logp)
		loss, dc, dr, figures := o.judge(number, c, r)
		sum += loss
		o.means.Add(1, figures)
		for _, side := range []struct {
			a          answer
			slope, nll float64
		}{{c, dc, o.nll / float64(max(1, c.tokens))}, {r, dr, 0}} {
			for n := side.a.first; n < side.a.last; n++ {
				if s.Targets[n] == gpu.NoTarget {
					continue
				}
				h.DLogp[n] = -side.nll
				if o.counts(s.Targets[n]) {
					h.DLogp[n] += side.slope / o.scale(side.a)
				}
			}
		}
	}
	return sum
}

// judge is the loss of one pair, its derivatives with respect to c and r, and what there is to say about it.
func (o *preference) judge(number int, c, r answer) (loss, dc, dr float64, figures map[string]float64) {
	ref := reference{0, 0}
	if o.reference != nil {
		ref = o.reference[number]
	}
	chosen, rejected := (c.logp-ref[0])/o.scale(c), (r.logp-ref[1])/o.scale(r)
	loss, dc, dr = o.loss(chosen, rejected)
	nll := -c.all / float64(max(1, c.tokens))
	figures = map[string]float64{
		"chosen_reward": o.beta * chosen, "rejected_reward": o.beta * rejected, "margin": o.beta * (chosen - rejected),
		"accuracy": finetune.Share(chosen > rejected), "chosen_logp": c.logp, "rejected_logp": r.logp, "nll": nll,
	}
	if o.reference != nil {
		figures["chosen_drop"] = (ref[0] - c.logp) / float64(max(1, c.count))
	}
	return loss + o.nll*nll, dc, dr, figures
}

// Figures implements train.Telling.
func (o *preference) Figures() map[string]float64 { return o.means.Take() }

func (o *preference) measure(ctx context.Context, m *llm.Model, examples []finetune.Example, chosen []int, micro int) (map[string]float64, error) {
	var means finetune.Means
	for _, b := range finetune.Pack(examples, chosen, micro) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		logp, err := finetune.LogProbs(m, &b.Stream)
		if err != nil {
			return nil, err
		}
		for pair, number := range b.Extra.([]int) {
			loss, _, _, figures := o.judge(number, o.sum(&b.Stream, 2*pair, logp), o.sum(&b.Stream, 2*pair+1, logp))
			figures["loss"] = loss
			means.Add(1, figures)
		}
	}
	return means.Take(), nil
}
