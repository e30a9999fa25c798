package rewardmodel

import (
	"math"

	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train"
)

// bradleyTerry is −log σ(r_c − r_r − margin) + centring·(r_c + r_r)² per pair (arXiv 2203.02155, equation 1; the margin is
// arXiv 2307.09288's, equation 2; the centring arXiv 2312.09244's), for scores r of the chosen and the rejected answer.
type bradleyTerry struct {
	margin, centring float64

	means finetune.Means
}

// Units counts pairs.
func (o *bradleyTerry) Units(b *train.Batch) int { return b.Stream.Segments() / 2 }

// Loss sums over pairs.
func (o *bradleyTerry) Loss(b *train.Batch, h *train.Head) float64 {
	sum := 0.0
	for pair := range o.Units(b) {
		c, r := b.Stream.Starts[2*pair+1]-1, b.Stream.Starts[2*pair+2]-1 // the last token of either
		chosen, rejected := h.Logp[c], h.Logp[r]
		lead, both := chosen-rejected-o.margin, chosen+rejected
		sum += finetune.Softplus(-lead) + o.centring*both*both
		wrong := finetune.Sigmoid(-lead)
		h.DLogp[c] = -wrong + 2*o.centring*both
		h.DLogp[r] = wrong + 2*o.centring*both
		o.means.Add(1, map[string]float64{
			"accuracy": finetune.Share(chosen > rejected), "margin": chosen - rejected,
			"chosen_score": chosen, "rejected_score": rejected,
		})
	}
	return sum
}

// Figures implements train.Telling.
func (o *bradleyTerry) Figures() map[string]float64 { return o.means.Take() }

// A verdict is the scores of a pair's two answers.
type verdict struct{ chosen, rejected float64 }

// confidence is the probability that the model gives to the answer that it prefers; right says that it is the chosen one.
func (v verdict) confidence() (p float64, right bool) {
	return finetune.Sigmoid(math.Abs(v.chosen - v.rejected)), v.chosen > v.rejected
}

// bins is how many groups of confidence, from a half to one, a calibration has.
const bins = 10

// A calibration compares the model's confidence in its choices with how often they are right (arXiv 1706.04599).
type calibration struct {
	confidence, accuracy []float64 // mean of each bin that is not empty
	err                  float64   // mean distance of the two, weighted by the pairs of a bin
}

func calibrate(verdicts []verdict) calibration {
	var n, sum, right [bins]float64
	for _, v := range verdicts {
		p, ok := v.confidence()
		bin := min(bins-1, int((p-0.5)*2*bins))
		n[bin]++
		sum[bin] += p
		right[bin] += finetune.Share(ok)
	}
	var c calibration
	for bin := range bins {
		if n[bin] == 0 {
			continue
		}
		c.confidence = append(c.confidence, sum[bin]/n[bin])
		c.accuracy = append(c.accuracy, right[bin]/n[bin])
		c.err += math.Abs(sum[bin]-right[bin]) / float64(len(verdicts))
	}
	return c
}

// figures are the means over verdicts.
func figures(verdicts []verdict, margin float64) map[string]float64 {
	var m finetune.Means
	for _, v := range verdicts {
		m.Add(1, map[string]float64{
			"eval_loss": finetune.Softplus(margin + v.rejected - v.chosen), "eval_accuracy": finetune.Share(v.chosen > v.rejected),
			"eval_margin": v.chosen - v.rejected, "eval_chosen_score": v.chosen, "eval_rejected_score": v.rejected,
		})
	}
	return m.Take()
}
