package dpo

import (
	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train"
)

// The variants of the loss.
const (
	dpo    = "dpo"
	ipo    = "ipo"
	simpo  = "simpo"
	robust = "robust"
)

// A preference is the loss of one pair as a function of how much more the model has come to favour the better answer.
//
// With π the log-probability of an answer, ρ that of the reference (0 for simpo), each divided by the answer's tokens
// where lengths are normalised, and h = (π_c − ρ_c) − (π_r − ρ_r) for the chosen and the rejected answer:
//
//	dpo     −(1−ε)·log σ(βh) − ε·log σ(−βh)                  arXiv 2305.18290, equation 7; ε after 2403.00409, section 3
//	robust  (−(1−ε)·log σ(βh) + ε·log σ(−βh)) / (1−2ε)       2403.00409, equation 11
//	ipo     (h − 1/(2β))²                                    2310.12036, equation 17
//	simpo   −log σ(βh − margin)                              2405.14734, equation 6
type preference struct {
	variant    string
	beta       float64
	smoothing  float64 // ε
	margin     float64
	normalized bool                // log-probabilities per token
	nll        float64             // coefficient of the better answer's −log p per token
	control    func(id int32) bool // targets that are left out of the preference; nil: none
	reference  []reference         // by the number of the pair; nil: 0

	means finetune.Means
}

// A reference is the log-probability that the reference model gives to each answer of a pair, summed over the tokens
// that count.
type reference struct{ Chosen, Rejected float64 }

// loss is that of one pair and its derivative with respect to h.
func (o *preference) loss(h float64) (loss, slope float64) {
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

// An answer is where the tokens of one answer lie in a stream, and what they sum up to.
type answer struct {
	first, last int     // tokens of its segment
	logp        float64 // summed over the tokens that count in the preference
	count       int     // those tokens
	all         float64 // summed over all its tokens
	tokens      int
}

func (o *preference) answer(s *gpu.Stream, segment int, logp []float64) answer {
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

func (o *preference) counts(target int32) bool { return o.control == nil || !o.control(target) }

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
		c, r := o.answer(s, 2*pair, h.Logp), o.answer(s, 2*pair+1, h.Logp)
		loss, slope, figures := o.judge(number, c, r)
		sum += loss
		o.means.Add(1, figures)
		for _, side := range []struct {
			a    answer
			sign float64
			nll  float64
		}{{c, 1, o.nll / float64(max(1, c.tokens))}, {r, -1, 0}} {
			for n := side.a.first; n < side.a.last; n++ {
				if s.Targets[n] == gpu.NoTarget {
					continue
				}
				h.DLogp[n] = -side.nll
				if o.counts(s.Targets[n]) {
					h.DLogp[n] += side.sign * slope / o.scale(side.a)
				}
			}
		}
	}
	return sum
}

// judge is the loss of one pair, its derivative with respect to h, and what there is to say about it.
func (o *preference) judge(number int, c, r answer) (loss, slope float64, figures map[string]float64) {
	var ref reference
	if o.reference != nil {
		ref = o.reference[number]
	}
	chosen, rejected := (c.logp-ref.Chosen)/o.scale(c), (r.logp-ref.Rejected)/o.scale(r)
	loss, slope = o.loss(chosen - rejected)
	nll := -c.all / float64(max(1, c.tokens))
	figures = map[string]float64{
		"chosen_reward": o.beta * chosen, "rejected_reward": o.beta * rejected, "margin": o.beta * (chosen - rejected),
		"accuracy": finetune.Share(chosen > rejected), "chosen_logp": c.logp, "rejected_logp": r.logp, "nll": nll,
	}
	if o.reference != nil {
		figures["chosen_drop"] = (ref.Chosen - c.logp) / float64(max(1, c.count))
	}
	return loss + o.nll*nll, slope, figures
}

// Figures implements train.Telling.
func (o *preference) Figures() map[string]float64 { return o.means.Take() }
