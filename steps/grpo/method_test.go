package grpo

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

// A fixture is testdata/grpo.json.
type fixture struct {
	Group                 int
	Low, High, Beta, Loss float64
	Answers               []struct {
		Score, Advantage, Scaled float64
		Old, Ref, New, Grad      []float64
	}
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-9*(1+math.Abs(want)) }

// TestTRL: advantages, loss and gradients are those of TRL.
func TestTRL(t *testing.T) {
	var f fixture
	data, err := os.ReadFile(filepath.Join("testdata", "grpo.json"))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err != nil {
		t.Fatal(err)
	}
	var rollouts []reinforce.Rollout
	for _, a := range f.Answers {
		rollouts = append(rollouts, reinforce.Rollout{
			Answer: finetune.Answer{IDs: make([]int32, len(a.Old)), Logp: a.Old}, Ref: a.Ref, Score: reward.Score{Total: a.Score},
		})
	}
	m := &method{group: f.Group, low: f.Low, high: f.High, coefficient: f.Beta, scale: true}
	if figures := m.Weigh(rollouts); figures["flat_groups"] != 0.5 {
		t.Errorf("%v of the groups are flat", figures["flat_groups"])
	}
	for i, a := range f.Answers {
		for _, got := range rollouts[i].Advantages {
			if !near(got, a.Scaled) {
				t.Errorf("the scaled advantage of answer %d is %v, want %v", i, got, a.Scaled)
			}
		}
	}
	m.scale = false
	m.Weigh(rollouts)
	b := &train.Batch{}
	b.Stream.Reset()
	var tokens reinforce.Tokens
	var logp, grad []float64
	for i, a := range f.Answers {
		targets := make([]int32, len(a.Old)+1)
		targets[0] = gpu.NoTarget
		b.Stream.Append(make([]int32, len(targets)), targets, 0)
		for n, got := range rollouts[i].Advantages {
			if !near(got, a.Advantage) || len(rollouts[i].Advantages) != len(a.Old) {
				t.Errorf("the advantage of answer %d at token %d is %v, want %v", i, n, got, a.Advantage)
			}
		}
		tokens.Old = append(append(tokens.Old, 0), a.Old...)
		tokens.Ref = append(append(tokens.Ref, 0), a.Ref...)
		tokens.Advantages = append(append(tokens.Advantages, 0), rollouts[i].Advantages...)
		logp, grad = append(append(logp, 0), a.New...), append(append(grad, 0), a.Grad...)
	}
	b.Extra = &tokens
	h := &train.Head{Logp: logp, LSE: make([]float64, len(logp)), DLogp: make([]float64, len(logp)), DLSE: make([]float64, len(logp))}
	o := m.Policy()
	n := float64(o.Units(b))
	if got := o.Loss(b, h) / n; !near(got, f.Loss) {
		t.Errorf("the loss is %v, want %v", got, f.Loss)
	}
	for i, want := range grad {
		if got := h.DLogp[i] / n; !near(got, want) {
			t.Errorf("the gradient at token %d is %v, want %v", i, got, want)
		}
	}
}
