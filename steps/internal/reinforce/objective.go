package reinforce

import (
	"math"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train"
)

// Clipped is the clipped surrogate objective of PPO (arXiv 1707.06347, equation 7), with two bounds (2503.14476,
// equation 10), as a mean over tokens: with the ratio ρ = π/π_old of a token's probability and its advantage A,
//
//	−min(ρ·A, clip(ρ, 1−Low, 1+High)·A) + KL·(e^δ − δ − 1),   δ = log π_ref − log π
//
// where the second term is the estimate k3 of the divergence from the reference (2402.03300, equation 4).
type Clipped struct {
	Low, High float64
	KL        float64 // coefficient of the second term; PPO has the divergence in its reward instead

	means finetune.Means
}

// Units counts the tokens of answers.
func (o *Clipped) Units(b *train.Batch) int { return units(b) }

// Loss sums over tokens.
func (o *Clipped) Loss(b *train.Batch, h *train.Head) float64 {
	t := b.Extra.(*Tokens)
	var sum, ratios, clipped, away, gap float64
	for n, target := range b.Stream.Targets {
		if target == gpu.NoTarget {
			continue
		}
		moved := h.Logp[n] - t.Old[n]
		ratio, a := math.Exp(moved), t.Advantages[n]
		free, bound := ratio*a, min(max(ratio, 1-o.Low), 1+o.High)*a
		sum -= min(free, bound)
		if free <= bound {
			h.DLogp[n] = -free
		} else {
			clipped++
		}
		if o.KL > 0 {
			delta := t.Ref[n] - h.Logp[n]
			sum += o.KL * (math.Exp(delta) - delta - 1)
			h.DLogp[n] += o.KL * (1 - math.Exp(delta))
		}
		ratios += ratio
		away += ratio - 1 - moved
		gap += math.Abs(moved)
	}
	n := float64(units(b))
	o.means.Add(n, map[string]float64{
		"policy_loss": sum / n, "ratio": ratios / n, "clip_fraction": clipped / n, "approx_kl": away / n, "logp_change": gap / n,
	})
	return sum
}

// Figures implements train.Telling.
func (o *Clipped) Figures() map[string]float64 { return o.means.Take() }

// Value is the critic's clipped squared error (1707.06347, section 5, as OpenAI's baselines clip it), as a mean over
// tokens: with the critic's value V, that at sampling V_old and the return R,
//
//	Coefficient · ½·max((V−R)², (clip(V, V_old−Clip, V_old+Clip)−R)²)
type Value struct {
	Clip        float64
	Coefficient float64
	Shift       float64 // taken off the head's number: the value in the reward's units

	means finetune.Means
}

// Units counts the tokens of answers.
func (o *Value) Units(b *train.Batch) int { return units(b) }

// Loss sums over tokens.
func (o *Value) Loss(b *train.Batch, h *train.Head) float64 {
	t := b.Extra.(*Tokens)
	var sum, clipped float64
	for n, target := range b.Stream.Targets {
		if target == gpu.NoTarget {
			continue
		}
		v, old, want := h.Logp[n]-o.Shift, t.Values[n], t.Returns[n]
		off := v - want
		bounded := min(max(v, old-o.Clip), old+o.Clip) - want
		if off*off >= bounded*bounded {
			sum += off * off / 2
			h.DLogp[n] = o.Coefficient * off
		} else { // the bounded value does not move with the critic
			sum += bounded * bounded / 2
			clipped++
		}
	}
	n := float64(units(b))
	o.means.Add(n, map[string]float64{"value_loss": sum / n, "value_clip_fraction": clipped / n})
	return o.Coefficient * sum
}

// Figures implements train.Telling.
func (o *Value) Figures() map[string]float64 { return o.means.Take() }

func units(b *train.Batch) int {
	n := 0
	for _, t := range b.Stream.Targets {
		if t != gpu.NoTarget {
			n++
		}
	}
	return n
}
