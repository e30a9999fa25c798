package reward

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train/traintest"
)

func ptr[T any](v T) *T { return &v }

// world is a model with its chat format, a reward model, and answers to questions: ended, and cut short.
func world(t *testing.T, template *string) (*steps.Runtime, *finetune.Base, steps.Artifact, []Answer) {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Dir: t.TempDir(), Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rt.Close() })
	base, err := finetune.Open(rt, model, template, nil)
	if err != nil {
		t.Fatal(err)
	}
	eot, _ := tokenizer.EOT()
	var answers []Answer
	for i := range 6 {
		question, text := traintest.Question(i)
		p := &finetune.Prompt{Messages: []chat.Message{{Role: chat.User, Content: question}}, Reference: text}
		if p.IDs, err = base.Format.Prompt(p.Messages); err != nil {
			t.Fatal(err)
		}
		a := Answer{Prompt: p, Answer: finetune.Answer{IDs: tokenizer.Encode(text), Text: text}}
		if i%2 == 0 {
			a.IDs, a.Ended = append(a.IDs, eot), true
		}
		answers = append(answers, a)
	}
	return rt, base, model, answers
}

func totals(t *testing.T, rt *steps.Runtime, base *finetune.Base, c Config, answers []Answer) []float64 {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	j, err := Open(rt, c, base, 120)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	scores, err := j.Score(t.Context(), answers)
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for _, s := range scores {
		out = append(out, s.Total)
	}
	return out
}

// TestPitfall07Score: an answer's score is the one that the reward model gives to the dialogue as it was trained to read
// it, whether the sampled answer ended or not, less the shift of its configuration; also where the template writes
// something behind the token that ends an answer.
func TestPitfall07Score(t *testing.T) {
	trailing := "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>' + m.content + '<|eot_id|>\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>' }}{% endif %}"
	for name, template := range map[string]*string{"llama3": nil, "trailing": &trailing} {
		t.Run(name, func(t *testing.T) { checkScores(t, template) })
	}
}

func checkScores(t *testing.T, template *string) {
	rt, base, model, answers := world(t, template)
	judge := traintest.ScoreModel(t, model, 0.25)
	got := totals(t, rt, base, Config{Reward: judge, RewardWeight: 2}, answers)
	m, err := llm.LoadScore(ref.Open(), judge.Path, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Inference(200); err != nil {
		t.Fatal(err)
	}
	for i, a := range answers {
		c, err := base.Format.Encode(append(slices.Clone(a.Prompt.Messages), chat.Message{Role: chat.Assistant, Content: a.Text}))
		if err != nil {
			t.Fatal(err)
		}
		last := finetune.Last([]finetune.Example{{Segments: []finetune.Segment{{IDs: c.IDs}}}})
		scores, err := finetune.LogProbs(m, &finetune.Pack(last, []int{0}, 200)[0].Stream)
		if err != nil {
			t.Fatal(err)
		}
		if want := 2 * (scores[len(scores)-1] - 0.25); math.Abs(got[i]-want) > 1e-4 {
			t.Errorf("answer %d has the score %v, the dialogue %v", i, got[i], want)
		}
	}
}

// TestRules: points and weighted sums.
func TestRules(t *testing.T) {
	rt, base, _, answers := world(t, nil)
	answers = answers[:3]
	answers[1].Text = " " + answers[1].Text + "\n"
	answers[2].Text = "I think: #### 7 no, #### 42"
	answers[2].Prompt.Reference = "6·7 is 42.\n#### 42"
	for name, c := range map[string]struct {
		rules []Rule
		want  []float64
	}{
		"exact":   {[]Rule{{Name: "a", Weight: 1, Exact: true}}, []float64{1, 1, 0}},
		"extract": {[]Rule{{Name: "a", Weight: 1, Exact: true, Extract: ptr(`#### (\d+)`)}}, []float64{0, 0, 1}},
		"matches": {[]Rule{{Name: "a", Weight: -2, Matches: ptr(`\d`)}}, []float64{0, 0, -2}},
		"a sum":   {[]Rule{{Name: "a", Weight: 1, Exact: true}, {Name: "b", Weight: 0.5, Matches: ptr("^I")}}, []float64{1, 1, 0.5}},
		"ended":   {[]Rule{{Name: "a", Weight: 1, Program: []string{"awk", `{print (index($0, "\"ended\":true") > 0)}`}}}, []float64{1, 0, 1}},
		"program": {[]Rule{{Name: "a", Weight: 10, Program: []string{"awk", `{if (index($0, "\"reference\"")) print NR; else print -1}`}}}, []float64{10, 20, 30}},
	} {
		if got := totals(t, rt, base, Config{Rules: c.rules}, answers); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	rt, base, model, answers := world(t, nil)
	program := func(command ...string) Config { return Config{Rules: []Rule{{Name: "p", Weight: 1, Program: command}}} }
	other := traintest.ScoreModel(t, model, 0)
	path := filepath.Join(other.Path, "tokenizer.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(data), `<|python_tag|>`, `<|python_tig|>`)), 0o666); err != nil {
		t.Fatal(err)
	}
	broken := traintest.ScoreModel(t, model, math.MaxFloat64)
	for name, c := range map[string]struct {
		config Config
		want   string
	}{
		"another tokenizer":    {Config{Reward: other, RewardWeight: 1}, "reward: it has another tokenizer"},
		"a language model":     {Config{Reward: model}, "reward: it is a language model"},
		"an infinite score":    {Config{Reward: broken, RewardWeight: 2}, "reward: the reward of an answer is -"},
		"NaN":                  {program("awk", `{print "nan"}`), "rule[0]: the reward of an answer is NaN: "},
		"too few numbers":      {program("awk", `NR > 1 {print 1}`), "printed 5 numbers for 6 answers"},
		"no number":            {program("awk", `{print "good"}`), `printed "good" where the points of an answer belong`},
		"a program that fails": {program("sh", "-c", "echo no luck >&2; exit 3"), "exit status 3; its standard error: no luck"},
		"one name twice":       {Config{Rules: []Rule{{Name: "a", Exact: true}, {Name: "a", Exact: true}}}, "rule[1]: the name \"a\" is taken"},
		"no kind":              {Config{Rules: []Rule{{Name: "a"}}}, "rule[0]: the rule \"a\" says 0 of"},
		"no group":             {Config{Rules: []Rule{{Name: "a", Exact: true, Extract: ptr("x")}}}, "rule[0].extract: \"x\" has no group"},
		"extract alone":        {Config{Rules: []Rule{{Name: "a", Matches: ptr("x"), Extract: ptr("(x)")}}}, "rule[0].extract: extract belongs to exact"},
		"an empty program":     {Config{Rules: []Rule{{Name: "a", Program: []string{}}}}, "rule[0].program: the program is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.config.Check()
			if err == nil {
				var j *Judge
				if j, err = Open(rt, c.config, base, 120); err == nil {
					defer j.Close()
					_, err = j.Score(t.Context(), answers)
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// A judge that was edited is another judge.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"judge.py", "judge/main.go", "judge/__pycache__/x.pyc", "other.txt"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(name), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.Marshal(Config{Rules: []Rule{
		{Name: "a", Program: []string{"python3", "judge.py", "-x"}}, {Name: "b", Program: []string{"go", "run", "./judge"}}, {Name: "c", Exact: true},
	}})
	if err != nil {
		t.Fatal(err)
	}
	files, err := Files(&steps.Spec{Dir: dir, Config: config})
	want := []string{filepath.Join(dir, "judge.py"), filepath.Join(dir, "judge", "main.go")}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("%v: %v, want %v", err, files, want)
	}
}
