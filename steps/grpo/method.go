package grpo

import (
	"math"

	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/train"
)

// A method turns scores into advantages.
type method struct {
	group       int
	scale       bool
	low, high   float64
	coefficient float64
}

// Policy implements reinforce.Method.
func (m *method) Policy() train.Telling {
	return &reinforce.Clipped{Low: m.low, High: m.high, KL: m.coefficient}
}

// Critic implements reinforce.Method: there is none.
func (m *method) Critic(float64) train.Telling { return nil }

// Weigh implements reinforce.Method: the advantage of every token of an answer is its score less the mean of its group
// (arXiv 2402.03300, section 4.1.2), divided, where scale asks for it, by the group's standard deviation plus 1e-4, the
// unbiased one, as TRL has it.
func (m *method) Weigh(rollouts []reinforce.Rollout) map[string]float64 {
	flat, groups, spread := 0.0, 0.0, 0.0
	for ; len(rollouts) > 0; rollouts = rollouts[m.group:] {
		group := rollouts[:m.group]
		mean, squares := 0.0, 0.0
		for i := range group {
			mean += group[i].Score.Total / float64(m.group)
		}
		for i := range group {
			off := group[i].Score.Total - mean
			squares += off * off
		}
		std := math.Sqrt(squares / float64(m.group-1))
		for i := range group {
			r := &group[i]
			a := r.Score.Total - mean
			if m.scale {
				a /= std + 1e-4
			}
			r.Advantages = make([]float64, len(r.IDs))
			for n := range r.Advantages {
				r.Advantages[n] = a
			}
		}
		groups++
		spread += std
		if std < 1e-9 {
			flat++
		}
	}
	return map[string]float64{"flat_groups": flat / groups, "group_std": spread / groups, "kl_coefficient": m.coefficient}
}

// Adapt implements reinforce.Method: nothing adapts.
func (m *method) Adapt(float64, int) {}

// State implements reinforce.Method.
func (m *method) State() ([]byte, error) { return nil, nil }

// Restore implements reinforce.Method.
func (m *method) Restore([]byte) error { return nil }
