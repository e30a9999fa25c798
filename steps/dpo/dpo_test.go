package dpo

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
	"athanor/steps/internal/train/traintest"
	"athanor/steps/rewardmodel"
)

func ptr[T any](v T) *T { return &v }

// rude prefers the answer to that with another ending: what the tiny model can learn.
func rude(i int) corpus.Document {
	question, answer := traintest.Question(i)
	return corpus.Document{Prompt: question, Chosen: answer, Rejected: strings.TrimSuffix(answer, ".") + ", crow!"}
}

// labels is the answers of those pairs one by one, as good or bad.
func labels(t testing.TB) steps.Artifact {
	one := func(i int) corpus.Document {
		d, good := rude(i/2), i%2 == 0
		text := d.Chosen
		if !good {
			text = d.Rejected
		}
		return corpus.Document{Label: &good, Messages: []corpus.Message{{Role: "user", Content: d.Prompt}, {Role: "assistant", Content: text}}}
	}
	return traintest.DocumentSet(t, traintest.Documents(0, 80, one), traintest.Documents(80, 40, one))
}

// recipe is a block with every default filled in.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	return &Config{
		Model:  traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
		Data:   traintest.DocumentSet(t, traintest.Documents(0, 40, rude), traintest.Documents(40, 20, rude)),
		Epochs: 2, Variant: dpo, MaskEnd: true, GoodWeight: 1, BadWeight: 1, Margin: 0.5, ChosenDrop: 0.5,
		Sample: &finetune.Sample{Prompts: []string{"The wren sees the river?"}, Tokens: 10},
		Training: finetune.Training{
			Optimizer:       finetune.Optimizer{LR: ptr(3e-3), Betas: []float64{0.9, 0.95}, Eps: 1e-8, GradClip: 1},
			Schedule:        finetune.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1},
			Batch:           finetune.Batch{Size: 8, MicroTokens: ptr(200)},
			Eval:            finetune.Eval{Every: ptr(int64(30)), Examples: 20},
			CheckpointEvery: 3600,
		},
	}
}

// TestRun: every variant makes the better answers of held-out pairs the likelier ones.
func TestRun(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"dpo": func(c *Config) {}, "ipo": func(c *Config) { c.Variant = ipo }, "simpo": func(c *Config) { c.Variant = simpo },
		"robust":     func(c *Config) { c.Variant, c.LabelSmoothing = robust, 0.1 },
		"orpo":       func(c *Config) { c.Variant, c.Beta = orpo, ptr(1.0) },
		"kto":        func(c *Config) { c.Variant, c.Epochs, c.Batch.Size = kto, 3, 16 },
		"labels":     func(c *Config) { c.Variant, c.Epochs, c.Batch.Size, c.Data = kto, 3, 16, labels(t) },
		"normalized": func(c *Config) { c.LengthNorm, c.Beta = true, ptr(2.0) },
	} {
		t.Run(name, func(t *testing.T) {
			c := recipe(t)
			change(c)
			files, l, _ := traintest.Whole(t, &Type, c)
			if a := l.Number(t, "accuracy"); a < 0.95 {
				t.Errorf("accuracy %v", a)
			}
			if m := l.Number(t, "margin"); m <= 0 {
				t.Errorf("margin %v", m)
			}
			for _, name := range []string{"report/rewards.svg", "report/logp.svg", "report/loss.svg", "report/samples.jsonl", "model/model.safetensors"} {
				if files[name] == "" {
					t.Errorf("no %s", name)
				}
			}
		})
	}
}

// TestStart: before the first step the model is its own reference: all rewards are 0 and the loss is log 2.
func TestStart(t *testing.T) {
	c := recipe(t)
	c.NLL, c.Schedule.Warmup = ptr(0.0), 0
	files, _, _ := traintest.Whole(t, &Type, c)
	var first map[string]float64
	line, _, _ := strings.Cut(files["report/metrics.jsonl"], "\n")
	if err := json.Unmarshal([]byte(line), &first); err != nil {
		t.Fatal(err)
	}
	if loss := first["loss"]; loss < 0.69314 || loss > 0.69315 {
		t.Errorf("the first loss is %v", loss)
	}
	if r := first["chosen_reward"]; r > 1e-6 || r < -1e-6 {
		t.Errorf("the first reward is %v", r)
	}
}

// TestPitfall01Resume: stopped or killed at several places, the bytes are those of a run without a break; the reference is read once.
func TestPitfall01Resume(t *testing.T) {
	c := recipe(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	got, l := traintest.Interrupted(t, &Type, c, 2, 3, 4)
	traintest.Same(t, got, want)
	c.CheckpointEvery = 0
	dir := t.TempDir()
	for _, n := range []int{4, 3} {
		traintest.Killed(t, &Type, c, dir, traintest.Metric(n))
	}
	if _, err := traintest.Attempt(t, t.Context(), &Type, c, dir, nil); err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, dir), want)
	if !strings.Contains(l.Texts(steps.EventLog), "log-probabilities are there already") {
		t.Error("the reference was read again")
	}
}

// TestPitfall04KTO: how the batch is cut changes no weight but by rounding, although the KL term is of the whole batch; and a
// run that is stopped ends with the bytes of one that is not.
func TestPitfall04KTO(t *testing.T) {
	c := recipe(t)
	c.Variant, c.Batch.Size, c.Optimizer.LR = kto, 16, ptr(1e-2)
	want, _, _ := traintest.Whole(t, &Type, c)
	got, _ := traintest.Interrupted(t, &Type, c, 2, 4)
	traintest.Same(t, got, want)
	c.Batch.MicroTokens = ptr(70)
	small, _, _ := traintest.Whole(t, &Type, c)
	a, b := strings.Split(want["report/metrics.jsonl"], "\n"), strings.Split(small["report/metrics.jsonl"], "\n")
	most := 0.0
	for i := range a[:len(a)-1] {
		var x, y map[string]float64
		if err := errors.Join(json.Unmarshal([]byte(a[i]), &x), json.Unmarshal([]byte(b[i]), &y)); err != nil {
			t.Fatal(err)
		}
		most = max(most, x["kl"])
		if math.Abs(x["loss"]-y["loss"]) > 1e-4 || math.Abs(x["kl"]-y["kl"]) > 1e-3 {
			t.Errorf("line %d: %s in small pieces %s", i, a[i], b[i])
		}
	}
	if most == 0 {
		t.Error("the KL term is always 0")
	}
}

// TestOnePrompt: kto on answers to one prompt, which can be mismatched with none, has the KL term 0.
func TestOnePrompt(t *testing.T) {
	c := recipe(t)
	c.Variant = kto
	c.Data = traintest.DocumentSet(t, []corpus.Document{rude(0), rude(0)}, nil)
	files, _, _ := traintest.Whole(t, &Type, c)
	if !strings.Contains(files["report/metrics.jsonl"], `"eval_kl":0,`) {
		t.Errorf("metrics\n%s", files["report/metrics.jsonl"])
	}
}

// TestDamagedCache: a cache that cannot be read is computed anew, and the bytes are the same.
func TestDamagedCache(t *testing.T) {
	c := recipe(t)
	want, _, _ := traintest.Whole(t, &Type, c)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, referenceName), []byte(`{"train":[{`), 0o666); err != nil {
		t.Fatal(err)
	}
	l, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := traintest.Outputs(t, dir); !maps.Equal(got, want) || !strings.Contains(l.Texts(steps.EventWarn), "computed anew") {
		t.Errorf("other bytes, or no warning: %s", l.Texts(steps.EventWarn))
	}
}

// TestReference: another reference than the model itself decides the rewards.
func TestReference(t *testing.T) {
	c := recipe(t)
	_, same, _ := traintest.Whole(t, &Type, c)
	tokenizer := traintest.Tokenizer(t)
	config := traintest.Config(tokenizer.VocabSize())
	config.InitializerRange = 0.3
	c.Reference = traintest.Model(t, tokenizer, config)
	_, other, _ := traintest.Whole(t, &Type, c)
	if same.Number(t, "margin") == other.Number(t, "margin") {
		t.Error("the reference makes no difference")
	}
}

// TestPitfall14ChosenFalls: a run that makes the better answers unlikely has figures that show it, and warns.
func TestPitfall14ChosenFalls(t *testing.T) {
	c := recipe(t)
	// Held-out pairs that prefer what training makes unlikely.
	c.NLL, c.Optimizer.LR, c.Epochs, c.ChosenDrop = ptr(0.0), ptr(1e-2), 4, 0.3
	swapped := func(i int) corpus.Document {
		d := rude(i)
		d.Chosen, d.Rejected = d.Rejected, d.Chosen
		return d
	}
	c.Data = traintest.DocumentSet(t, traintest.Documents(0, 40, rude), traintest.Documents(40, 20, swapped))
	files, l, _ := traintest.Whole(t, &Type, c)
	if !strings.Contains(files["report/metrics.jsonl"], `"eval_chosen_drop"`) {
		t.Error("no figure says how far the better answers have fallen")
	}
	if w := l.Texts(steps.EventWarn); !strings.Contains(w, "better answers have become less likely than under the reference") {
		t.Errorf("no warning; the summary is\n%s", files["report/summary.md"])
	}
	_, l, _ = traintest.Whole(t, &Type, recipe(t))
	if w := l.Texts(steps.EventWarn); strings.Contains(w, "less likely") {
		t.Errorf("a warning where they become likelier: %s", w)
	}
}

// TestPitfall09Mask: the tokens that count are exactly the last answer, and its end token counts only without mask_end.
func TestPitfall09Mask(t *testing.T) {
	for _, mask := range []bool{true, false} {
		c := recipe(t)
		c.MaskEnd = mask
		d := rude(3)
		dialogue := corpus.Document{Messages: append(traintest.Dialogue(0, 1).Messages, corpus.Message{Role: "user", Content: d.Prompt}), Chosen: d.Chosen, Rejected: d.Rejected}
		c.Data = traintest.DocumentSet(t, []corpus.Document{dialogue}, nil)
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Config: data}, &traintest.Listener{})
		if err != nil {
			t.Fatal(err)
		}
		var tr training
		if err := tr.open(t.Context(), rt); err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{d.Chosen, d.Rejected} {
			var got strings.Builder
			for _, target := range tr.Data.Examples[0].Segments[i].Targets {
				if target >= 0 && tr.counting().counts(target) {
					got.Write(tr.Base.Tokenizer.Bytes(target))
				}
			}
			if !mask {
				want += "<|eot_id|>"
			}
			if got.String() != want {
				t.Errorf("mask_end = %v: what counts is %q, want %q", mask, got.String(), want)
			}
		}
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no beta":                {func(c *Config) { c.Beta = ptr(0.0) }, "beta: beta = 0"},
		"simpo with a reference": {func(c *Config) { c.Variant, c.Reference = simpo, c.Model }, "reference: simpo compares with no reference"},
		"ipo with smoothing":     {func(c *Config) { c.Variant, c.LabelSmoothing = ipo, 0.1 }, "label_smoothing: ipo knows no"},
		"orpo with a reference":  {func(c *Config) { c.Variant, c.Reference = orpo, c.Model }, "reference: orpo compares with no reference"},
		"kto with nll":           {func(c *Config) { c.Variant, c.NLL = kto, ptr(0.1) }, "nll: kto has no such term"},
		"kto per token":          {func(c *Config) { c.Variant, c.LengthNorm = kto, true }, "length_normalized: kto takes the sum"},
		"weights of dpo":         {func(c *Config) { c.BadWeight = 2 }, "variant: desirable_weight and undesirable_weight belong to kto"},
		"kto on dialogues": {func(c *Config) {
			c.Variant, c.Data = kto, traintest.DocumentSet(t, []corpus.Document{traintest.Dialogue(1, 1)}, nil)
		}, "data: the dataset holds dialogues: dialogues with a column label are wanted"},
		"labels for dpo":           {func(c *Config) { c.Data = labels(t) }, "data: the dataset holds dialogues with labels"},
		"robust without smoothing": {func(c *Config) { c.Variant = robust }, "variant: robust without label_smoothing"},
		"dialogues":                {func(c *Config) { c.Data = traintest.DocumentSet(t, []corpus.Document{traintest.Dialogue(1, 1)}, nil) }, "data: the dataset holds dialogues"},
		"a reference of another vocabulary": {func(c *Config) {
			tokenizer, err := traintest.Tokenizer(t).WithSpecial("chatml")
			if err != nil {
				t.Fatal(err)
			}
			c.Reference = traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
		}, "reference: it has another tokenizer"},
		"a reward model": {func(c *Config) {
			r := rewardmodel.Config{
				Model: c.Model, Data: c.Data, Epochs: 1, Training: c.Training,
			}
			_, _, dir := traintest.Whole(t, &rewardmodel.Type, r)
			c.Model.Path = filepath.Join(dir, "out", "model")
		}, "model: "},
	} {
		t.Run(name, func(t *testing.T) {
			config := recipe(t)
			c.change(config)
			_, err := traintest.Attempt(t, t.Context(), &Type, config, t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if name == "a reward model" && err != nil && !strings.Contains(err.Error(), llm.ErrScore.Error()) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestEstimate: what is read beside the training is evaluations, the reference once, and of kto its prompts with answers of
// others, once by the reference and in every epoch by the model.
func TestEstimate(t *testing.T) {
	c := recipe(t)
	shape := traintest.Config(traintest.Tokenizer(t).VocabSize())
	read := map[string]float64{}
	for _, variant := range []string{simpo, dpo, kto} {
		c.Variant = variant
		config, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Type.Estimate(&steps.EstimateInput{
			Spec: &steps.Spec{Config: config}, Upstream: map[string]steps.Estimate{"model": {Facts: train.Facts(shape)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		perPair := e.FLOPs / 2 / 40 // 2 epochs of 40 pairs
		read[variant] = e.Training.ReadFLOPs * 3 / perPair
		if e.Tokens == 0 || e.Training.Segment == 0 || e.Training.BatchTokens == 0 {
			t.Errorf("%s: %+v, %+v", variant, e, e.Training)
		}
	}
	// 20 examples at 30, 60 and 80; of kto's 160 answers six times as many of them; 60 pairs in all.
	for variant, want := range map[string]float64{simpo: 3 * 20, dpo: 3*20 + 60, kto: 6*20/2 + 2*60 + 2*40} {
		if math.Abs(read[variant]-want) > 1e-6*want {
			t.Errorf("%s reads %v pairs, want %v", variant, read[variant], want)
		}
	}
}
