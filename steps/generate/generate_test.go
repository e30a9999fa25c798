package generate

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// recipe is a block with every default filled in: the best of eight answers by how many of two letters it has.
func recipe(t testing.TB) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	return &Config{
		Model:   traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())),
		Data:    traintest.DocumentSet(t, traintest.Documents(0, 70, traintest.Ask), traintest.Documents(70, 6, traintest.Ask)),
		Answers: 8, Sampling: Sampling{Tokens: 6, Temperature: 1, TopP: 1}, Unfinished: true, Keep: ptr(1),
		Config: reward.Config{RewardWeight: 1, Rules: []reward.Rule{
			{Name: "w", Weight: 1, Matches: ptr("w")}, {Name: "e", Weight: -0.5, Matches: ptr("e")},
		}},
		CheckpointEvery: 3600,
	}
}

func documents(t *testing.T, dir, split string) []corpus.Document {
	t.Helper()
	set, err := corpus.Open(dir + "/out/data")
	if err != nil {
		t.Fatal(err)
	}
	var docs []corpus.Document
	for d, err := range set.Documents(split) {
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, d)
	}
	return docs
}

// TestBest: the best answers are kept, in both splits, and the result is dialogues that other steps read.
func TestBest(t *testing.T) {
	c := recipe(t)
	files, l, dir := traintest.Whole(t, &Type, c)
	if l.Number(t, "kept_score") < l.Number(t, "score")+0.3 {
		t.Errorf("%v", l.Values())
	}
	train, held := documents(t, dir, corpus.Train), documents(t, dir, corpus.Holdout)
	if len(train) != 70 || len(held) != 6 {
		t.Fatalf("%d and %d dialogues", len(train), len(held))
	}
	with := 0
	for i, d := range train {
		if question, _ := traintest.Question(i); len(d.Messages) != 2 || d.Messages[0].Content != question || d.Messages[1].Role != "assistant" {
			t.Fatalf("dialogue %d is %+v", i, d)
		}
		if text := d.Messages[1].Content; strings.Contains(text, "w") {
			with++
		}
	}
	if with < 35 {
		t.Errorf("%d of 70 answers have the letter", with)
	}
	var first sampling.Sample
	line, _, _ := strings.Cut(files["report/samples.jsonl"], "\n")
	if err := json.Unmarshal([]byte(line), &first); err != nil || first.Score == nil {
		t.Errorf("the first sample is %s: %v", line, err)
	}
	if d := l.Values()["dropped"].(map[string]any); d[worse].(float64) == 0 {
		t.Errorf("dropped %v", d)
	}
}

// TestKeep: thresholds, duplicates and answers without end.
func TestKeep(t *testing.T) {
	c := recipe(t)
	c.Keep, c.MinScore = nil, ptr(0.25)
	_, l, dir := traintest.Whole(t, &Type, c)
	dropped := l.Values()["dropped"].(map[string]any)
	if dropped[low].(float64) == 0 || dropped[worse].(float64) != 0 {
		t.Errorf("dropped %v", dropped)
	}
	for _, d := range documents(t, dir, corpus.Train) {
		if !strings.Contains(d.Messages[1].Content, "w") {
			t.Errorf("kept %q", d.Messages[1].Content)
		}
	}
	c = recipe(t)
	c.Config, c.Keep, c.Unfinished = reward.Config{}, nil, false
	_, l, dir = traintest.Whole(t, &Type, c)
	dropped = l.Values()["dropped"].(map[string]any)
	total := l.Number(t, "answers")
	for _, n := range dropped {
		total += n.(float64)
	}
	if total != 76*8 || dropped[unfinished].(float64) == 0 {
		t.Errorf("%v answers in all; dropped %v", total, dropped)
	}
	for _, d := range append(documents(t, dir, corpus.Train), documents(t, dir, corpus.Holdout)...) {
		if d.Messages[1].Content == "" {
			t.Error("an empty answer is kept")
		}
	}
}

// TestPitfall01Resume: stopped wherever it is, even while it samples, the bytes are those of a run without a break.
func TestPitfall01Resume(t *testing.T) {
	c := recipe(t)
	c.Config.Reward = traintest.ScoreModel(t, c.Model, 0.1)
	want, _, _ := traintest.Whole(t, &Type, c)
	dir := t.TempDir()
	for _, looks := range []int{20, 80, 40} {
		if _, err := traintest.Attempt(t, traintest.Countdown(looks), &Type, c, dir, nil); err == nil {
			t.Fatalf("the step ended before it had looked %d times whether to stop", looks)
		}
	}
	l, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := traintest.Outputs(t, dir); !maps.Equal(got, want) {
		t.Error("the outputs differ")
	}
	if !strings.Contains(l.Texts(steps.EventLog), "resuming after") {
		t.Error("it started anew")
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no judge":          {func(c *Config) { c.Config = reward.Config{} }, "keep: nothing says which answers are the best"},
		"min_score":         {func(c *Config) { c.Config, c.Keep, c.MinScore = reward.Config{}, nil, ptr(0.5) }, "min_score: nothing gives a score"},
		"keep":              {func(c *Config) { c.Keep = ptr(9) }, "keep: of 8 answers"},
		"temperature":       {func(c *Config) { c.Sampling.Temperature = 0 }, "sampling.temperature: at temperature 0"},
		"plain texts":       {func(c *Config) { c.Data = traintest.Dataset(t, []string{"text"}, nil) }, "data: the dataset holds plain texts"},
		"no room":           {func(c *Config) { c.Sampling.Tokens = 120 }, "data: none of the 70 records can be answered: 70 too_long"},
		"a reward model":    {func(c *Config) { c.Model = traintest.ScoreModel(t, c.Model, 0) }, "it is a reward model: it scores texts and predicts no words. Take the model of an sft step"},
		"nothing is kept":   {func(c *Config) { c.MinScore = ptr(9.0) }, "model: none of the 608 answers is kept"},
		"a language model":  {func(c *Config) { c.Reward = c.Model }, "reward: it is a language model"},
		"a bad expression":  {func(c *Config) { c.Rules[0].Matches = ptr("(") }, "rule[0].matches: error parsing"},
		"no such program":   {func(c *Config) { c.Rules[0] = reward.Rule{Name: "p", Program: []string{"no-such-program"}} }, "rule[0]: the program"},
		"two kinds of rule": {func(c *Config) { c.Rules[1].Exact = true }, "rule[1]: the rule \"e\" says 2 of"},
		"no reference":      {func(c *Config) { c.Rules[0] = reward.Rule{Name: "p", Exact: true} }, "rule[0]: exact compares with the answer of the dataset"},
	} {
		t.Run(name, func(t *testing.T) {
			config := recipe(t)
			c.change(config)
			_, err := traintest.Attempt(t, t.Context(), &Type, config, t.TempDir(), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
