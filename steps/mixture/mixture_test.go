package mixture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/tokens"
)

// produce runs a mixture step as the engine does and returns its folder and its last event.
func produce(t *testing.T, ctx context.Context, threads int, c Config) (string, steps.Event, error) {
	t.Helper()
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	spec := &steps.Spec{Type: "mixture", Config: config, WorkDir: t.TempDir(), Threads: threads}
	var last steps.Event
	if err := Type.Check(spec); err != nil {
		return "", last, err
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
	for dec := json.NewDecoder(&events); ; {
		var e steps.Event
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	return filepath.Join(spec.WorkDir, "out", "data"), last, runErr
}

// dataset writes texts of which every tenth is held out.
func dataset(t *testing.T, texts ...string) steps.Artifact {
	t.Helper()
	dir := t.TempDir()
	w := corpus.Create(dir)
	for i, text := range texts {
		split := corpus.Train
		if i%10 == 9 {
			split = corpus.Holdout
		}
		if err := w.Write(split, &corpus.Document{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(&corpus.Stats{}); err != nil {
		t.Fatal(err)
	}
	return steps.Artifact{Kind: "dataset", Digest: "d", Path: dir}
}

// texts are n documents in several scripts, with what looks like special tokens in them.
func texts(name string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.Repeat(fmt.Sprintf("%s %d: über 你好 <|begin_of_text|> and <|end_of_text|>\r\n", name, i), 1+i*7%40)
	}
	return out
}

func tokenizer(t *testing.T, digest string, vocabSize int) (steps.Artifact, *bpe.Tokenizer) {
	t.Helper()
	docs := func(yield func(string, error) bool) {
		for _, text := range texts("train", 50) {
			if !yield(text, nil) {
				return
			}
		}
	}
	tok, _, err := bpe.Train(t.Context(), docs, bpe.TrainOptions{VocabSize: vocabSize, Special: "llama3", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := tok.Save(dir); err != nil {
		t.Fatal(err)
	}
	return steps.Artifact{Kind: "tokenizer", Digest: digest, Path: dir}, tok
}

// TestPitfall06Documents: every document is BOS, the ids of its text, EOS; special tokens that its text
// spells out stay text.
func TestPitfall06Documents(t *testing.T) {
	artifact, tok := tokenizer(t, "digest", 320)
	a, b := texts("a", 40), texts("b", 25)
	dir, last, err := produce(t, t.Context(), 2, Config{Tokenizer: artifact, Parts: []Part{{Name: "a", Data: dataset(t, a...), Weight: 3}, {Name: "b", Data: dataset(t, b...), Weight: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	set, err := tokens.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	bos, _ := tok.BOS()
	eos, _ := tok.EOS()
	if bos == eos {
		t.Fatal("the test wants a tokenizer whose BOS is not its EOS")
	}
	ids := func(text string) []int32 { return append(append([]int32{bos}, tok.Encode(text)...), eos) }
	all := map[string]int{}
	var train, holdout, size int
	for p, list := range [][]string{a, b} {
		part := set.Parts()[p]
		i := 9
		for d, err := range set.Holdout(part.Name) {
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(d.IDs, ids(list[i])) || d.Bytes != len(list[i]) {
				t.Errorf("held-out document %d of %s: %d bytes, %v", i, part.Name, d.Bytes, d.IDs)
			}
			holdout += len(d.IDs)
			i += 10
		}
		if int64(i/10) != part.HoldoutDocuments || part.Weight != []float64{0.75, 0.25}[p] {
			t.Errorf("%+v", part)
		}
		for i, text := range list {
			if i%10 != 9 {
				all[fmt.Sprint(ids(text))]++
				train += len(ids(text))
				size += len(text)
			}
		}
	}
	checkDealtOut(t, set, bos, all)
	want := map[string]any{"tokens": float64(train), "holdout_tokens": float64(holdout), "bytes_per_token": float64(size) / float64(train), "available_tokens": nil}
	if !maps.Equal(last.Values, want) {
		t.Errorf("values %v, want %v", last.Values, want)
	}
	copied, err := bpe.Load(set.TokenizerDir())
	if err != nil || copied.VocabSize() != set.VocabSize() {
		t.Errorf("the tokenizer in the set: %v", err)
	}
}

// checkDealtOut looks at one epoch: the documents, each as fmt prints its ids, and how often they occur.
func checkDealtOut(t *testing.T, set *tokens.Set, bos int32, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	l, s := set.Loader(1, 1<<20), &gpu.Stream{}
	for l.Consumed()[0].Epochs < 1 || l.Consumed()[1].Epochs < 1 {
		s.Reset()
		// One token makes the Loader take a document; the rest of it is asked for below.
		if err := l.Fill(s, 1, 1<<20); err != nil {
			t.Fatal(err)
		}
		for s.Targets[s.Len()-1] != gpu.NoTarget {
			if err := l.Fill(s, 1, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
		got[fmt.Sprint(s.IDs)]++
		if n := count(s.IDs, bos); n != 1 || s.IDs[0] != bos {
			t.Fatalf("%d BOS in %v", n, s.IDs)
		}
	}
	for ids, n := range want {
		if got[ids] < n {
			t.Errorf("a document is missing: %.60s", ids)
		}
	}
	for ids := range got {
		if want[ids] == 0 {
			t.Errorf("no such document: %.60s", ids)
		}
	}
}

func count(ids []int32, id int32) (n int) {
	for _, x := range ids {
		if x == id {
			n++
		}
	}
	return n
}

func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The bytes do not depend on the number of workers.
func TestThreads(t *testing.T) {
	artifact, _ := tokenizer(t, "digest", 320)
	var long []string
	for i := range 60 { // several batches
		long = append(long, strings.Repeat(fmt.Sprintf("some long text %d ", i), 4000))
	}
	c := Config{Tokenizer: artifact, Parts: []Part{{Name: "a", Data: dataset(t, long...), Weight: 1}, {Name: "b", Data: dataset(t, texts("b", 300)...), Weight: 1}}}
	var first map[string]string
	for _, threads := range []int{1, 2, 7} {
		dir, _, err := produce(t, t.Context(), threads, c)
		if err != nil {
			t.Fatal(err)
		}
		files := readAll(t, dir)
		if first == nil {
			first = files
		}
		if !maps.Equal(files, first) || len(files) != 13 {
			t.Errorf("with %d threads: %v", threads, slices.Sorted(maps.Keys(files)))
		}
	}
}

// TestPitfall12TokenizerIsInTheSet: another tokenizer is another set, even when the ids are the same, for its
// digest is in mixture.json.
func TestPitfall12TokenizerIsInTheSet(t *testing.T) {
	artifact, _ := tokenizer(t, "one", 320)
	c := Config{Tokenizer: artifact, Parts: []Part{{Name: "a", Data: dataset(t, texts("a", 5)...), Weight: 1}}}
	before, _, err := produce(t, t.Context(), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	c.Tokenizer.Digest = "two"
	after, _, err := produce(t, t.Context(), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	a, b := readAll(t, before), readAll(t, after)
	if a["mixture.json"] == b["mixture.json"] || a["a.bin"] != b["a.bin"] {
		t.Error("the sets of two tokenizers do not differ in mixture.json alone")
	}
	artifact, _ = tokenizer(t, "three", 300)
	c.Tokenizer = artifact
	other, _, err := produce(t, t.Context(), 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, other)["a.bin"] == a["a.bin"] {
		t.Error("another vocabulary gave the same ids")
	}
}

func TestErrors(t *testing.T) {
	artifact, _ := tokenizer(t, "digest", 320)
	plain, err := bpeWithoutSpecial(t)
	if err != nil {
		t.Fatal(err)
	}
	text := dataset(t, "text")
	dialogues := t.TempDir()
	w := corpus.Create(dialogues)
	if err := w.Write(corpus.Train, &corpus.Document{Messages: []corpus.Message{{Role: "user", Content: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(&corpus.Stats{}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		tok   steps.Artifact
		parts []Part
		path  string
		want  string
	}{
		{"all weights 0", artifact, []Part{{Name: "a", Data: text}, {Name: "b", Data: text}}, "part[0].weight", "all weights are 0"},
		{"negative weight", artifact, []Part{{Name: "a", Data: text, Weight: 1}, {Name: "b", Data: text, Weight: -1}}, "part[1].weight", "-1"},
		{"name of a path", artifact, []Part{{Name: "../a", Data: text, Weight: 1}}, "part[0]", `"../a"`},
		{"name of a holdout", artifact, []Part{{Name: "a.holdout", Data: text, Weight: 1}}, "part[0]", `"a.holdout"`},
		{"two of one name", artifact, []Part{{Name: "web", Data: text, Weight: 1}, {Name: "Web", Data: text, Weight: 1}}, "part[1]", "two parts"},
		{"dialogues", artifact, []Part{{Name: "a", Data: text, Weight: 1}, {Name: "b", Data: steps.Artifact{Kind: "dataset", Path: dialogues}, Weight: 1}}, "part[1].data", "shape messages"},
		{"no end of text", plain, []Part{{Name: "a", Data: text, Weight: 1}}, "tokenizer", "no end-of-text token"},
	} {
		_, _, err := produce(t, t.Context(), 1, Config{Tokenizer: c.tok, Parts: c.parts})
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q about %s", c.name, err, c.want, c.path)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := produce(t, ctx, 1, Config{Tokenizer: artifact, Parts: []Part{{Name: "a", Data: text, Weight: 1}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func bpeWithoutSpecial(t *testing.T) (steps.Artifact, error) {
	docs := func(yield func(string, error) bool) { yield("some text", nil) }
	tok, _, err := bpe.Train(t.Context(), docs, bpe.TrainOptions{VocabSize: 257, Threads: 1})
	if err != nil {
		return steps.Artifact{}, err
	}
	dir := t.TempDir()
	return steps.Artifact{Kind: "tokenizer", Path: dir}, tok.Save(dir)
}

// A damaged file of a dataset is named.
func TestDamagedDataset(t *testing.T) {
	artifact, _ := tokenizer(t, "digest", 320)
	data := dataset(t, texts("a", 30)...)
	path := filepath.Join(data.Path, "train-00000.parquet")
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	_, _, err := produce(t, t.Context(), 2, Config{Tokenizer: artifact, Parts: []Part{{Name: "a", Data: data, Weight: 1}}})
	if err == nil || !strings.Contains(err.Error(), "part a: "+path+": not a whole Parquet file") {
		t.Errorf("%v", err)
	}
}

func TestEstimate(t *testing.T) {
	spec := &steps.Spec{Config: []byte(`{"part": [{"name": "web", "max_epochs": null}, {"name": "code", "weight": 1}]}`)}
	e, err := Type.Estimate(&steps.EstimateInput{Spec: spec, Upstream: map[string]steps.Estimate{
		"tokenizer":    {Facts: map[string]float64{"vocab_size": 4096}},
		"part[0].data": {Facts: map[string]float64{"bytes": 3e6}},
		"part[1].data": {Facts: map[string]float64{"bytes": 1e6}},
	}})
	if err != nil || e.Bytes != 4e6 || e.Facts["vocab_size"] != 4096 || e.Tokens < 1e6 || e.Tokens > 1.4e6 || e.Facts["tokens"] != float64(e.Tokens) {
		t.Errorf("%+v, %v", e, err)
	}
	if names := tokens.PartNames(e.Facts); !slices.Equal(names, []string{"web", "code"}) {
		t.Errorf("the parts are %v", names)
	}
	if e, err = Type.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: []byte("{}")}}); err != nil || e.Tokens != 0 || len(e.Facts) != 0 {
		t.Errorf("of nothing known: %+v, %v", e, err)
	}
}
