package dataset

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// newConfig has the defaults of the tags.
func newConfig() Config {
	return Config{Filter: Filter{InvalidUTF8: "drop"}, MaxBad: 0.01}
}

// A produced is what a step made.
type produced struct {
	dir    string
	events []steps.Event
	data   *corpus.Dataset
}

// produce plans and runs a dataset step on the files in dir as the engine does.
func produce(t *testing.T, dir string, threads int, c Config) (*produced, error) {
	t.Helper()
	return produceIn(t, t.Context(), dir, threads, c)
}

func produceIn(t *testing.T, ctx context.Context, dir string, threads int, c Config) (*produced, error) {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	spec := &steps.Spec{Type: "dataset", Config: config, Dir: dir, WorkDir: t.TempDir(), Threads: threads}
	if err := Type.Check(spec); err != nil {
		return nil, err
	}
	if spec.Files, err = Type.Files(spec); err != nil {
		return nil, err
	}
	var events bytes.Buffer
	rt, err := steps.NewRuntime(spec, &events)
	if err != nil {
		t.Fatal(err)
	}
	runErr := rt.Do(ctx, &Type)
	if err := rt.Close(); err != nil {
		t.Fatal(err)
	}
	p := &produced{dir: filepath.Join(spec.WorkDir, "out", "dataset")}
	for dec := json.NewDecoder(&events); ; {
		var e steps.Event
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		p.events = append(p.events, e)
	}
	if runErr != nil {
		return p, runErr
	}
	p.data, err = corpus.Open(p.dir)
	return p, err
}

// texts are the documents of a split, as text.
func (p *produced) texts(t *testing.T, split string) []string {
	t.Helper()
	var out []string
	for d, err := range p.data.Documents(split) {
		if err != nil {
			t.Fatal(err)
		}
		var parts []string
		for s := range d.Strings {
			parts = append(parts, s)
		}
		out = append(out, strings.Join(parts, "|"))
	}
	return out
}

// put writes files into a new folder; names may have folders.
func put(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func gz(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func zst(s string) string {
	w, _ := zstd.NewWriter(nil)
	return string(w.EncodeAll([]byte(s), nil))
}

func ptr[T any](v T) *T { return &v }

func TestSources(t *testing.T) {
	jsonl := func(columns Columns, include ...string) Config {
		c := newConfig()
		c.JSONL = []RecordSource{{Include: include, Columns: columns}}
		return c
	}
	text := func(separator *string, include ...string) Config {
		c := newConfig()
		c.Files = []FileSource{{Include: include, Separator: separator}}
		return c
	}
	for _, c := range []struct {
		name   string
		files  map[string]string
		config Config
		want   []string
	}{
		{"files in the order of their paths", map[string]string{"b.txt": "B", "a.txt": "A", "d/c.txt": "C", "a.md": "no"}, text(nil, "**/*.txt"), []string{"A", "B", "C"}},
		{"a file that two patterns match counts once", map[string]string{"a.txt": "A", "b.txt": "B"}, text(nil, "*.txt", "a.*"), []string{"A", "B"}},
		{"hidden files are passed over", map[string]string{"a.txt": "A", ".git/b.txt": "B", ".c.txt": "C"}, text(nil, "**/*.txt"), []string{"A"}},
		{"unless they are named", map[string]string{".c.txt": "C"}, text(nil, ".c.txt"), []string{"C"}},
		{"alternatives", map[string]string{"a.txt": "A", "b.md": "B", "c.go": "C"}, text(nil, "*.{txt,md}"), []string{"A", "B"}},
		{"compressed files", map[string]string{"a.txt.gz": gz("A"), "b.txt.zst": zst("B"), "c.gz": gz("C1") + gz("C2")}, text(nil, "*"), []string{"A", "B", "C1C2"}},
		{"compression is told from content", map[string]string{"a.txt": gz("A")}, text(nil, "*"), []string{"A"}},
		{"separator", map[string]string{"a": "one<|>two<|> \n<|>three<|>"}, text(ptr("<|>"), "a"), []string{"one", "two", "three"}},
		{"separator of several lines, CRLF kept", map[string]string{"a": "one\r\nx\n\n\ntwo\n"}, text(ptr("\n\n\n"), "a"), []string{"one\r\nx", "two\n"}},
		{"byte order mark", map[string]string{"a": "\ufeffone \ufefftwo"}, text(nil, "a"), []string{"one \ufefftwo"}},
		{"JSON lines with CRLF, blank lines, no line end", map[string]string{"a": "\r\n{\"text\":\"A\"}\r\n\r\n  {\"text\":\"B\"}"}, jsonl(Columns{}, "a"), []string{"A", "B"}},
		{"a line ends at \\n alone", map[string]string{"a": "{\"text\":\"A\u2028\u2029\u0085B\"}\n{\"text\":\"C\"}\n"}, jsonl(Columns{}, "a"), []string{"A\u2028\u2029\u0085B", "C"}},
		{"a JSON list", map[string]string{"a.json": " [\n{\"text\":\"A\"},\n{\"text\":\"B\"}]\n"}, jsonl(Columns{}, "a.json"), []string{"A", "B"}},
		{"mapped column", map[string]string{"a": `{"body":"A","text":"no"}`}, jsonl(Columns{Text: ptr("body")}, "a"), []string{"A"}},
		{"preferences", map[string]string{"a": `{"instruction":"P","good":"C","bad":"R"}`},
			jsonl(Columns{Prompt: ptr("instruction"), Chosen: ptr("good"), Rejected: ptr("bad")}, "a"), []string{"P|C|R"}},
		{"a prompt", map[string]string{"a": `{"prompt":"P","chosen":"x"}`}, jsonl(Columns{Prompt: ptr("prompt")}, "a"), []string{"P"}},
		{"messages", map[string]string{"a": `{"messages":[{"role":"user","content":"Q"},{"role":"assistant","content":"A"}],"prompt":"Q"}`}, jsonl(Columns{}, "a"), []string{"Q|A"}},
		{"empty files", map[string]string{"a": "", "b": "B", "c.gz": gz("")}, text(nil, "*"), []string{"B"}},
		{"empty JSON file", map[string]string{"a": "", "b": `{"text":"B"}`, "c": "\n\n"}, jsonl(Columns{}, "*"), []string{"B"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := produce(t, put(t, c.files), 2, c.config)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.texts(t, corpus.Train); !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestRolesAreRenamed(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"a"}, Columns: Columns{Messages: ptr("conversations"), Role: ptr("from"), Content: ptr("value"),
		Roles: map[string]string{"human": "user", "gpt": "assistant"}}}}
	p, err := produce(t, put(t, map[string]string{"a": `{"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"},{"from":"gpt","value":"A"}]}`}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	for d, err := range p.data.Documents(corpus.Train) {
		want := []corpus.Message{{Role: "system", Content: "S"}, {Role: "user", Content: "Q"}, {Role: "assistant", Content: "A"}}
		if err != nil || !slices.Equal(d.Messages, want) {
			t.Errorf("%v, %v", d, err)
		}
	}
}

// What a dataset writes, a dataset reads, under other column names too.
func TestParquetSource(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"a"}}}
	p, err := produce(t, put(t, map[string]string{"a": "{\"text\":\"A\"}\n{\"text\":\"B\"}\n"}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, columns := range []Columns{{}, {Text: ptr("text")}} {
		c = newConfig()
		c.Parquet = []RecordSource{{Include: []string{"*.parquet"}, Columns: columns}}
		again, err := produce(t, p.dir, 1, c)
		if err != nil {
			t.Fatal(err)
		}
		if got := again.texts(t, corpus.Train); !slices.Equal(got, []string{"A", "B"}) {
			t.Errorf("%q", got)
		}
	}
	c.Parquet[0].Columns = Columns{Text: ptr("body")}
	if _, err = produce(t, p.dir, 1, c); err == nil || !strings.Contains(err.Error(), "no column for a document: the file has [text]") {
		t.Errorf("a column that is not there: %v", err)
	}
}

func TestFilters(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter Filter
		drops  string
		keeps  string
	}{
		{dropEmpty, Filter{}, " \n\t", "x"},
		{dropUTF8, Filter{}, "a\xff\xfeb", "aäb"},
		{dropUTF8, Filter{}, "\xed\xa0\x80", "\ufffd"},
		{dropMinChars, Filter{MinChars: ptr(4)}, "äöü", "äöüß"},
		{dropMaxChars, Filter{MaxChars: ptr(3)}, "äöüß", "äöü"},
		{dropLine, Filter{MaxLineChars: ptr(3)}, "a\nabcd\r\nb", "abc\r\nabc\nabc"},
		{dropRun, Filter{MaxRun: ptr(3)}, "a ---- b", "a --- b      c\n\n\n\n\nd --  --"},
		{dropAlpha, Filter{MinAlpha: ptr(0.5)}, "ab 123", "a 你 12"},
		{dropRepeated, Filter{MaxRepeatedLines: ptr(0.4)}, "aaaa\n  aaaa\n\n\nb\n", "aaaa\nbb\nbb\n\n\n\n"},
		{dropMatching, Filter{DropMatching: []string{`(?m)^// Code generated .* DO NOT EDIT\.$`}}, "x\n// Code generated by y. DO NOT EDIT.\n", "x // Code generated by y. DO NOT EDIT."},
	} {
		config := newConfig()
		config.Filter = c.filter
		config.Filter.InvalidUTF8 = "drop"
		config.Files = []FileSource{{Include: []string{"*"}}}
		p, err := produce(t, put(t, map[string]string{"1": c.drops, "2": c.keeps}), 1, config)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{c.keeps}) {
			t.Errorf("%s keeps %q", c.name, got)
		}
		if s := p.data.Stats(); len(s.Dropped) != 1 || s.Dropped[c.name] != 1 || s.Records != 2 {
			t.Errorf("%s: %+v", c.name, s)
		}
		values := p.events[len(p.events)-1].Values
		if dropped := values["dropped"].(map[string]any); dropped[c.name] != 1.0 || len(dropped) != len(dropNames)+2 {
			t.Errorf("%s: the value dropped is %v", c.name, dropped)
		}
	}
}

func TestReplaceUTF8(t *testing.T) {
	c := newConfig()
	c.Filter.InvalidUTF8 = "replace"
	c.Files = []FileSource{{Include: []string{"a"}}}
	c.JSONL = []RecordSource{{Include: []string{"b"}}}
	p, err := produce(t, put(t, map[string]string{"a": "x\xffy", "b": "{\"text\":\"x\xffy\"}"}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"x\ufffdy", "x\ufffdy"}) {
		t.Errorf("%q", got)
	}
}

// A filter that drops nothing changes no byte, so that nothing below the dataset runs again.
func TestIdleFilterChangesNothing(t *testing.T) {
	dir := put(t, map[string]string{"a": "some text", "b": "more text"})
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	before, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	c.Filter.MinChars, c.Filter.DropMatching, c.Dedup, c.Limit.Documents = ptr(3), []string{"zebra"}, &Dedup{Exact: true}, ptr(int64(2))
	after, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	sameFolders(t, before.dir, after.dir)
}

func sameFolders(t *testing.T, a, b string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(a, "*"))
	if err != nil || len(names) < 2 {
		t.Fatalf("%v, %v", names, err)
	}
	if others, _ := filepath.Glob(filepath.Join(b, "*")); len(others) != len(names) {
		t.Errorf("%v and %v", names, others)
	}
	for _, name := range names {
		x, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		y, err := os.ReadFile(filepath.Join(b, filepath.Base(name)))
		if err != nil || !bytes.Equal(x, y) {
			t.Errorf("%s differs: %v", filepath.Base(name), err)
		}
	}
}

// manyRecords are JSON lines with copies, bad records and texts of all lengths.
func manyRecords(n int) string {
	var b strings.Builder
	for i := range n {
		switch {
		case i%211 == 210:
			b.WriteString("{\"text\": 7}\n")
		case i%10 == 9:
			fmt.Fprintf(&b, "{\"text\":\"document %d\"}\n", i/2-3)
		default:
			fmt.Fprintf(&b, "{\"text\":%q}\n", strings.Repeat(fmt.Sprintf("document %d ", i), 1+i%50))
		}
	}
	return b.String()
}

// The bytes do not depend on the number of workers.
func TestThreads(t *testing.T) {
	dir := put(t, map[string]string{"a.jsonl": manyRecords(3000), "b.jsonl.gz": gz(manyRecords(2500)), "c.txt": "text"})
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*.txt"}}}
	c.JSONL = []RecordSource{{Include: []string{"*.jsonl*"}}}
	c.Dedup, c.Holdout, c.Filter.MinChars = &Dedup{Exact: true}, 0.1, ptr(13)
	var first *produced
	for _, threads := range []int{1, 2, 7} {
		p, err := produce(t, dir, threads, c)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = p
		}
		sameFolders(t, first.dir, p.dir)
	}
	s := first.data.Stats()
	if s.Records != 5501 || s.BadRecords != 25 || s.Duplicates < 2000 || s.Dropped[dropMinChars] == 0 || s.Splits[corpus.Holdout].Documents < 100 || len(s.BadExamples) != 5 {
		t.Errorf("%+v", s)
	}
	if want := "a.jsonl:211: its column \"text\" is a number, not a string"; s.BadExamples[0] != want {
		t.Errorf("%q, want %q", s.BadExamples[0], want)
	}
}

// Whatever is said about a question, it is held back in all datasets or in none: no model is evaluated on what another
// dataset taught it.
func TestHoldoutGoesByTheQuestion(t *testing.T) {
	var dialogues, pairs, prompts strings.Builder
	for i := range 200 {
		q := fmt.Sprintf("What is %d?", i)
		fmt.Fprintf(&dialogues, `{"messages":[{"role":"system","content":"Be brief, %d."},{"role":"user","content":%q},{"role":"assistant","content":"A number."}]}`+"\n", i, q)
		fmt.Fprintf(&pairs, `{"prompt":%q,"chosen":"%d","rejected":"no"}`+"\n", q, i)
		fmt.Fprintf(&pairs, `{"prompt":%q,"chosen":"%d","rejected":"never"}`+"\n", q, i)
		fmt.Fprintf(&prompts, `{"prompt":%q}`+"\n", q)
	}
	var want []string
	for name, lines := range map[string]string{"dialogues": dialogues.String(), "pairs": pairs.String(), "prompts": prompts.String()} {
		c := newConfig()
		c.JSONL = []RecordSource{{Include: []string{"*"}}}
		c.Holdout = 0.2
		p, err := produce(t, put(t, map[string]string{"a": lines}), 1, c)
		if err != nil {
			t.Fatal(err)
		}
		var held []string
		for d, err := range p.data.Documents(corpus.Holdout) {
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, d.Question())
		}
		held = slices.Compact(held)
		if want == nil {
			want = held
		}
		if len(held) < 20 || len(held) > 60 || !slices.Equal(held, want) {
			t.Errorf("%s: %d questions are held back, elsewhere %d", name, len(held), len(want))
		}
	}
}

// A document that is held out stays so when others come before and after it; and no copy is in both splits.
func TestHoldoutIsStable(t *testing.T) {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	c.Holdout = 0.2
	few, err := produce(t, put(t, map[string]string{"m": manyRecords(500)}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	more, err := produce(t, put(t, map[string]string{"a": manyRecords(2000), "z": manyRecords(800)}), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	held, all := few.texts(t, corpus.Holdout), more.texts(t, corpus.Holdout)
	if len(held) < 60 || len(held) > 140 {
		t.Errorf("%d of about 500 documents are held out", len(held))
	}
	for _, text := range held {
		if !slices.Contains(all, text) {
			t.Errorf("%.40q is no longer held out", text)
		}
	}
	for _, text := range more.texts(t, corpus.Train) {
		if slices.Contains(all, text) {
			t.Fatalf("%.40q is in both splits", text)
		}
	}
}

func TestLimit(t *testing.T) {
	dir := put(t, map[string]string{"a": manyRecords(200), "b": manyRecords(3000), "c.gz": "damaged, and never reached"})
	for _, threads := range []int{1, 3} {
		c := newConfig()
		c.JSONL = []RecordSource{{Include: []string{"*"}}}
		c.Holdout, c.Limit.Documents = 0.1, ptr(int64(150))
		p, err := produce(t, dir, threads, c)
		if err != nil {
			t.Fatal(err)
		}
		if s := p.data.Stats(); s.Kept != 150 || s.Records != 150 {
			t.Errorf("%+v", s)
		}
		c.Limit = Limit{Bytes: ptr(int64(20000))}
		if p, err = produce(t, dir, threads, c); err != nil {
			t.Fatal(err)
		}
		if s := p.data.Stats(); s.Splits[corpus.Train].Bytes+s.Splits[corpus.Holdout].Bytes > 20000 || s.Kept < 50 {
			t.Errorf("%+v", s)
		}
	}
}

// A path outside the pipeline's folder is not in the data.
func TestBadExamplesHaveNoPaths(t *testing.T) {
	outside := put(t, map[string]string{"o.jsonl": "oops\n{\"text\":\"A\"}\n"})
	c := newConfig()
	c.JSONL, c.MaxBad = []RecordSource{{Include: []string{filepath.Join(outside, "*")}}}, 0.5
	p, err := produce(t, t.TempDir(), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.data.Stats().BadExamples; len(got) != 1 || !strings.HasPrefix(got[0], "o.jsonl:1: it is not JSON") {
		t.Errorf("%q", got)
	}
	warned := slices.ContainsFunc(p.events, func(e steps.Event) bool {
		return e.Kind == steps.EventWarn && strings.Contains(e.Message, "1 of 2 records") && strings.Contains(e.Message, outside)
	})
	if !warned {
		t.Error("no warning names the file")
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"*"}}}
	if _, err := produceIn(t, ctx, put(t, map[string]string{"a": manyRecords(3000)}), 2, c); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
