package corpus

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var yes = true

var shapes = map[Shape][]Document{
	TextShape:     {{Text: "one\r\ntwo\x00"}, {Text: "ünïcödé 你好 👩‍🚀 \u2028"}, {Text: strings.Repeat("long ", 100000)}},
	MessagesShape: {{Messages: []Message{{Role: "user", Content: "hi"}, {Role: "assistant", Content: "hello"}}}, {Messages: []Message{{Role: "system", Content: ""}, {Role: "user", Content: "x"}}}, {Messages: []Message{{Role: "user", Content: "one"}}}},
	LabelledShape: {{Messages: []Message{{Role: "user", Content: "hi"}, {Role: "assistant", Content: "hello"}}, Label: new(bool)}, {Messages: []Message{{Role: "user", Content: "x"}}, Label: &yes}},
	"messages with calls": {
		{Messages: []Message{{Role: "user", Content: "hi", Tools: `[{"name":"f"}]`}, {Role: "assistant", ToolCalls: `[{"b":1,"a":2}]`}, {Role: "tool", Content: "3"}}},
		{Messages: []Message{{Role: "user", Content: "no tools"}}}, {Messages: []Message{{Role: "assistant", Content: "both", ToolCalls: `[{}]`}}},
	},
	PromptShape: {{Prompt: "say"}, {Prompt: "more"}},
	DialoguePreferenceShape: {{Messages: []Message{{Role: "user", Content: "hi"}, {Role: "assistant", Content: "yes?"}, {Role: "user", Content: "x"}}, Chosen: "good", Rejected: "bad"},
		{Messages: []Message{{Role: "user", Content: ""}}, Chosen: "c", Rejected: "r"}},
	PreferenceShape: {{Prompt: "p", Chosen: "good", Rejected: "bad"}, {Chosen: "c", Rejected: "r"}},
}

// write makes a dataset with every third document held out.
func write(t *testing.T, docs []Document) string {
	t.Helper()
	dir := t.TempDir()
	w := Create(dir)
	for i := range docs {
		split := Train
		if i%3 == 2 {
			split = Holdout
		}
		if err := w.Write(split, &docs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(&Stats{Records: int64(len(docs))}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, dir, split string) []Document {
	t.Helper()
	d, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	var docs []Document
	for doc, err := range d.Documents(split) {
		if err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return docs
}

func TestRoundTrip(t *testing.T) {
	for shape, docs := range shapes {
		if docs[0].Shape() == MessagesShape {
			shape = MessagesShape
		}
		dir := write(t, docs)
		var train, holdout []Document
		for i, d := range docs {
			if i%3 == 2 {
				holdout = append(holdout, d)
			} else {
				train = append(train, d)
			}
		}
		if got := read(t, dir, Train); !reflect.DeepEqual(got, train) {
			t.Errorf("%s: read %.200v, want %.200v", shape, got, train)
		}
		if got := read(t, dir, Holdout); !reflect.DeepEqual(got, holdout) {
			t.Errorf("%s: held out %.200v, want %.200v", shape, got, holdout)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if s := d.Stats(); d.Shape() != shape || s.Kept != int64(len(docs)) || s.Splits[Train].Documents != int64(len(train)) {
			t.Errorf("%s: %+v", shape, s)
		}
	}
}

// The bytes of a dataset depend on its documents alone, also where row groups end.
func TestSameBytes(t *testing.T) {
	var docs []Document
	for i := range 3000 {
		docs = append(docs, Document{Text: strings.Repeat(fmt.Sprintf("line %d of some text\n", i), 1+i%700)})
	}
	first, second := write(t, docs), write(t, docs)
	names, err := filepath.Glob(first + "/*")
	if err != nil || len(names) != 3 {
		t.Fatalf("files %v, %v", names, err)
	}
	for _, name := range names {
		a, _ := os.ReadFile(name)
		b, _ := os.ReadFile(filepath.Join(second, filepath.Base(name)))
		if len(a) == 0 || !bytes.Equal(a, b) {
			t.Errorf("%s differs", filepath.Base(name))
		}
		if bytes.Contains(a, []byte("parquet-go")) {
			t.Errorf("%s names the library's version", filepath.Base(name))
		}
	}
	if got := read(t, first, Train); len(got) != 2000 || got[1999].Text != docs[2998].Text {
		t.Errorf("%d documents came back", len(got))
	}
}

// A dataset without documents of a split has none to give, and no file.
func TestNoHoldout(t *testing.T) {
	dir := write(t, shapes[PromptShape])
	if got := read(t, dir, Holdout); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "holdout-00000.parquet")); err == nil {
		t.Error("there is a file for it")
	}
}

func TestOneShape(t *testing.T) {
	w := Create(t.TempDir())
	defer w.Abort()
	if err := w.Write(Train, &Document{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(Holdout, &Document{Prompt: "x"}); err == nil {
		t.Error("a prompt among texts was written")
	}
}

// Wherever a byte is wrong the file is named, and no damaged document comes out.
func TestDamage(t *testing.T) {
	docs := shapes[TextShape][:2]
	dir := write(t, docs)
	path := filepath.Join(dir, "train-00000.parquet")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name string, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		d, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []Document
		for doc, e := range d.Documents(Train) {
			if err = e; err == nil {
				got = append(got, doc)
			}
		}
		if err == nil && !reflect.DeepEqual(got, docs) {
			t.Errorf("%s: no error, and read %v", name, got)
		}
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Errorf("%s: the error does not name the file: %v", name, err)
		}
	}
	for _, n := range []int{0, 3, 4, 12, len(whole) / 2, len(whole) - 1} {
		check(fmt.Sprintf("cut at %d", n), whole[:n])
	}
	for i := range whole {
		data := bytes.Clone(whole)
		data[i] ^= 0x11
		check(fmt.Sprintf("byte %d flipped", i), data)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	d, _ := Open(dir)
	for _, err := range d.Documents(Train) {
		if err == nil || !strings.Contains(err.Error(), "is a folder") {
			t.Errorf("a folder: %v", err)
		}
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "stats.json") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stats.json"), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "stats.json") {
		t.Errorf("half a stats.json: %v", err)
	}
}

// Equal hashes mean equal documents, also where strings could run into each other.
func TestHash(t *testing.T) {
	docs := []Document{
		{Text: "ab"}, {Prompt: "ab"}, {Prompt: "a", Chosen: "b", Rejected: "c"}, {Prompt: "ab", Chosen: "b", Rejected: "c"}, {Chosen: "ab", Rejected: "c"},
		{Messages: []Message{{Role: "a", Content: "b"}}}, {Messages: []Message{{Role: "ab"}}}, {Messages: []Message{{Role: "a", Content: "b"}, {Role: "c", Content: "d"}}},
		{Messages: []Message{{Role: "a", Content: "b", ToolCalls: "c", Tools: "d"}}}, {Messages: []Message{{Role: "a", Content: "b", Tools: "c"}}},
		{Messages: []Message{{Role: "a", Content: "b", ToolCalls: "c"}}}, {Messages: []Message{{Role: "a", Content: "b"}}, Label: &yes}, {Messages: []Message{{Role: "a", Content: "b"}}, Label: new(bool)},
	}
	seen := map[[32]byte]int{}
	for i := range docs {
		h := docs[i].Hash()
		if j, ok := seen[h]; ok {
			t.Errorf("%+v and %+v have one hash", docs[i], docs[j])
		}
		seen[h] = i
	}
}

// TestWiden: a dataset whose first documents have no calls and whose later ones do has the bytes of one that began with
// the columns for them, of every kind of rows; and one without calls has no such columns.
func TestWiden(t *testing.T) {
	score := 1.5
	dialogue := func(i int) []Message {
		return []Message{{Role: "user", Content: fmt.Sprint("question ", i)}, {Role: "assistant", Content: "a"}}
	}
	for name, kind := range map[string]struct {
		create func(dir string) *Writer
		doc    func(i int) Document
	}{
		"messages": {Create, func(i int) Document { return Document{Messages: dialogue(i)} }},
		"labelled": {Create, func(i int) Document { return Document{Messages: dialogue(i), Label: &yes} }},
		"answers": {CreateAnswers, func(i int) Document {
			return Document{Messages: dialogue(i), Sampled: true, Reference: "r", Score: &score}
		}},
		"judged": {CreateJudged, func(i int) Document {
			return Document{Messages: dialogue(i)[:1], Chosen: "c", Rejected: "r", Verdict: &Verdict{1, 0.5, "one", "two"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			docs := make([]Document, 40)
			for i := range docs {
				docs[i] = kind.doc(i)
			}
			docs[30].Messages[0].Tools = `[{"name":"f"}]`
			fill := func(docs []Document, from bool) (string, string) {
				dir := t.TempDir()
				w := kind.create(dir)
				w.calls = from
				for i := range docs {
					if err := w.Write([]string{Train, Train, Holdout}[i%3], &docs[i]); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(&Stats{}); err != nil {
					t.Fatal(err)
				}
				files, err := filepath.Glob(filepath.Join(dir, "*"))
				if err != nil || len(files) != 3 {
					t.Fatal(files, err)
				}
				var all []byte
				for _, file := range files {
					data, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, data...)
				}
				return dir, string(all)
			}
			dir, late := fill(docs, false)
			if _, early := fill(docs, true); late != early {
				t.Error("the bytes differ from those of a dataset that had the columns from the start")
			}
			if got := read(t, dir, Train); !reflect.DeepEqual(got[0], docs[0]) || len(got) != 27 {
				t.Errorf("%d documents, the first %+v", len(got), got[0])
			}
			if _, none := fill(docs[:30], false); strings.Contains(none, "tool_calls") || strings.Contains(none, "tools") || !strings.Contains(late, "tool_calls") {
				t.Error("columns for calls where there are none, or none where there are")
			}
		})
	}
}
