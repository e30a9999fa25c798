package preferences

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// answered is question i with an answer, and a score unless that is NaN.
func answered(i int, text string, score float64) corpus.Document {
	question, reference := traintest.Question(i)
	d := corpus.Document{Reference: reference, Messages: []corpus.Message{
		{Role: chat.System, Content: "You are brief."}, {Role: chat.User, Content: question}, {Role: chat.Assistant, Content: text},
	}}
	if !math.IsNaN(score) {
		d.Score = &score
	}
	return d
}

// source writes answers as a generate step does.
func source(t testing.TB, train, held []corpus.Document) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	w := corpus.CreateAnswers(dir)
	for split, docs := range map[string][]corpus.Document{corpus.Train: train, corpus.Holdout: held} {
		for i := range docs {
			if err := w.Write(split, &docs[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(&corpus.Stats{}); err != nil {
		t.Fatal(err)
	}
	return steps.Artifact{Kind: "dataset", Digest: "answers", Path: dir}
}

// recipe is a block with every default filled in, on answers to four questions of which the last is held back.
func recipe(t testing.TB) *Config {
	t.Helper()
	return &Config{
		Answers: []Answers{{Name: "a", Data: source(t, []corpus.Document{
			answered(0, "good", 3), answered(0, "bad", 1), answered(0, "fair", 2), answered(0, "good", 3),
			answered(1, "one", 1), answered(1, "two", 1), answered(2, "alone", 5), answered(2, " ", 5),
		}, []corpus.Document{answered(3, "yes", 0.5), answered(3, "no", 0)})}},
		Config: reward.Config{RewardWeight: 1}, Pairs: "best_worst", CheckpointEvery: 3600,
	}
}

// outcome runs a block and lists its pairs: split, chosen, rejected.
func outcome(t *testing.T, c *Config) ([]string, map[string]any) {
	t.Helper()
	_, l, dir := traintest.Whole(t, &Type, c)
	set, err := corpus.Open(dir + "/out/data")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, split := range []string{corpus.Train, corpus.Holdout} {
		for d, err := range set.Documents(split) {
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Messages) != 2 || d.Messages[0].Role != chat.System {
				t.Errorf("the prompt is %v", d.Messages)
			}
			list = append(list, fmt.Sprintf("%s %s>%s", split, d.Chosen, d.Rejected))
		}
	}
	return list, l.Values()
}

func TestPairs(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(c *Config)
		want    []string
		dropped map[string]float64
		margin  float64
	}{
		"best and worst": {func(*Config) {}, []string{"train good>bad", "holdout yes>no"},
			map[string]float64{tie: 1, single: 1, duplicate: 1, chat.NoAnswer: 1}, 1.25},
		"all": {func(c *Config) { c.Pairs = all }, []string{"train good>bad", "train good>fair", "train fair>bad", "holdout yes>no"},
			map[string]float64{tie: 1, single: 1, duplicate: 1, chat.NoAnswer: 1}, 4.5 / 4},
		"the widest two": {func(c *Config) { c.Pairs, c.MaxPairs = all, ptr(2) }, []string{"train good>bad", "train good>fair", "holdout yes>no"},
			map[string]float64{tie: 1, single: 1, duplicate: 1, chat.NoAnswer: 1, more: 1}, 3.5 / 3},
		"a margin": {func(c *Config) { c.Pairs, c.MinMargin = all, 1.5 }, []string{"train good>bad"},
			map[string]float64{tie: 1, single: 1, duplicate: 1, chat.NoAnswer: 1, narrow: 3}, 2},
		"two sources": {func(c *Config) {
			c.Answers = append(c.Answers, Answers{"b", source(t, []corpus.Document{answered(2, "other", 7), answered(3, "maybe", 0.1), answered(3, "yes", 9)}, nil)})
			c.Across = true
		}, []string{"train other>alone", "holdout yes>maybe"}, map[string]float64{single: 2, duplicate: 2, chat.NoAnswer: 1}, 1.2},
		"a rule": {func(c *Config) { c.Rules = []reward.Rule{{Name: "length", Weight: -2, Matches: ptr("^...?$")}} },
			[]string{"train good>bad"}, map[string]float64{tie: 2, single: 1, duplicate: 1, chat.NoAnswer: 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			config := recipe(t)
			c.change(config)
			got, values := outcome(t, config)
			if !slices.Equal(got, c.want) {
				t.Errorf("pairs %q, want %q", got, c.want)
			}
			dropped := map[string]float64{}
			for reason, n := range values["dropped"].(map[string]any) {
				if n.(float64) > 0 {
					dropped[reason] = n.(float64)
				}
			}
			if !maps.Equal(dropped, c.dropped) {
				t.Errorf("dropped %v, want %v", dropped, c.dropped)
			}
			if m := values["margin"].(float64); math.Abs(m-c.margin) > 1e-12 {
				t.Errorf("mean margin %v, want %v", m, c.margin)
			}
		})
	}
}

// TestExact: an answer is compared with the one that its own record names, or else with one that a dataset has to the same
// prompt, which is right by itself.
func TestExact(t *testing.T) {
	lone := func(i int, text string) corpus.Document { // sampled to a prompt without an answer
		d := answered(i, text, math.NaN())
		d.Reference = ""
		return d
	}
	right := func(i int) string { _, text := traintest.Question(i); return text }
	own := func(i int) corpus.Document { return corpus.Document{Messages: answered(i, right(i), 0).Messages} }
	c := recipe(t)
	c.Rules = []reward.Rule{{Name: "right", Weight: 1, Exact: true}}
	c.Answers = []Answers{
		{"named", source(t, []corpus.Document{answered(0, "wrong", math.NaN()), answered(0, " "+right(0), math.NaN())}, nil)},
		{"lone", source(t, []corpus.Document{lone(1, "wrong"), lone(2, right(2)), lone(2, "wrong")}, nil)},
		{"own", traintest.DocumentSet(t, []corpus.Document{own(1), own(2)}, nil)},
	}
	got, values := outcome(t, c)
	var want []string
	for i := range 3 {
		space := map[bool]string{true: " "}[i == 0]
		want = append(want, "train "+space+right(i)+">wrong")
	}
	if !slices.Equal(got, want) {
		t.Errorf("pairs %q, want %q", got, want)
	}
	if n := values["dropped"].(map[string]any)[duplicate]; n != 1.0 {
		t.Errorf("%v duplicates, want the sampled answer that the dataset has too", n)
	}
}

// TestReport: the columns for other tools, the figure and the shares of the sources are there.
func TestReport(t *testing.T) {
	c := recipe(t)
	c.Answers = append(c.Answers, Answers{"b", source(t, []corpus.Document{answered(1, "three", 4), answered(2, "other", 4)}, nil)})
	files, l, _ := traintest.Whole(t, &Type, c)
	for _, want := range []string{"margin", "chosen_score", "rejected_source"} {
		if !strings.Contains(files["data/train-00000.parquet"], want) {
			t.Errorf("no column %s", want)
		}
	}
	if got := l.Values()["chosen"].(map[string]any); got["a"] != 0.75 || got["b"] != 0.25 {
		t.Errorf("shares %v", got)
	}
	for _, want := range []string{"better answer of b | 25.0 %", "4 of 4 have a pair", "![margins](margins.svg)"} {
		if !strings.Contains(files["report/summary.md"], want) {
			t.Errorf("the summary lacks %q:\n%s", want, files["report/summary.md"])
		}
	}
	if n := strings.Count(files["report/samples.jsonl"], "\n"); n != 8 {
		t.Errorf("%d samples of 4 pairs", n)
	}
}

// judging is a block on n questions whose two answers a reward model scores.
func judging(t *testing.T, n int) *Config {
	c := recipe(t)
	tokenizer := traintest.Tokenizer(t)
	var docs []corpus.Document
	for i := range n {
		_, right := traintest.Question(i)
		_, wrong := traintest.Question(i + 9)
		docs = append(docs, answered(i, right, math.NaN()), answered(i, wrong, math.NaN()))
	}
	c.Answers[0].Data = source(t, docs, nil)
	c.Reward = traintest.ScoreModel(t, traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())), 0.1)
	return c
}

// TestPitfall01Resume: stopped wherever it is, the bytes are those of a run without a break.
func TestPitfall01Resume(t *testing.T) {
	c := judging(t, 64)
	want, _, _ := traintest.Whole(t, &Type, c)
	dir := t.TempDir()
	if _, err := traintest.Attempt(t, traintest.Countdown(133), &Type, c, dir, nil); err == nil {
		t.Fatal("the step ended before it could be stopped")
	}
	l, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, dir), want)
	if !strings.Contains(l.Texts(steps.EventLog), "resuming after 64 answers") {
		t.Error("it started anew")
	}
}

// TestPitfall07Score: the reward model's score of an answer that is text is that of the dialogue as it was trained to
// read it, and reward_model and dpo read the pairs.
func TestPitfall07Score(t *testing.T) {
	c := judging(t, 3)
	long := answered(0, strings.Repeat("The cold river warms the wren. ", 30), math.NaN())
	c.Answers = append(c.Answers, Answers{"long", source(t, []corpus.Document{long, answered(1, "<|eot_id|>", math.NaN())}, nil)})
	_, l, dir := traintest.Whole(t, &Type, c)
	if d := l.Values()["dropped"].(map[string]any); d[chat.TooLong] != 1.0 || d[chat.ControlTokens] != 1.0 {
		t.Errorf("dropped %v", d)
	}
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	base, err := finetune.Open(rt, c.Reward, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	data := steps.Artifact{Kind: "dataset", Path: dir + "/out/data"}
	split, err := base.Pairs(t.Context(), rt, data, corpus.Train)
	if err != nil || len(split.Examples) != 3 {
		t.Fatalf("%d pairs can be trained on: %v", len(split.Examples), err)
	}
	dev, err := rt.Device()
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.LoadScore(dev, c.Reward.Path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Inference(400); err != nil {
		t.Fatal(err)
	}
	stream := finetune.Pack(finetune.Last(split.Examples), []int{0, 1, 2}, 400)[0].Stream
	all, err := finetune.LogProbs(m, &stream)
	if err != nil {
		t.Fatal(err)
	}
	var scores []float64
	for _, end := range stream.Starts[1:] {
		scores = append(scores, all[end-1])
	}
	mean := 0.0
	for i := 0; i < len(scores); i += 2 {
		if scores[i] < scores[i+1] {
			t.Errorf("pair %d has the scores %v and %v", i/2, scores[i], scores[i+1])
		}
		mean += (scores[i] - scores[i+1]) / 3
	}
	if got := l.Values()["margin"].(float64); math.Abs(got-mean) > 1e-5 || got <= 0 {
		t.Errorf("mean margin %v, the dialogues give %v", got, mean)
	}
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"no score": {func(c *Config) {
			c.Answers[0].Data = source(t, []corpus.Document{answered(0, "x", math.NaN())}, nil)
		}, "answers[0].data: record 1 of the split train: it has no score"},
		"NaN": {func(c *Config) {
			d := answered(0, "x", 0)
			d.Score = ptr(math.NaN())
			c.Answers[0].Data = source(t, nil, []corpus.Document{d})
		}, "answers[0].data: record 1 of the split holdout: its score is NaN"},
		"a reward that is NaN": {func(c *Config) {
			c.Rules = []reward.Rule{{Name: "p", Weight: 1, Program: []string{"awk", `{print "nan"}`}}}
		}, "rule[0]: the reward of an answer is NaN"},
		"nothing to be exact about": {func(c *Config) {
			d := answered(0, "x", math.NaN())
			d.Reference = ""
			c.Answers[0].Data = source(t, []corpus.Document{answered(1, "y", math.NaN()), d}, nil)
			c.Rules = []reward.Rule{{Name: "m", Matches: ptr("x"), Weight: 1}, {Name: "e", Exact: true, Weight: 1}}
		}, "rule[1].exact: exact compares with the answer of a dataset, and nothing here has one to the prompt \""},
		"plain texts":        {func(c *Config) { c.Answers[0].Data = traintest.Dataset(t, []string{"x"}, nil) }, "answers[0].data: the dataset has the columns of a text"},
		"one name twice":     {func(c *Config) { c.Answers = append(c.Answers, c.Answers[0]) }, "answers[1]: there are two answers blocks \"a\""},
		"across one":         {func(c *Config) { c.Across = true }, "across: pairs across sources need two"},
		"max_pairs":          {func(c *Config) { c.MaxPairs = ptr(2) }, "max_pairs: the best with the worst is one pair"},
		"context":            {func(c *Config) { c.Context = ptr(20) }, "context: only a reward model"},
		"no pair":            {func(c *Config) { c.MinMargin = 9 }, "answers[0].data: none of the 4 prompts has a pair: 1 duplicate, 2 margin, 1 no_answer, 1 single, 1 tie"},
		"a language model":   {func(c *Config) { c.Reward = traintest.Model(t, traintest.Tokenizer(t), traintest.Config(320)) }, "reward: it is a language model"},
		"without a template": {func(c *Config) { c.Reward = traintest.Model(t, nil, traintest.Config(320)) }, "reward: the model's tokenizer"},
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
