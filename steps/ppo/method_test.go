package ppo

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"athanor/gpu"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// A fixture is testdata/ppo.json.
type fixture struct {
	Beta, Gamma, Lambda, Clip, VF float64
	ValueClip                     float64 `json:"value_clip"`
	PolicyLoss                    float64 `json:"policy_loss"`
	ValueLoss                     float64 `json:"value_loss"`
	ClipFraction                  float64 `json:"clip_fraction"`
	ValueClipFraction             float64 `json:"value_clip_fraction"`

	Answers []struct {
		Logp, Ref, Values, Rewards, Advantages, Returns, Whitened []float64

		Score      float64
		NewLogp    []float64 `json:"new_logp"`
		NewValues  []float64 `json:"new_values"`
		GradLogp   []float64 `json:"grad_logp"`
		GradValues []float64 `json:"grad_values"`
	}
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-9*(1+math.Abs(want)) }

func equal(t *testing.T, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if len(got) != len(want) || !near(got[i], want[i]) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func load(t *testing.T) (fixture, []reinforce.Rollout, *method) {
	t.Helper()
	var f fixture
	data, err := os.ReadFile(filepath.Join("testdata", "ppo.json"))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	var rollouts []reinforce.Rollout
	for _, a := range f.Answers {
		rollouts = append(rollouts, reinforce.Rollout{
			Answer: finetune.Answer{IDs: make([]int32, len(a.Logp)), Logp: a.Logp},
			Ref:    a.Ref, Values: a.Values, Score: reward.Score{Total: a.Score},
		})
	}
	m := &method{
		coefficient: f.Beta, gamma: f.Gamma, lambda: f.Lambda, clip: f.Clip, valueClip: f.ValueClip, valueLoss: f.VF, whiten: true,
	}
	return f, rollouts, m
}

// TestTRL: rewards, advantages, returns, losses and gradients are those of TRL.
func TestTRL(t *testing.T) {
	f, rollouts, m := load(t)
	plain := *m
	plain.whiten = false
	plain.Weigh(rollouts)
	for i, a := range f.Answers {
		equal(t, "rewards", m.rewards(&rollouts[i]), a.Rewards)
		equal(t, "advantages", rollouts[i].Advantages, a.Advantages)
	}
	m.Weigh(rollouts)
	b := &train.Batch{}
	b.Stream.Reset()
	var tokens reinforce.Tokens
	var logp, values, gradLogp, gradValues []float64
	for i, a := range f.Answers {
		r := &rollouts[i]
		equal(t, "returns", r.Returns, a.Returns)
		equal(t, "whitened advantages", r.Advantages, a.Whitened)
		ids := make([]int32, len(a.Logp)+1) // the first token has no target
		targets := make([]int32, len(ids))
		targets[0] = gpu.NoTarget
		b.Stream.Append(ids, targets, 0)
		pad := func(to *[]float64, from []float64) { *to = append(append(*to, 0), from...) }
		pad(&tokens.Old, r.Logp)
		pad(&tokens.Ref, r.Ref)
		pad(&tokens.Advantages, r.Advantages)
		pad(&tokens.Values, r.Values)
		pad(&tokens.Returns, r.Returns)
		pad(&logp, a.NewLogp)
		pad(&values, a.NewValues)
		pad(&gradLogp, a.GradLogp)
		pad(&gradValues, a.GradValues)
	}
	b.Extra = &tokens
	head := func(numbers []float64) *train.Head {
		n := len(numbers)
		return &train.Head{Logp: numbers, LSE: make([]float64, n), DLogp: make([]float64, n), DLSE: make([]float64, n)}
	}
	scaled := func(h *train.Head, n int) []float64 {
		for i := range h.DLogp {
			h.DLogp[i] /= float64(n)
		}
		return h.DLogp
	}
	policy, n := m.Policy(), m.Policy().Units(b)
	h := head(logp)
	if got := policy.Loss(b, h) / float64(n); !near(got, f.PolicyLoss) {
		t.Errorf("the policy's loss is %v, want %v", got, f.PolicyLoss)
	}
	equal(t, "the policy's gradient", scaled(h, n), gradLogp)
	if got := policy.Figures()["clip_fraction"]; math.Abs(got-f.ClipFraction) > 1e-6 || got == 0 {
		t.Errorf("a share of %v is clipped, want %v", got, f.ClipFraction)
	}
	const shift = 0.75 // of the head's numbers against the values
	for i := range values {
		values[i] += shift
	}
	critic := m.Critic(shift)
	h = head(values)
	if got := critic.Loss(b, h) / float64(n); !near(got, f.VF*f.ValueLoss) {
		t.Errorf("the critic's loss is %v, want %v", got, f.VF*f.ValueLoss)
	}
	equal(t, "the critic's gradient", scaled(h, n), gradValues)
	if got := critic.Figures()["value_clip_fraction"]; math.Abs(got-f.ValueClipFraction) > 1e-6 || got == 0 {
		t.Errorf("a share of %v of the values is clipped, want %v", got, f.ValueClipFraction)
	}
}

// TestFigures: the returns are those before whitening, and the figures say what they are called.
func TestFigures(t *testing.T) {
	_, rollouts, m := load(t)
	f := m.Weigh(rollouts)
	var returns, rest []float64
	mean, total := 0.0, 0.0
	for i := range rollouts {
		for n, r := range rollouts[i].Returns {
			returns, rest = append(returns, r), append(rest, r-rollouts[i].Values[n])
		}
		for _, r := range m.rewards(&rollouts[i]) {
			total += r / float64(len(rollouts))
		}
	}
	variance := func(x []float64) (v float64) {
		average := 0.0
		for _, a := range x {
			average += a / float64(len(x))
		}
		for _, a := range x {
			v += (a - average) * (a - average) / float64(len(x))
		}
		return v
	}
	for _, r := range returns {
		mean += r / float64(len(returns))
	}
	if want := 1 - variance(rest)/variance(returns); !near(f["explained_variance"], want) || !near(f["return"], mean) || !near(f["penalized_reward"], total) {
		t.Errorf("%v; want an explained variance of %v, a return of %v, a reward of %v", f, want, mean, total)
	}
	var sum float64
	for i := range rollouts {
		for _, a := range rollouts[i].Advantages {
			sum += a
		}
	}
	if math.Abs(sum) > 1e-9 {
		t.Errorf("whitened advantages add up to %v", sum)
	}
}

// TestAdapt: the coefficient follows the divergence, slowly, and is part of the state.
func TestAdapt(t *testing.T) {
	target := 6.0
	m := &method{coefficient: 0.1, target: &target, horizon: 1000}
	m.Adapt(60, 100) // far too far: by 0.2·100/1000
	if !near(m.coefficient, 0.1*1.02) {
		t.Errorf("the coefficient is %v", m.coefficient)
	}
	m.Adapt(5.4, 100) // a tenth below
	if !near(m.coefficient, 0.1*1.02*0.99) {
		t.Errorf("the coefficient is %v", m.coefficient)
	}
	state, err := m.State()
	if err != nil {
		t.Fatal(err)
	}
	var again method
	if err := again.Restore(state); err != nil || again.coefficient != m.coefficient {
		t.Errorf("restored %v, %v", again.coefficient, err)
	}
	still := &method{coefficient: 0.1, horizon: 1000}
	if still.Adapt(60, 100); still.coefficient != 0.1 {
		t.Error("the coefficient moves without a target")
	}
}
