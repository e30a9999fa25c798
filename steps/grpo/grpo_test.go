package grpo

import (
	"maps"
	"strings"
	"testing"

	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// recipe is a block with every default filled in, but for sizes that suit the tiny model. Its rule wants a letter that
// few tokens have.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	return &Config{
		Config: reinforce.Config{
			Policy:     traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
			Data:       traintest.DocumentSet(t, traintest.Documents(0, 40, traintest.Ask), nil),
			Config:     reward.Config{RewardWeight: 1, Rules: []reward.Rule{{Name: "letter", Weight: 1, Matches: ptr("w")}}},
			Iterations: 20,
			Rollout:    reinforce.Rollouts{Prompts: 8, Tokens: 8, Temperature: 1, Samples: 4},
			Update:     reinforce.Update{Size: 16, MicroTokens: ptr(200)},
			Optimizer:  reinforce.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.999}, Eps: 1e-5, GradClip: 1},
			Schedule:   finetune.Schedule{Shape: "constant", Final: 1},
			Warn:       reinforce.Ranges{KL: 20, Entropy: 0.05, Length: 2, Truncated: 1, Clipped: 0.4, Gap: 0.01},

			CheckpointEvery: 3600,
		},
		Group: 8, Epochs: 1, Clip: 0.2, ClipHigh: 0.28, KL: KL{Coefficient: 0.01},
	}
}

// TestRun: the score rises on a rule, also with scaled advantages, and the divergence stays within its bound.
func TestRun(t *testing.T) {
	for name, scale := range map[string]bool{"plain": false, "scaled": true} {
		c := recipe(t)
		c.Scale, c.KL.Bound = scale, ptr(8.0)
		files, l, _ := traintest.Whole(t, &Type, c)
		before, after, kl := l.Values()["first_score"].(float64), l.Values()["score"].(float64), l.Values()["kl"].(float64)
		if after < before+0.4 || kl <= 0 || kl > 8 {
			t.Errorf("%s: the score is %v, %v before, at a divergence of %v", name, after, before, kl)
		}
		if m := files["report/metrics.jsonl"]; !strings.Contains(m, `"flat_groups"`) || strings.Contains(m, "value_loss") {
			t.Errorf("%s: metrics %s", name, m)
		}
	}
}

// TestPitfall01Resume: stopped while it samples and learns, the bytes are those of a run without a break.
func TestPitfall01Resume(t *testing.T) {
	c := recipe(t)
	c.Iterations, c.Epochs = 3, 2
	want, _, _ := traintest.Whole(t, &Type, c)
	dir := t.TempDir()
	stops := 0
	for looks := 3; ; looks += 2 {
		if _, err := traintest.Attempt(t, traintest.Countdown(looks), &Type, c, dir, nil); err == nil {
			break
		}
		stops++
	}
	if got := traintest.Outputs(t, dir); stops < 4 || !maps.Equal(got, want) {
		t.Errorf("after %d stops the outputs differ", stops)
	}
}

// TestNothingTells: where all answers are equally good there is nothing to learn, and the weights stay.
func TestNothingTells(t *testing.T) {
	c := recipe(t)
	c.Iterations, c.KL.Coefficient, c.Rules[0].Matches = 2, 0, ptr("")
	files, l, _ := traintest.Whole(t, &Type, c)
	if kl := l.Values()["kl"].(float64); kl > 1e-4 || kl < -1e-4 {
		t.Errorf("the policy moved by %v", kl)
	}
	if !strings.Contains(files["report/metrics.jsonl"], `"flat_groups":1,`) {
		t.Errorf("%s", files["report/metrics.jsonl"])
	}
}
