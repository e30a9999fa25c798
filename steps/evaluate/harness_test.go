package evaluate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/train/traintest"
)

var folderFlag = flag.String("folder", "", "write the model of TestHarness here, for testdata/make_harness.py")

// harnessModel is a model whose answers are far from even: its initial weights are large.
func harnessModel(t *testing.T) steps.Artifact {
	t.Helper()
	c := traintest.Config(320)
	c.InitializerRange = 0.4
	return traintest.Model(t, traintest.Tokenizer(t), c)
}

// A harness is testdata/harness.json.
type harness struct {
	Choices []json.RawMessage
	Words   []json.RawMessage
	Harness map[string]struct {
		Figures map[string]float64
		Logp    [][]float64 // of each request
	}
}

func lines[T any](t *testing.T, dir, name string, items []T) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, it := range items {
		if err := e.Encode(it); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHarness compares every log-likelihood and every figure with those of lm-evaluation-harness.
func TestHarness(t *testing.T) {
	model := harnessModel(t)
	if *folderFlag != "" {
		if err := os.CopyFS(*folderFlag, os.DirFS(model.Path)); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := readHarness(t)
	in := t.TempDir()
	dir, events, err := attempt(t, context.Background(), &Config{
		Model:     model,
		Choices:   []Choice{{Name: "choices", File: lines(t, in, "c.jsonl", want.Choices), Delimiter: " "}},
		LastWords: []LastWord{{Name: "words", File: lines(t, in, "w.jsonl", want.Words)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-4*max(1, math.Abs(want)) {
			t.Errorf("%s: %.6f, the harness has %.6f", what, got, want)
		}
	}
	choices, words := want.Harness["choices"], want.Harness["words"]
	near("acc", figures(t, events, "accuracy")["choices"], choices.Figures["acc"])
	near("acc_norm", figures(t, events, "accuracy_norm")["choices"], choices.Figures["acc_norm"])
	near("acc of words", figures(t, events, "accuracy")["words"], words.Figures["acc"])
	near("perplexity", figures(t, events, "perplexity")["words"], words.Figures["perplexity"])

	outcomes := readOutcomes(t, dir)
	for i, name := range []string{"acc_stderr", "acc_norm_stderr"} {
		near(name, outcomes[0].Measures[i].StdErr, choices.Figures[name])
	}
	near("acc_stderr of words", outcomes[0].Measures[2].StdErr, words.Figures["acc_stderr"])

	right := 0
	for i, it := range readItemLines(t, dir) {
		for j, logp := range it.Logp {
			expected := words.Logp
			n := i - len(want.Choices)
			if n < 0 {
				expected, n = choices.Logp, i
			}
			near(it.Query, logp, expected[n][j])
		}
		if it.Task == "words" && *it.Right {
			right++
		}
	}
	if right == 0 || right == len(want.Words) {
		t.Errorf("%d of %d words are right: the test sees too little", right, len(want.Words))
	}
}

func readHarness(t *testing.T) harness {
	t.Helper()
	var h harness
	data, err := os.ReadFile(filepath.Join("testdata", "harness.json"))
	if err := errors.Join(err, json.Unmarshal(data, &h)); err != nil {
		t.Fatal(err)
	}
	return h
}

func readOutcomes(t *testing.T, dir string) []outcome {
	t.Helper()
	var outcomes []outcome
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err := errors.Join(err, json.Unmarshal(data, &outcomes)); err != nil {
		t.Fatal(err)
	}
	return outcomes
}

func readItemLines(t *testing.T, dir string) []item {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "items.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var items []item
	for scan := bufio.NewScanner(f); scan.Scan(); {
		var it item
		if err := json.Unmarshal(scan.Bytes(), &it); err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	return items
}

// TestGenerate: what a model writes by itself is the right answer, and with what does not count taken away as well.
func TestGenerate(t *testing.T) {
	model := harnessModel(t)
	g := Generation{Name: "g", Tokens: 6, Until: []string{}}
	type line struct {
		Query   string   `json:"query"`
		Answers []string `json:"answers"`
	}
	queries := []string{"The old wren", "", "the long river.\nThe"}
	texts := func(g Generation, answers func(i int) []string) ([]item, float64) {
		var all []line
		for i, q := range queries {
			all = append(all, line{q, answers(i)})
		}
		g.File = lines(t, t.TempDir(), "g.jsonl", all)
		dir, events, err := attempt(t, context.Background(), &Config{Model: model, Generations: []Generation{g}})
		if err != nil {
			t.Fatal(err)
		}
		return readItemLines(t, dir), figures(t, events, "accuracy")["g"]
	}
	wrote, none := texts(g, func(int) []string { return []string{"nothing of the kind"} })
	if none != 0 || len(wrote) != 3 {
		t.Fatalf("%g right of %+v", none, wrote)
	}
	if items, all := texts(g, func(i int) []string { return []string{"x", " " + wrote[i].Text + "\n"} }); all != 1 || !*items[0].Right {
		t.Errorf("%g right with the model's own answers: %+v", all, items)
	}
	if _, some := texts(g, func(i int) []string { return []string{[]string{wrote[0].Text, "x", "x"}[i]} }); math.Abs(some-1./3) > 1e-12 {
		t.Errorf("%g right with one answer of three", some)
	}
}

func TestRightAnswers(t *testing.T) {
	number := `#### (-?[0-9]+)`
	plain := `[0-9]+`
	for _, c := range []struct {
		g      Generation
		text   string
		answer string
		want   bool
	}{
		{Generation{}, " blue\n", "blue", true},
		{Generation{}, "Blue", "blue", false},
		{Generation{IgnoreCase: true}, "BLUE", "Blue", true},
		{Generation{IgnorePunctuation: true}, "it's: blue.", "its blue", true},
		{Generation{Extract: &number}, "1 and 2 are #### 3 or #### -4", "-4", true},
		{Generation{Extract: &number}, "the answer is 4", "4", false},
		{Generation{Extract: &plain}, "6 and 7", "7", true},
		{Generation{Until: []string{"\n", "Q:"}}, "7 Q: 8\n9", "7", true},
		{Generation{Until: []string{"\n", "Q:"}}, "7\n Q: 8", "7", true},
	} {
		if got := c.g.right(c.g.cut(c.text), []string{"other", c.answer}); got != c.want {
			t.Errorf("%+v: %q for %q is right: %v", c.g, c.text, c.answer, got)
		}
	}
}

// TestSideBySide: the same model twice differs by nothing, another by what its own figures say.
func TestSideBySide(t *testing.T) {
	in := t.TempDir()
	tokenizer := traintest.Tokenizer(t)
	small := traintest.Config(320)
	small.NumHiddenLayers = 1
	c := &Config{
		Model:    harnessModel(t),
		Others:   []Other{{Name: "same", Model: harnessModel(t)}, {Name: "small", Model: traintest.Model(t, tokenizer, small)}},
		Datasets: []Dataset{{Name: "set", Data: traintest.Dataset(t, nil, traintest.Texts(9, 2)), Split: "holdout"}},
		Choices: []Choice{{Name: "ends", Delimiter: " ", File: lines(t, in, "c.jsonl", []map[string]any{
			{"query": "The old wren sees the long", "choices": []string{"river", "house", "night"}, "gold": 1},
			{"query": "The crow feeds the", "choices": []string{"stone", "cold night"}, "gold": 0},
		})}},
	}
	files, l, _ := traintest.Whole(t, &Type, c)
	var outcomes []outcome
	if err := json.Unmarshal([]byte(files["report/results.json"]), &outcomes); err != nil || len(outcomes) != 3 {
		t.Fatalf("%v: %s", err, files["report/results.json"])
	}
	for i, m := range outcomes[0].Measures {
		same, other := outcomes[1].Measures[i], outcomes[2].Measures[i]
		if m.Difference != nil || same.figure != m.figure || *same.Difference != (figure{}) {
			t.Errorf("%s: %+v and %+v", m.Metric, m, same)
		}
		if d := other.Difference; math.Abs(d.Value-(other.Value-m.Value)) > 1e-12 || d.Low > d.Value || d.High < d.Value {
			t.Errorf("%s: %g and %g differ by %+v", m.Metric, m.Value, other.Value, d)
		}
	}
	bits := l.Last().Values["bits_per_byte"].(map[string]any)
	if len(bits) != 3 || bits["set"] != bits["same/set"] || bits["set"] == bits["small/set"] {
		t.Errorf("%v", bits)
	}
	for _, end := range []func(*testing.T, string, func(steps.Event) bool){
		func(t *testing.T, dir string, at func(steps.Event) bool) { traintest.Stopped(t, &Type, c, dir, at) },
		func(t *testing.T, dir string, at func(steps.Event) bool) { traintest.Killed(t, &Type, c, dir, at) },
	} {
		dir := t.TempDir()
		end(t, dir, func(e steps.Event) bool { return e.Kind == steps.EventLog && strings.HasPrefix(e.Message, "same/ends") })
		if _, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil); err != nil {
			t.Fatal(err)
		}
		traintest.Same(t, traintest.Outputs(t, dir), files)
	}
	if _, ok := l.Last().Values["accuracy"].(map[string]any)["small/ends"]; !ok || len(outcomes[2].Texts) != 1 {
		t.Errorf("%v", l.Last().Values)
	}
}

func TestBadTasks(t *testing.T) {
	model := harnessModel(t)
	for _, c := range []struct {
		name, line, path string
	}{
		{"no JSON", `{"query"`, "multiple_choice[0].file"},
		{"two values", `{"query": "a", "choices": ["a", "b"], "gold": 1} {}`, "multiple_choice[0].file"},
		{"no query", `{"choices": ["a", "b"], "gold": 1}`, "multiple_choice[0].file"},
		{"one choice", `{"query": "a", "choices": ["a"], "gold": 0}`, "multiple_choice[0].file"},
		{"no gold", `{"query": "a", "choices": ["a", "b"]}`, "multiple_choice[0].file"},
		{"gold beyond", `{"query": "a", "choices": ["a", "b"], "gold": 2}`, "multiple_choice[0].file"},
		{"an empty choice", `{"query": "a", "choices": ["a", ""], "gold": 0}`, "multiple_choice[0].file"},
		{"a choice beyond the context", `{"query": "a", "choices": ["a", "` + string(bytes.Repeat([]byte("xq "), 200)) + `"], "gold": 0}`, "multiple_choice[0].file"},
		{"no continuation", `{"context": "word"}`, "last_word[0].file"},
		{"one word", `{"text": "word"}`, "last_word[0].file"},
		{"no answers", `{"query": "a"}`, "generate[0].file"},
		{"nothing", ``, "generate[0].file"},
		{"too many tokens", `{"query": "a", "answers": ["b"]}`, "generate[0].tokens"},
	} {
		path := filepath.Join(t.TempDir(), "x.jsonl")
		if err := os.WriteFile(path, []byte("\n"+c.line+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		config := &Config{Model: model}
		switch c.path {
		case "multiple_choice[0].file":
			config.Choices = []Choice{{Name: "x", File: path, Delimiter: " "}}
		case "last_word[0].file":
			config.LastWords = []LastWord{{Name: "x", File: path}}
		case "generate[0].file":
			config.Generations = []Generation{{Name: "x", File: path, Tokens: 3}}
		case "generate[0].tokens":
			config.Generations = []Generation{{Name: "x", File: path, Tokens: 128}}
		}
		_, events, err := attempt(t, context.Background(), config)
		if last := events[len(events)-1]; err == nil || last.Kind != steps.EventFailed || last.Path != c.path {
			t.Errorf("%s: %v: %+v", c.name, err, last)
		}
	}
}

// TestChoicesBeyondTheContext: an item that a model cannot read whole counts as wrong, and the others count.
func TestChoicesBeyondTheContext(t *testing.T) {
	long := strings.Repeat("xq ", 200)
	path := lines(t, t.TempDir(), "c.jsonl", []map[string]any{
		{"query": "The crow feeds the", "choices": []string{"stone", long}, "gold": 0},
		{"query": "The old wren sees the", "choices": []string{"night", "night"}, "gold": 0},
		{"query": long, "choices": []string{"river", "river"}, "gold": 1},
	})
	config := &Config{
		Model: harnessModel(t), Others: []Other{{Name: "same", Model: harnessModel(t)}},
		Choices: []Choice{{Name: "x", File: path, Delimiter: " "}},
	}
	_, events, err := attempt(t, context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	accuracy := figures(t, events, "accuracy")
	if math.Abs(accuracy["x"]-1./3) > 1e-12 || accuracy["same/x"] != accuracy["x"] {
		t.Errorf("%v", accuracy)
	}
	var warned []string
	for _, e := range events {
		if e.Kind == steps.EventWarn {
			warned = append(warned, e.Message)
		}
	}
	if len(warned) != 2 || !strings.HasPrefix(warned[0], "x: 1 of 3 items have a choice longer than the context") || !strings.Contains(warned[1], "x: 2 queries are longer") {
		t.Errorf("%q", warned)
	}
}

func TestFilesAndNames(t *testing.T) {
	dir := t.TempDir()
	path := lines(t, dir, "a.jsonl", []int{1})
	bad := "("
	check := func(c Config, fn func(*steps.Spec) error) string {
		t.Helper()
		config, err := json.Marshal(&c)
		if err != nil {
			t.Fatal(err)
		}
		return blamed(fn(&steps.Spec{Config: config, Dir: dir}))
	}
	readFiles := func(s *steps.Spec) error { _, err := Type.Files(s); return err }
	for _, c := range []struct {
		name string
		c    Config
		fn   func(*steps.Spec) error
		path string
	}{
		{"a file", Config{Choices: []Choice{{Name: "a", File: "a.jsonl"}}}, readFiles, ""},
		{"no file", Config{LastWords: []LastWord{{Name: "a", File: path}, {Name: "b", File: "b.jsonl"}}}, readFiles, "last_word[1].file"},
		{"a folder", Config{Generations: []Generation{{Name: "a", File: "."}}}, readFiles, "generate[0].file"},
		{"two tasks of a name", Config{Choices: []Choice{{Name: "a"}}, Generations: []Generation{{Name: "a"}}}, Type.Check, "generate[0]"},
		{"two models of a name", Config{Choices: []Choice{{Name: "a"}}, Others: []Other{{Name: "x"}, {Name: "x"}}}, Type.Check, "compare[1]"},
		{"a model called model", Config{Name: "model", Choices: []Choice{{Name: "a"}}, Others: []Other{{Name: "model"}}}, Type.Check, "compare[0]"},
		{"no expression", Config{Generations: []Generation{{Name: "a", Extract: &bad}}}, Type.Check, "generate[0].extract"},
	} {
		if got := check(c.c, c.fn); got != c.path {
			t.Errorf("%s: the blame is on %q, want %q", c.name, got, c.path)
		}
	}
	// The program xz is read as well, if there is one: without it there is another table.
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	with := &steps.Spec{Config: []byte(`{"baselines": ["gzip", "xz"]}`), Dir: dir}
	if list, err := Type.Files(with); err != nil || len(list) != 0 {
		t.Errorf("without xz: %q, %v", list, err)
	}
	program := filepath.Join(bin, "xz")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	if list, err := Type.Files(with); err != nil || len(list) != 1 || list[0] != program {
		t.Errorf("with xz: %q, %v", list, err)
	}
	if list, err := Type.Files(&steps.Spec{Config: []byte(`{"baselines": ["gzip"]}`), Dir: dir}); err != nil || len(list) != 0 {
		t.Errorf("not asked for: %q, %v", list, err)
	}
}

// TestContinuations: a text and its last word are a context and its continuation, packed or not.
func TestContinuations(t *testing.T) {
	dir := t.TempDir()
	text := lines(t, dir, "text.jsonl", []map[string]string{{"text": "The crow feeds the stone\n"}, {"text": "The old wren"}})
	plain := lines(t, dir, "plain.jsonl", []map[string]string{{"context": "The crow feeds the", "continuation": "stone"}, {"context": "The old", "continuation": "wren"}})
	data, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	packed := filepath.Join(dir, "packed.jsonl.gz")
	if err := os.WriteFile(packed, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	_, events, err := attempt(t, context.Background(), &Config{Model: harnessModel(t), LastWords: []LastWord{
		{Name: "text", File: text}, {Name: "plain", File: plain, Delimiter: " "}, {Name: "packed", File: packed, Delimiter: " "},
		{Name: "joined", File: plain}, {Name: "one", File: packed, Delimiter: " ", Limit: ptr(1)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p := figures(t, events, "perplexity")
	if p["text"] != p["plain"] || p["text"] != p["packed"] || p["text"] == p["joined"] || p["one"] == p["text"] {
		t.Errorf("%v", p)
	}
}
