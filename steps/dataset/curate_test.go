package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// file reads a file of the report.
func (p *produced) file(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.Dir(p.dir), "report", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// words are n different words, beginning with the from-th.
func words(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "w%d ", from+i)
	}
	return b.String()
}

func allFiles() Config {
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	return c
}

// Near-copies go, the first stays, and what is less alike stays. Two texts of 100 words that share all but the last k have
// (96-k) of 96+k runs of five words in common.
func TestNear(t *testing.T) {
	dir := put(t, map[string]string{
		"1": words(0, 100),
		"2": "W0, " + strings.TrimPrefix(words(0, 100), "w0 "), // other bytes, the same words
		"3": words(0, 98) + words(500, 2),                      // 94 of 98
		"4": words(0, 80) + words(600, 20),                     // 76 of 116
		"5": words(900, 3),
		"6": strings.ToUpper(words(900, 3)), // fewer words than a run has
		"7": words(1000, 3),
		"8": "...",
		"9": "---",
	})
	c := allFiles()
	c.Dedup = nearly(0.9)
	p, err := produce(t, dir, 2, c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{words(0, 100), words(0, 80) + words(600, 20), words(900, 3), words(1000, 3), "...", "---"}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, want) {
		t.Errorf("%d documents stay: %.60q", len(got), got)
	}
	if s := p.data.Stats(); s.Dropped[dropNear] != 3 || len(s.Dropped) != 1 || s.Records != 9 {
		t.Errorf("%+v", s)
	}
	if dropped := p.events[len(p.events)-1].Values["dropped"].(map[string]any); dropped[dropNear] != 3.0 {
		t.Errorf("the value dropped is %v", dropped)
	}
	for _, line := range []string{"**2:1**: 1.000 like 1:1, which stays", "**3:1**: 0.959 like 1:1, which stays", "| `near_duplicate` | 0.9 | 3 | 33.33 % |"} {
		if summary := p.file(t, "summary.md"); !strings.Contains(summary, line) {
			t.Errorf("no %q in\n%s", line, summary)
		}
	}
}

// A dialogue is compared by all that is said in it.
func TestNearDialogues(t *testing.T) {
	talk := func(question, answer string) string {
		return fmt.Sprintf(`{"messages":[{"role":"user","content":%q},{"role":"assistant","content":%q}]}`+"\n", question, answer)
	}
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	c.Dedup = nearly(0.8)
	p, err := produce(t, put(t, map[string]string{"a": talk("Why?", words(0, 50)) + talk("Why?", words(70, 50)) + talk("why", words(0, 51))}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"Why?|" + words(0, 50), "Why?|" + words(70, 50)}) {
		t.Errorf("%q", got)
	}
}

// Lines that stand more than so often go wherever they stand; short and blank ones stay; what is then empty or a copy goes.
func TestLines(t *testing.T) {
	const boiler = "All rights reserved by everyone"
	dir := put(t, map[string]string{
		"1": "one\n  " + boiler + "\n\n}\nend one\n",
		"2": boiler + "\ntwo\n}",
		"3": "three\n}\n" + boiler + "\t\r\nend three",
		"4": boiler + "\n\n" + boiler,
		"5": "two\n}",
		"6": "twice said line\nsix\ntwice said line\n}",
	})
	c := allFiles()
	c.Dedup = &Dedup{Exact: true, Lines: ptr(int64(4)), MinLineChars: 2, Memory: 1}
	p, err := produce(t, dir, 2, c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"one\n\n}\nend one\n", "two\n}", "three\n}\nend three", "twice said line\nsix\ntwice said line\n}"}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if s := p.data.Stats(); s.LinesRemoved != 3 || s.Dropped[dropLines] != 1 || s.Duplicates != 1 || s.Records != 6 {
		t.Errorf("%+v", s)
	}
	if summary := p.file(t, "summary.md"); !strings.Contains(summary, "| 5 | `"+boiler+"` |") {
		t.Errorf("the line is not in\n%s", summary)
	}
	c.Dedup.MinLineChars, c.Dedup.Lines = 0, ptr(int64(1))
	if p, err = produce(t, dir, 2, c); err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"one\n\nend one\n", "three\nend three", "six\n"}) {
		t.Errorf("without a shortest line: %q", got)
	}
}

// artifact is a dataset as another step's input.
func (p *produced) artifact() steps.Artifact {
	return steps.Artifact{Kind: "dataset", Path: p.dir}
}

// Documents that share thirteen words in a row with either split of an evaluation set go, and are listed.
func TestDecontaminate(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	c.Holdout = 0.5
	var quiz strings.Builder
	for i := range 20 {
		fmt.Fprintf(&quiz, "{\"text\":\"Question %d: %s\"}\n", i, words(100*i, 20))
	}
	eval, err := produce(t, put(t, map[string]string{"quiz": quiz.String()}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	held := eval.texts(t, corpus.Holdout)
	if len(held) == 0 || len(held) == 20 {
		t.Fatalf("%d of 20 are held out", len(held))
	}
	short, err := produce(t, put(t, map[string]string{"quiz": `{"prompt":"too short"}`}), 1, func() Config {
		c := newConfig()
		c.JSONL = []RecordSource{{Include: []string{"*"}}}
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	var training strings.Builder
	for i := range 20 {
		text := words(5000+100*i, 10) + strings.ToUpper(strings.ReplaceAll(words(100*i+3, 13), " ", ", ")) + words(9000, 5)
		fmt.Fprintf(&training, "{\"text\":%q}\n{\"text\":%q}\n", text, words(5000+100*i, 10)+words(100*i+3, 12)+words(9000, 5))
	}
	c = newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	c.Decontaminate = &Decontaminate{Against: []steps.Artifact{short.artifact(), eval.artifact()}, Ngram: 13, MaxFound: 1}
	p, err := produce(t, put(t, map[string]string{"train": training.String()}), 3, c)
	if err != nil {
		t.Fatal(err)
	}
	if s := p.data.Stats(); s.Dropped[dropEvaluation] != 20 || s.Kept != 20 {
		t.Errorf("%+v", s)
	}
	lines := strings.Split(strings.TrimSpace(p.file(t, "decontaminated.jsonl")), "\n")
	splits := map[string]int{}
	for i, line := range lines {
		var at struct{ Where, Set, Split, Text string }
		if err := json.Unmarshal([]byte(line), &at); err != nil {
			t.Fatal(err)
		}
		splits[at.Split]++
		if want := fmt.Sprintf("train:%d", 2*i+1); at.Where != want || at.Set != "against[1]" || len(strings.Fields(at.Text)) != 13 {
			t.Errorf("%s, want %s", line, want)
		}
	}
	if splits[corpus.Holdout] != len(held) || splits[corpus.Train] != 20-len(held) {
		t.Errorf("found in %v; %d are held out", splits, len(held))
	}
	for _, want := range []string{"1 of 1 documents of against[0] have no 13 words in a row", "20 of 40 records hold pieces"} {
		if !slices.ContainsFunc(p.events, func(e steps.Event) bool { return e.Kind == steps.EventWarn && strings.Contains(e.Message, want) }) {
			t.Errorf("no warning says %q", want)
		}
	}
	// With less allowed, so much of a set is an error.
	c.Decontaminate.MaxFound = 0.99
	_, err = produce(t, put(t, map[string]string{"train": training.String()}), 3, c)
	wantError(t, "", err, "decontaminate.against[1]", "20 of the 20 documents of this evaluation set are in the data (100 %)", "max_found = 1")
	// A document of the set is in the data: nothing else is.
	c.Decontaminate.Against = []steps.Artifact{p.artifact()}
	_, err = produce(t, put(t, map[string]string{"train": fmt.Sprintf("{\"text\":%q}", p.texts(t, corpus.Train)[3])}), 1, c)
	wantError(t, "", err, "decontaminate", "none of the 1 records is kept; decontaminate dropped 1")
}

// Documents of an evaluation set that are shorter than the runs looked for are found where they stand by themselves.
func TestDecontaminateShort(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	eval, err := produce(t, put(t, map[string]string{"quiz": `{"text":"What is the whale's name?"}` + "\n" + `{"prompt":""}` + "\n" + `{"text":"…"}`}), 1, func() Config {
		c := c
		c.MaxBad = 1
		return c
	}())
	if err != nil {
		t.Fatal(err)
	}
	c.Decontaminate = &Decontaminate{Against: []steps.Artifact{eval.artifact()}, Ngram: 13, MaxFound: 0.5}
	train := `{"text":"what is the Whale's name"}` + "\n" + `{"text":"What is the whale's name? It is said at the end."}` + "\n" + `{"text":"!"}`
	p, err := produce(t, put(t, map[string]string{"train": train}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); len(got) != 2 || got[0] != "What is the whale's name? It is said at the end." {
		t.Errorf("%q", got)
	}
}

// manyTexts are JSON lines with exact copies, near-copies and common lines.
func manyTexts(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	var texts []string
	for i := range n {
		text := fmt.Sprintf("%s\nCommon line %d\n%s", words(random.IntN(1e6), 20), i%40, words(random.IntN(1e6), 40))
		switch {
		case i%7 == 6:
			text = texts[random.IntN(len(texts))]
		case i%5 == 4:
			text = texts[random.IntN(len(texts))] + " changed"
		}
		texts = append(texts, text)
		fmt.Fprintf(&b, "{\"text\":%q}\n", text)
	}
	return b.String()
}

// The bytes of dataset and report depend neither on the number of workers nor on the memory.
func TestCurationIsDeterministic(t *testing.T) {
	dir := put(t, map[string]string{"a.jsonl": manyTexts(4000), "quiz": fmt.Sprintf("{\"text\":%q}", words(500, 500))})
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"quiz"}}}
	eval, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	c.JSONL[0].Include[0] = "*.jsonl"
	c.Holdout, c.Filter.MinChars, c.Filter.Rules = 0.1, ptr(13), []string{"fineweb"}
	c.Filter.MinPunctuatedLines = ptr(0.0)
	c.Decontaminate = &Decontaminate{Against: []steps.Artifact{eval.artifact()}, Ngram: 13}
	var first *produced
	for _, run := range []struct {
		threads int
		memory  int64
	}{{1, 256}, {2, 1}, {7, 3}} {
		c.Dedup = nearly(0.8)
		c.Dedup.Lines, c.Dedup.Memory = ptr(int64(50)), run.memory
		p, err := produce(t, dir, run.threads, c)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		}
		sameFolders(t, first.dir, p.dir)
		sameFolders(t, filepath.Join(filepath.Dir(first.dir), "report"), filepath.Join(filepath.Dir(p.dir), "report"))
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(p.dir)), "tmp", "*")); len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
	s := first.data.Stats()
	if s.Dropped[dropNear] < 200 || s.Duplicates < 200 || s.LinesRemoved < 1000 || s.Dropped[dropEvaluation] == 0 {
		t.Errorf("%+v", s)
	}
	dropped := s.Duplicates + s.BadRecords
	for _, n := range s.Dropped {
		dropped += n
	}
	if s.Records != s.Kept+dropped {
		t.Errorf("%d records, %d kept and %d dropped", s.Records, s.Kept, dropped)
	}
}

// Settings that drop nothing change no byte of the dataset, although everything is gone through twice.
func TestIdleCurationChangesNothing(t *testing.T) {
	dir := put(t, map[string]string{"a": prose, "b": "Nothing of this is there, and the rest of it is of no use to anyone who would look for it."})
	c := allFiles()
	c.Holdout = 0.5
	before, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	eval, err := produce(t, put(t, map[string]string{"e": words(0, 30)}), 1, allFiles())
	if err != nil {
		t.Fatal(err)
	}
	c.Filter.Rules, c.Filter.MinWords = []string{"gopher", "gopher_repetition", "fineweb"}, ptr(10)
	c.Dedup = nearly(0.8)
	c.Dedup.Lines = ptr(int64(6))
	c.Decontaminate = &Decontaminate{Against: []steps.Artifact{eval.artifact()}, Ngram: 13}
	after, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	sameFolders(t, before.dir, after.dir)
}

// A limit holds for what is kept in the end.
func TestLimitAfterCuration(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	c.Dedup = nearly(0.8)
	c.Limit.Documents = ptr(int64(100))
	p, err := produce(t, put(t, map[string]string{"a": manyTexts(1000)}), 2, c)
	if err != nil {
		t.Fatal(err)
	}
	s := p.data.Stats()
	if s.Kept != 100 || s.Records != 1000 || s.Records != s.Kept+s.Duplicates+s.Dropped[dropNear]+s.BeyondLimit {
		t.Errorf("%+v", s)
	}
}

func TestCurationErrors(t *testing.T) {
	dialogue := `{"messages":[{"role":"user","content":"Q"}]}`
	for _, c := range []struct {
		name, file string
		set        func(*Config)
		path       string
		want       []string
	}{
		{"too few buckets", "x", func(c *Config) { c.Dedup = nearly(0.5) }, "dedup.near", []string{"14 buckets of 8 hashes", "likeness 0.5", "0.05", "more buckets"}},
		{"lines of dialogues", dialogue, func(c *Config) {
			c.Files, c.JSONL = nil, []RecordSource{{Include: []string{"*"}}}
			c.Dedup = &Dedup{Exact: true, Lines: ptr(int64(6)), Memory: 1}
		}, "dedup.lines", []string{"these are messages documents"}},
		{"word limits against each other", "x", func(c *Config) { c.Filter.MinWords, c.Filter.MaxWords = ptr(10), ptr(5) }, "filter.min_words", []string{"10", "5"}},
		{"against a rule's", "x", func(c *Config) { c.Filter.Rules, c.Filter.MaxWords = []string{"gopher"}, ptr(40) }, "filter.min_words", []string{"min_words = 50", "max_words = 40"}},
		{"word lengths against each other", "x", func(c *Config) { c.Filter.MinMeanWordChars, c.Filter.MaxMeanWordChars = ptr(4.0), ptr(3.5) }, "filter.min_mean_word_chars", []string{"4", "3.5"}},
		{"too many stop words", "x", func(c *Config) { c.Filter.MinStopWords, c.Filter.StopWords = ptr(3), []string{"a", "b"} }, "filter.min_stop_words", []string{"3", "2"}},
		{"not a number of words", "x", func(c *Config) { c.Filter.MaxTopNgrams = map[string]float64{"two": 0.2} }, "filter.max_top_ngrams", []string{`"two" is no number of words`}},
		{"not a share", "x", func(c *Config) { c.Filter.MaxRepeatedNgrams = map[string]float64{"5": 15} }, "filter.max_repeated_ngrams", []string{"5 = 15"}},
		{"no evaluation set", "x", func(c *Config) {
			c.Decontaminate = &Decontaminate{Against: []steps.Artifact{{Kind: "dataset", Path: "/nowhere/at/all"}}, Ngram: 13}
		}, "decontaminate.against[0]", []string{"/nowhere/at/all"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := allFiles()
			c.set(&config)
			_, err := produce(t, put(t, map[string]string{"a": c.file}), 1, config)
			wantError(t, "", err, c.path, c.want...)
		})
	}
}

func TestCurationStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := newSecond(t.TempDir(), &Dedup{Lines: ptr(int64(1)), Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.add(&spooled{doc: corpus.Document{Text: "x"}}, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	m := &merger{second: s, shape: corpus.TextShape, config: &Config{Dedup: s.dedup}}
	if m.rt, err = steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir()}, &strings.Builder{}); err != nil {
		t.Fatal(err)
	}
	defer m.rt.Close()
	if err := m.finishSecond(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// What comes out of a spool is what went in.
func TestSpool(t *testing.T) {
	s, err := newSpool(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := []spooled{
		{"a:1", 7, corpus.Document{Text: "text"}},
		{"", 1 << 63, corpus.Document{Prompt: "p", Chosen: strings.Repeat("c", 300), Rejected: "r"}},
		{"b:2", 0, corpus.Document{Messages: []corpus.Message{{Role: "user", Content: "Q"}, {Role: "assistant"}}}},
	}
	for i := range in {
		if err := s.add(&in[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.full(); err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{2, 0, 1, 2} {
		if d, err := s.at(i); err != nil || fmt.Sprint(*d) != fmt.Sprint(in[i]) {
			t.Errorf("%+v, %v; want %+v", d, err, in[i])
		}
	}
	if err := s.close(); err != nil || s.len() != 3 {
		t.Errorf("%d documents, %v", s.len(), err)
	}
}

// Examples are drawn from all that was dropped, not from its beginning.
func TestExamples(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "short %d\n\n", i)
	}
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"a"}, Separator: ptr("\n\n")}, {Include: []string{"b"}}}
	c.Filter.MinChars = ptr(20)
	p, err := produce(t, put(t, map[string]string{"a": text.String(), "b": prose + " ~~~"}), 2, c)
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for line := range strings.Lines(p.file(t, "examples.jsonl")) {
		var e example
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Filter != dropMinChars || !strings.HasPrefix(e.Text, "short ") || !strings.HasSuffix(e.Figure, " characters") {
			t.Errorf("%s %v", line, err)
		}
		at = append(at, e.Where)
	}
	last := 0
	if _, err := fmt.Sscanf(at[len(at)-1], "a:%d", &last); err != nil || len(at) != examplesShown || last <= 100 {
		t.Errorf("%v: %v", at, err)
	}
	if summary := p.file(t, "summary.md"); !strings.Contains(summary, "| `min_chars` | 20 | 200 | 99.50 % |") || !strings.Contains(summary, "5 of 200, drawn at random.") {
		t.Errorf("%s", summary)
	}
}
