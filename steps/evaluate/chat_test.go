package evaluate

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train/traintest"
)

// chatConfig sets three models beside each other: "same" is the first again, "other" has other weights.
func chatConfig(t *testing.T) *Config {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	shape := traintest.Config(tokenizer.VocabSize())
	first, other := traintest.Model(t, tokenizer, shape), shape
	other.InitializerRange = 0.2
	return &Config{
		Model: first, Name: "first",
		Others: []Other{{Name: "other", Model: traintest.Model(t, tokenizer, other)}, {Name: "same", Model: first, Against: ptr("other")}},
		Chats: []Chat{{
			Name: "talk", Data: traintest.DocumentSet(t, nil, traintest.Documents(0, 70, traintest.Preference)), Split: "holdout",
			Sampling: Sampling{Tokens: 12, Temperature: 1, TopP: 1}, Reference: first, Repeats: 2, Show: 3,
			Config: reward.Config{Reward: traintest.ScoreModel(t, first, 0.25), RewardWeight: 2, Rules: []reward.Rule{
				{Name: "w", Weight: 1, Matches: ptr("w")}, {Name: "lines", Weight: 0, Program: []string{"awk", "{print NR}"}},
			}},
		}},
	}
}

func TestChat(t *testing.T) {
	c := chatConfig(t)
	dir, events, err := attempt(t, context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	values, low, high := figures(t, events, "chat"), figures(t, events, "difference_low"), figures(t, events, "difference_high")
	if len(values) != 3*8 {
		t.Errorf("figures %v", values)
	}
	for name, v := range values { // the first model twice
		if rest, ok := strings.CutPrefix(name, "same/"); ok && v != values[rest] {
			t.Errorf("%s is %v, of the same model %v", name, v, values[rest])
		}
	}
	if values["talk/lines"] != 35.5 || low["other/talk/lines"] != 0 || high["other/talk/lines"] != 0 {
		t.Errorf("a program's points: %v, difference %v to %v", values["talk/lines"], low["other/talk/lines"], high["other/talk/lines"])
	}
	if v := values["talk/score"]; math.Abs(v-2*values["talk/reward_model"]-values["talk/w"]) > 1e-9 {
		t.Errorf("the score %v is not the sum of reward %v and points %v", v, values["talk/reward_model"], values["talk/w"])
	}
	if v := values["talk/kl"]; math.Abs(v) > 1e-4 {
		t.Errorf("a model is %v nats from itself", v)
	}
	if v := values["other/talk/kl"]; v < 0.1 {
		t.Errorf("another model is %v nats from the reference", v)
	}
	difference, wins := figures(t, events, "difference"), figures(t, events, "win_rate")
	for _, name := range []string{"talk/w", "talk/kl", "talk/length"} {
		if other, same := difference["other/"+name], difference["same/"+name]; other != -same || math.Abs(other-values["other/"+name]+values[name]) > 1e-9 {
			t.Errorf("%s: other differs from first by %v, first from other by %v", name, other, same)
		}
	}
	if other, same := wins["other/talk/reward_model"], wins["same/talk/reward_model"]; other+same != 1 || other == 0.5 || wins["other/talk/lines"] != 0.5 {
		t.Errorf("win rates %v", wins)
	}
	checkChatReport(t, dir, values)
}

// checkChatReport compares the report with the outputs.
func checkChatReport(t *testing.T, dir string, values map[string]float64) {
	t.Helper()
	summary, err := os.ReadFile(filepath.Join(dir, "summary.md"))
	if err != nil {
		t.Fatal(err)
	}
	question, reference := traintest.Question(0)
	for _, want := range []string{"same − other", "| same over other | equal |", "| 50 % |", "(reward_talk.svg)", "> " + question, cell(reference)} {
		if !strings.Contains(string(summary), want) {
			t.Errorf("the summary has no %q:\n%s", want, summary)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "reward_talk.svg")); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "items.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	ended, repeated, items := 0.0, 0.0, 0
	for d := json.NewDecoder(strings.NewReader(string(data))); d.More(); {
		var it item
		if err := d.Decode(&it); err != nil {
			t.Fatal(err)
		}
		if items++; it.Model == "first" {
			ended += one(*it.Ended) / 70
			repeated += one(repeats(it.Text, 2)) / 70
		}
	}
	if items != 210 || math.Abs(ended-values["talk/ended"]) > 1e-9 || math.Abs(repeated-values["talk/repeated"]) > 1e-9 {
		t.Errorf("%d items; %v ended, %v repeated; the figures say %v and %v", items, ended, repeated, values["talk/ended"], values["talk/repeated"])
	}
}

// The divergence that is reported is the mean of its definition: what both models say of each token drawn.
func TestDivergence(t *testing.T) {
	c := chatConfig(t)
	c.Chats[0].Config, c.Chats[0].Sampling.Temperature = reward.Config{}, 0.7
	c.Model, c.Others = c.Others[0].Model, nil
	_, events, err := attempt(t, context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Device: "cpu", Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	e := &evaluation{rt: rt, config: c, dir: c.Model.Path, at: "model", outcome: outcome{Model: "first"}}
	rt.Spec().Seed = 7
	if err := e.open(); err != nil {
		t.Fatal(err)
	}
	defer e.model.Close()
	if err := e.converse(context.Background(), "chat[0]", &c.Chats[0]); err != nil {
		t.Fatal(err)
	}
	answers, want := e.Chats[0].answers, 0.0
	for _, a := range answers {
		own, reference := logProb(t, c.Model.Path, a, 0.7), logProb(t, c.Chats[0].Reference.Path, a, 0.7)
		want += (own - reference) / float64(len(answers))
	}
	if got := figures(t, events, "chat")["talk/kl"]; math.Abs(got-want) > 1e-3*math.Abs(want) {
		t.Errorf("%v nats per answer, want %v", got, want)
	}
}

// logProb is what a model gives an answer in full, one answer at a time.
func logProb(t *testing.T, dir string, a answer, temperature float64) float64 {
	t.Helper()
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Device: "cpu", Threads: 1}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	dev, err := rt.Device()
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(dev, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ids := slices.Concat(a.prompt.IDs, a.IDs)
	if err := m.Inference(len(ids)); err != nil {
		t.Fatal(err)
	}
	read := finetune.Pack([]finetune.Example{{Segments: []finetune.Segment{{IDs: ids, Targets: make([]int32, len(ids))}}}}, []int{0}, len(ids))
	if err := m.Forward(&read[0].Stream); err != nil {
		t.Fatal(err)
	}
	sum, logits := 0.0, make([]float32, m.Config.VocabSize)
	for i, id := range a.IDs {
		if err := m.Logits(logits, len(a.prompt.IDs)-1+i); err != nil {
			t.Fatal(err)
		}
		total := 0.0
		for _, l := range logits {
			total += math.Exp(float64(l) / temperature)
		}
		sum += float64(logits[id])/temperature - math.Log(total)
	}
	return sum
}

func TestRepeats(t *testing.T) {
	for text, want := range map[string]bool{
		"a b c d a b c d": true, "a b c d a b c": false, "a a a a": false, "a a a a a": true, "": false, "a b c\nd x a b  c d": true,
		"ab c d e a bc d e": false,
	} {
		if repeats(text, 4) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

// TestPitfall06Chat: the questions of evaluate have one BOS and are laid out as the chat template says.
func TestPitfall06Chat(t *testing.T) {
	c := chatConfig(t)
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 1}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	base, err := finetune.Open(rt, c.Model, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &evaluation{rt: rt, config: c}
	prompts, err := e.prompts(context.Background(), "chat[0]", &c.Chats[0], base)
	if err != nil {
		t.Fatal(err)
	}
	bos, _ := base.Tokenizer.BOS()
	for i, p := range prompts {
		question, _ := traintest.Question(i)
		want, err := base.Format.Prompt([]chat.Message{{Role: chat.User, Content: question}})
		if err != nil || !slices.Equal(p.IDs, want) || p.IDs[0] != bos || slices.Contains(p.IDs[1:], bos) {
			t.Fatalf("%v: %v, want %v", err, p.IDs, want)
		}
	}
}

func TestChatErrors(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	for _, tc := range []struct {
		name   string
		change func(c *Config)
		path   string
		want   string
	}{
		{"nothing to ask", func(c *Config) {
			c.Chats[0].Data = traintest.DocumentSet(t, traintest.Documents(0, 3, traintest.Ask), nil)
		}, "chat[0].data", "no documents in its holdout split"},
		{"texts", func(c *Config) { c.Chats[0].Data = traintest.Dataset(t, nil, traintest.Texts(2, 1)) }, "chat[0].data", "plain texts"},
		{"no room", func(c *Config) { c.Chats[0].Sampling.Tokens = 127 }, "chat[0].data", "leaves no room"},
		{"a judge that scores nothing", func(c *Config) { c.Chats[0].Reward = c.Model }, "chat[0].reward", "which gives no scores"},
		{"a model without a template", func(c *Config) {
			c.Others[0].Model = traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
			path := filepath.Join(c.Others[0].Model.Path, "tokenizer_config.json")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), "chat_template", "no_template")), 0o666); err != nil {
				t.Fatal(err)
			}
		}, "compare[0].model", "no chat template"},
		{"a reference with a head for scores", func(c *Config) { c.Chats[0].Reference = c.Chats[0].Reward }, "chat[0].reference", "reward model"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := chatConfig(t)
			tc.change(c)
			_, _, err := attempt(t, context.Background(), c)
			if blamed(err) != tc.path || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q at %q", err, tc.want, tc.path)
			}
		})
	}
}

func TestChatCheck(t *testing.T) {
	model := steps.Artifact{Kind: "model", Digest: "m"}
	whole := Sampling{Temperature: 1, TopP: 1}
	for name, tc := range map[string]struct {
		c    Config
		path string
	}{
		"chat alone":         {Config{Chats: []Chat{{Name: "a", Sampling: whole, Reference: model}}}, ""},
		"two of a name":      {Config{Chats: []Chat{{Name: "a"}, {Name: "a"}}}, "chat[1]"},
		"a rule of two kind": {Config{Chats: []Chat{{Name: "a", Config: reward.Config{Rules: []reward.Rule{{Name: "x", Exact: true, Matches: ptr("x")}}}}}}, "chat[0].rule[0]"},
		"a taken name":       {Config{Chats: []Chat{{Name: "a", Config: reward.Config{Rules: []reward.Rule{{Name: "ended", Exact: true}}}}}}, "chat[0].rule[0]"},
		"greedy divergence":  {Config{Chats: []Chat{{Name: "a", Sampling: Sampling{TopP: 1}, Reference: model}}}, "chat[0].reference"},
		"against nobody":     {Config{Chats: []Chat{{Name: "a"}}, Others: []Other{{Name: "x", Against: ptr("y")}}}, "compare[0].against"},
		"against itself":     {Config{Chats: []Chat{{Name: "a"}}, Others: []Other{{Name: "x", Against: ptr("x")}}}, "compare[0].against"},
	} {
		tc.c.Name = "model"
		config, err := json.Marshal(tc.c)
		if err != nil {
			t.Fatal(err)
		}
		if err := Type.Check(&steps.Spec{Config: config}); blamed(err) != tc.path {
			t.Errorf("%s: %v, want blame of %q", name, err, tc.path)
		}
	}
}

// TestCell: what a model writes stays in its cell, whatever it is.
func TestCell(t *testing.T) {
	if got, want := cell("a|b\x00\x1b*c*\n<d>\t"), "a\\|b\uFFFD\uFFFD\\*c\\*<br>&lt;d>\t"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
