package ppo

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
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
	ask := func(i int) corpus.Document {
		question, _ := traintest.Question(i)
		return corpus.Document{Prompt: question}
	}
	c := &Config{
		Config: reinforce.Config{
			Policy:     traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
			Data:       traintest.DocumentSet(t, traintest.Documents(0, 40, ask), nil),
			Config:     reward.Config{RewardWeight: 1, Rules: []reward.Rule{{Name: "letter", Weight: 1, Matches: ptr("w")}}},
			Iterations: 30,
			Rollout:    reinforce.Rollouts{Prompts: 64, Tokens: 8, Temperature: 1, Samples: 4},
			Update:     reinforce.Update{Size: 16, MicroTokens: ptr(200)},
			Optimizer:  reinforce.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.999}, Eps: 1e-5, GradClip: 1},
			Schedule:   finetune.Schedule{Warmup: 0, Shape: "constant", Final: 1},
			Warn:       reinforce.Ranges{KL: 20, Entropy: 0.05, Length: 2, Truncated: 1, Clipped: 0.4, Gap: 0.01},

			CheckpointEvery: 3600,
		},
		Answers: 1, Epochs: 4, Gamma: 1, Lambda: 0.95, Clip: 0.2, ValueClip: 0.2, ValueLoss: 0.1, Whiten: true,
		KL: KL{Coefficient: 0.05, Horizon: 10000},
	}
	return c
}

func number(t *testing.T, l *traintest.Listener, name string) float64 {
	t.Helper()
	v, ok := l.Values()[name].(float64)
	if !ok {
		t.Fatalf("no value %s in %v", name, l.Values())
	}
	return v
}

// TestRun: the score rises on a rule, and the divergence stays within its bound.
func TestRun(t *testing.T) {
	c := recipe(t)
	c.KL.Bound = ptr(8.0)
	files, l, _ := traintest.Whole(t, &Type, c)
	t.Log(files["report/metrics.jsonl"], files["report/summary.md"])
	if before, after := number(t, l, "first_score"), number(t, l, "score"); after < before+0.3 {
		t.Errorf("the score is %v, %v before", after, before)
	}
	if kl := number(t, l, "kl"); kl <= 0 || kl > 8 {
		t.Errorf("the divergence is %v", kl)
	}
	for _, name := range []string{"report/reward.svg", "report/kl.svg", "report/entropy.svg", "report/length.svg", "report/samples.jsonl", "model/model.safetensors", "model/tokenizer_config.json"} {
		if files[name] == "" {
			t.Errorf("no %s", name)
		}
	}
}

var _ = context.Background
var _ = json.Marshal
var _ = maps.Equal[map[string]string, map[string]string]
var _ = os.ReadFile
var _ = filepath.Join
var _ = strings.Cut
var _ = ref.Open
var _ = steps.Blame
var _ = llm.Load
