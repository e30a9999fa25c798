package ppo

import (
	"encoding/json"
	"math"

	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/train"
)

// A method turns scores into advantages.
type method struct {
	coefficient float64  // of the divergence, as it is now
	target      *float64 // nats per answer; nil: the coefficient stays
	horizon     float64  // answers

	gamma, lambda              float64
	clip, valueClip, valueLoss float64
	whiten                     bool
}

// Policy implements reinforce.Method.
func (m *method) Policy() train.Telling { return &reinforce.Clipped{Low: m.clip, High: m.clip} }

// Critic implements reinforce.Method.
func (m *method) Critic(shift float64) train.Telling {
	return &reinforce.Value{Clip: m.valueClip, Coefficient: m.valueLoss, Shift: shift}
}

// Weigh implements reinforce.Method. Returns are taken before advantages are whitened.
func (m *method) Weigh(rollouts []reinforce.Rollout) map[string]float64 {
	var returns, misses, objective moments
	for i := range rollouts {
		r := &rollouts[i]
		rewards := m.rewards(r)
		r.Advantages = advantages(rewards, r.Values, m.gamma, m.lambda)
		r.Returns = make([]float64, len(rewards))
		sum := 0.0
		for n := range rewards {
			r.Returns[n] = r.Advantages[n] + r.Values[n]
			returns.add(r.Returns[n])
			misses.add(r.Returns[n] - r.Values[n])
			sum += rewards[n]
		}
		objective.add(sum)
	}
	if m.whiten {
		whiten(rollouts)
	}
	explained := 0.0 // where all returns are equal there is nothing to explain
	if v := returns.variance(); v > 0 {
		explained = 1 - misses.variance()/v
	}
	return map[string]float64{
		"kl_coefficient": m.coefficient, "explained_variance": explained, "return": returns.mean(), "penalized_reward": objective.mean(),
	}
}

// rewards are those of each token: what it strays from the reference, by the estimate k1 of the divergence, and the score
// at the last one.
func (m *method) rewards(r *reinforce.Rollout) []float64 {
	out := make([]float64, len(r.IDs))
	for n := range out {
		out[n] = -m.coefficient * (r.Logp[n] - r.Ref[n])
	}
	out[len(out)-1] += r.Score.Total
	return out
}

// advantages is generalised advantage estimation (arXiv 1506.02438, equation 16) on an answer, after which nothing comes.
func advantages(rewards, values []float64, gamma, lambda float64) []float64 {
	out := make([]float64, len(rewards))
	next, after := 0.0, 0.0 // advantage and value of the token behind
	for n := len(rewards) - 1; n >= 0; n-- {
		next = rewards[n] + gamma*after - values[n] + gamma*lambda*next
		out[n], after = next, values[n]
	}
	return out
}

// whiten gives the advantages of all tokens mean 0 and variance 1, as TRL does: with the unbiased variance.
func whiten(rollouts []reinforce.Rollout) {
	var all moments
	for i := range rollouts {
		for _, a := range rollouts[i].Advantages {
			all.add(a)
		}
	}
	scale := 1.0
	if all.n > 1 {
		scale = 1 / math.Sqrt(all.variance()*all.n/(all.n-1)+1e-8)
	}
	for i := range rollouts {
		for n, a := range rollouts[i].Advantages {
			rollouts[i].Advantages[n] = (a - all.mean()) * scale
		}
	}
}

// Adapt moves the coefficient by at most a fifth of answers/horizon, proportionally to how far the divergence is off
// (arXiv 1909.08593, section 2.2).
func (m *method) Adapt(kl float64, answers int) {
	if m.target == nil {
		return
	}
	off := min(max(kl / *m.target - 1, -0.2), 0.2)
	m.coefficient *= 1 + off*float64(answers)/m.horizon
}

// State implements reinforce.Method.
func (m *method) State() ([]byte, error) { return json.Marshal(m.coefficient) }

// Restore implements reinforce.Method.
func (m *method) Restore(state []byte) error { return json.Unmarshal(state, &m.coefficient) }

// moments are mean and variance of numbers, by Welford's recurrence.
type moments struct{ n, average, squares float64 }

func (m *moments) add(x float64) {
	m.n++
	off := x - m.average
	m.average += off / m.n
	m.squares += off * (x - m.average)
}

func (m *moments) mean() float64     { return m.average }
func (m *moments) variance() float64 { return m.squares / max(1, m.n) }
