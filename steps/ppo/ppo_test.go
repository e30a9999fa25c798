package ppo

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reinforce"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
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
			Rollout:    reinforce.Rollouts{Prompts: 64, Tokens: 8, Temperature: 1, Samples: 4},
			Update:     reinforce.Update{Size: 16, MicroTokens: ptr(200)},
			Optimizer:  reinforce.Optimizer{LR: 5e-3, Betas: []float64{0.9, 0.999}, Eps: 1e-5, GradClip: 1},
			Schedule:   finetune.Schedule{Warmup: 0, Shape: "constant", Final: 1},
			Warn:       reinforce.Ranges{KL: 20, Entropy: 0.05, Length: 2, Truncated: 1, Clipped: 0.4, Gap: 0.01},

			CheckpointEvery: 3600,
		},
		Answers: 1, Epochs: 4, Gamma: 1, Lambda: 0.95, Clip: 0.2, ValueClip: 0.2, ValueLoss: 0.1, Whiten: true,
		KL: KL{Coefficient: 0.05, Horizon: 10000},
	}
}

// TestRun: the score rises on a rule, and the divergence stays within its bound.
func TestRun(t *testing.T) {
	c := recipe(t)
	c.KL.Bound = ptr(8.0)
	files, l, _ := traintest.Whole(t, &Type, c)
	if before, after := l.Number(t, "first_score"), l.Number(t, "score"); after < before+0.5 {
		t.Errorf("the score is %v, %v before", after, before)
	}
	if kl := l.Number(t, "kl"); kl <= 0 || kl > 8 {
		t.Errorf("the divergence is %v", kl)
	}
	for _, name := range []string{"report/reward.svg", "report/kl.svg", "report/entropy.svg", "report/length.svg", "report/samples.jsonl", "model/model.safetensors", "model/tokenizer_config.json"} {
		if files[name] == "" {
			t.Errorf("no %s", name)
		}
	}
	lines := strings.Split(strings.TrimSpace(files["report/metrics.jsonl"]), "\n")
	if len(lines) != 21 { // after the last iteration, what has come of it
		t.Fatalf("%d lines of metrics", len(lines))
	}
	var first map[string]float64
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"reward", "reward_std", "score_letter", "kl", "entropy", "length", "truncated", "clip_fraction", "ratio", "approx_kl", "policy_loss",
		"value_loss", "value_clip_fraction", "explained_variance", "kl_coefficient", "penalized_reward", "grad_norm", "critic_grad_norm", "sampler_gap", "lr",
	} {
		if _, ok := first[name]; !ok {
			t.Errorf("no %s in the metrics", name)
		}
	}
	if math.Abs(first["kl"]) > 1e-4 || first["entropy"] < 5 {
		t.Errorf("at first the policy is the reference, with nearly all of its entropy: %s", lines[0])
	}
	checkFLOPs(t, c, l)
	var sample sampling.Sample
	line, _, _ := strings.Cut(files["report/samples.jsonl"], "\n")
	if err := json.Unmarshal([]byte(line), &sample); err != nil || sample.Score == nil || sample.Prompt == "" {
		t.Errorf("the first sample is %s: %v", line, err)
	}
}

// checkFLOPs holds what the run has counted to what a plan would have expected of dialogues that are no longer.
func checkFLOPs(t *testing.T, c *Config, l *traintest.Listener) {
	t.Helper()
	var done float64
	for _, e := range l.Events {
		if e.Kind != steps.EventProgress {
			continue
		}
		if e.FLOPs < done || e.FLOPs == 0 {
			t.Errorf("%v operations after %v", e.FLOPs, done)
		}
		done = e.FLOPs
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	facts := train.Facts(traintest.Config(traintest.Tokenizer(t).VocabSize()))
	e, err := Type.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: raw}, Upstream: map[string]steps.Estimate{"policy": {Facts: facts}}})
	if err != nil {
		t.Fatal(err)
	}
	// Prompts of 128 tokens are expected where the data is not known; those of the test have about 30.
	if share := done / e.FLOPs; share < 0.15 || share > 0.6 {
		t.Errorf("%.3g operations were counted, %.3g are expected of longer dialogues", done, e.FLOPs)
	}
}

// small is a short run with everything that a checkpoint has to hold: a reward model, from which the critic starts, a
// coefficient that adapts, and a bound.
func small(t testing.TB) *Config {
	c := recipe(t)
	c.Reward = traintest.ScoreModel(t, c.Policy, 0.1)
	c.Iterations, c.Rollout.Prompts, c.Epochs, c.Rollout.MissingEnd = 3, 20, 2, 0.5
	c.KL.Target, c.KL.Horizon, c.KL.Bound = ptr(0.5), 50, ptr(50.0)
	return c
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	if !maps.Equal(got, want) {
		for name := range want {
			if got[name] != want[name] {
				t.Errorf("%s differs", name)
			}
		}
	}
}

// TestPitfall01Resume: stopped while it samples, scores and learns, in every epoch, the bytes are those of a run without
// a break.
func TestPitfall01Resume(t *testing.T) {
	c := small(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	dir := t.TempDir()
	stops := 0
	for looks := 3; ; looks += 2 {
		_, err := traintest.Attempt(t, traintest.Countdown(looks), &Type, c, dir, nil)
		if err == nil {
			break
		}
		stops++
	}
	if stops < 4 {
		t.Errorf("stopped %d times alone", stops)
	}
	compare(t, traintest.Outputs(t, dir), want)
}

// TestPitfall01Killed: killed in the midst of an epoch, without a chance to save anything, the bytes are the same too.
func TestPitfall01Killed(t *testing.T) {
	c := small(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	c.CheckpointEvery = 0
	dir := t.TempDir()
	for _, after := range []int{1, 2, 3} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("the step ended before its optimizer step %d", after)
				}
			}()
			seen := 0
			_, _ = traintest.Attempt(t, context.Background(), &Type, c, dir, func(e steps.Event) {
				if e.Kind == steps.EventProgress {
					if seen++; seen == after {
						panic("killed")
					}
				}
			})
		}()
	}
	l, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(l.Texts(steps.EventLog), "resuming in iteration 1, epoch 2, optimizer step 2") {
		t.Errorf("%s", l.Texts(steps.EventLog))
	}
	compare(t, traintest.Outputs(t, dir), want)
}

// TestBound: a policy that strays too far ends the run, and the one before it is the result; also after a break.
func TestBound(t *testing.T) {
	c := recipe(t)
	c.KL.Bound = ptr(1.5)
	want, l, _ := traintest.Whole(t, &Type, c)
	if kl, n := l.Number(t, "kl"), l.Number(t, "iterations"); kl > 1.5 || n < 1 || n >= 20 {
		t.Errorf("a divergence of %v after %v iterations", kl, n)
	}
	if w := l.Texts(steps.EventWarn); !strings.Contains(w, "beyond kl.bound = 1.5: training ends") {
		t.Errorf("warnings: %s", w)
	}
	shorter := *c
	shorter.KL.Bound, shorter.Iterations = nil, int(l.Number(t, "iterations"))
	again, _, _ := traintest.Whole(t, &Type, &shorter)
	if again["model/model.safetensors"] != want["model/model.safetensors"] {
		t.Error("the model is not that of the last iteration within the bound")
	}
	got, _ := traintest.Interrupted(t, &Type, c, 1, 1, 1)
	compare(t, got, want)
}

// TestUpdateBound: an iteration is left when the policy has moved far enough.
func TestUpdateBound(t *testing.T) {
	c := recipe(t)
	c.Iterations, c.Update.Bound = 2, ptr(1e-6)
	files, _, _ := traintest.Whole(t, &Type, c)
	if !strings.Contains(files["report/metrics.jsonl"], `"left_early":0.`) {
		t.Errorf("no iteration is left early:\n%s", files["report/metrics.jsonl"])
	}
}

// TestPitfall14Warnings: figures that leave their range are told, once each.
func TestPitfall14Warnings(t *testing.T) {
	c := recipe(t)
	c.Iterations, c.Rollout.Prompts = 3, 16
	c.Warn = reinforce.Ranges{KL: -9, Entropy: 99, Length: 1, Truncated: 0.01, Clipped: -1, Gap: -1}
	_, l, _ := traintest.Whole(t, &Type, c)
	for _, name := range []string{"warn.kl", "warn.entropy", "warn.length", "warn.truncated", "warn.clipped", "warn.gap"} {
		if n := strings.Count(l.Texts(steps.EventWarn), name); n != 1 {
			t.Errorf("%d warnings about %s:\n%s", n, name, l.Texts(steps.EventWarn))
		}
	}
	if _, l, _ = traintest.Whole(t, &Type, small(t)); l.Texts(steps.EventWarn) != "" {
		t.Errorf("a healthy run warns: %s", l.Texts(steps.EventWarn))
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"nothing scores":   {func(c *Config) { c.Rules = nil }, "reward: nothing says which answers are good"},
		"temperature":      {func(c *Config) { c.Rollout.Temperature = 0 }, "rollout.temperature: a temperature of 0"},
		"betas":            {func(c *Config) { c.Optimizer.Betas = []float64{1, 0} }, "optimizer.betas: betas are"},
		"target":           {func(c *Config) { c.KL.Target = ptr(0.0) }, "kl.target: a target of 0"},
		"no room":          {func(c *Config) { c.Rollout.Tokens = 128 }, "data: none of the 40 records can be answered: 40 too_long"},
		"micro":            {func(c *Config) { c.Update.MicroTokens = ptr(9) }, "update.micro_tokens: micro-batches of 9 tokens cannot hold"},
		"a scoring policy": {func(c *Config) { c.Policy = traintest.ScoreModel(t, c.Policy, 0) }, "it is a reward model"},
		"no chat template": {func(c *Config) {
			if err := os.Remove(filepath.Join(c.Policy.Path, "tokenizer_config.json")); err != nil {
				t.Fatal(err)
			}
		}, "policy: the model's tokenizer has no chat template"},
		"a speaking critic": {func(c *Config) { c.Critic = c.Policy }, "critic: it is a language model"},
		"a speaking reward": {func(c *Config) { c.Reward = c.Policy }, "reward: it is a language model"},
		"NaN": {func(c *Config) {
			c.Rules[0] = reward.Rule{Name: "p", Weight: 1, Program: []string{"awk", `{print "nan"}`}}
		}, "rule[0]: the reward of an answer is NaN"},
		"divergence":         {func(c *Config) { c.Optimizer.LR, c.Optimizer.GradClip = 1e30, 0 }, "optimizer.lr: "},
		"a dataset of texts": {func(c *Config) { c.Data = traintest.Dataset(t, []string{"text"}, nil) }, "data: the dataset holds plain texts"},
	} {
		t.Run(name, func(t *testing.T) {
			config := recipe(t)
			config.Iterations = 2
			c.change(config)
			_, err := traintest.Attempt(t, t.Context(), &Type, config, t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
