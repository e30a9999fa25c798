package tokenizer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
)

// spec returns the spec of a block, in a folder of its own.
func spec(t *testing.T, config string) *steps.Spec {
	t.Helper()
	return &steps.Spec{
		Address: "tokenizer.bpe", Type: "tokenizer", Config: json.RawMessage(config), Dir: t.TempDir(), WorkDir: t.TempDir(),
	}
}

// dataset writes a dataset of documents about a name and returns it as JSON.
func dataset(t *testing.T, name string, documents int) string {
	t.Helper()
	dir := t.TempDir()
	w := corpus.Create(dir)
	for i := range documents {
		d := corpus.Document{Text: fmt.Sprintf("Document %d of the %s.\nThe %s keeps the heat; it's %d degrees warm.\n", i, name, name, i*7919)}
		if err := w.Write(corpus.Train, &d); err != nil {
			t.Fatal(err)
		}
	}
	held := corpus.Document{Text: strings.Repeat("qqqqqqqq zzzzzzzz ", 1000)}
	if err := w.Write(corpus.Holdout, &held); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(&corpus.Stats{Shape: corpus.TextShape}); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"kind": "dataset", "digest": "0", "path": %q}`, dir)
}

// runStep runs the step and returns the folder of its tokenizer, its values, and its error.
func runStep(t *testing.T, s *steps.Spec) (string, map[string]any, error) {
	t.Helper()
	var events bytes.Buffer
	rt, err := steps.NewRuntime(s, &events)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	if err := rt.Do(context.Background(), &Type); err != nil {
		return "", nil, err
	}
	lines := bytes.Split(bytes.TrimSpace(events.Bytes()), []byte("\n"))
	var done steps.Event
	if err := json.Unmarshal(lines[len(lines)-1], &done); err != nil {
		t.Fatal(err)
	}
	return done.Outputs["tokenizer"], done.Values, nil
}

func trainConfig(more string, corpora ...string) string {
	return fmt.Sprintf(`{"train": {"corpus": [%s], "min_frequency": 2, "max_bytes": 1000000, %s`, strings.Join(corpora, ","), more)
}

func TestTrain(t *testing.T) {
	a, b := dataset(t, "furnace", 40), dataset(t, "athanor", 40)
	config := trainConfig(`"vocab_size": 330}, "special_tokens": "chatml"}`, a, b)
	dir, values, err := runStep(t, spec(t, config))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := bpe.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tok.VocabSize() != 330 || values["vocab_size"] != 330.0 {
		t.Errorf("vocab_size is %d, reported as %v", tok.VocabSize(), values["vocab_size"])
	}
	if n := len(tok.Encode(" heat")); n != 1 {
		t.Errorf("a word of every document takes %d tokens", n)
	}
	if n := len(tok.Encode(" zzzzzzzz")); n < 8 {
		t.Error("the documents held out were trained on")
	}
	if per, _ := values["bytes_per_token"].(float64); per < 2 || per > 8 {
		t.Errorf("bytes_per_token is %v", per)
	}
	if _, ok := tok.Special("<|im_end|>"); !ok || tok.ChatTemplate() == "" {
		t.Error("the special tokens of chatml, or its template, are missing")
	}
	again, _, err := runStep(t, spec(t, config))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		one, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		two, err := os.ReadFile(filepath.Join(again, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("two runs give different %s", name)
		}
	}
}

// TestMaxBytes shows that each dataset gives its share when not all text is read.
func TestMaxBytes(t *testing.T) {
	config := Train{MaxBytes: 6000}
	for _, name := range []string{"furnace", "athanor"} {
		var a steps.Artifact
		if err := json.Unmarshal([]byte(dataset(t, name, 200)), &a); err != nil {
			t.Fatal(err)
		}
		config.Corpus = append(config.Corpus, a)
	}
	parts, total, err := config.open()
	if err != nil {
		t.Fatal(err)
	}
	size, seen := 0, map[string]int{}
	for text, err := range texts(parts) {
		if err != nil {
			t.Fatal(err)
		}
		size += len(text)
		seen[strings.Fields(text)[4]]++
	}
	if total != 6000 || size > 6000 || size < 5600 {
		t.Errorf("%d bytes read of %d announced", size, total)
	}
	if f, a := seen["furnace."], seen["athanor."]; f == 0 || a == 0 || f-a > 1 || a-f > 1 {
		t.Errorf("documents read: %v", seen)
	}
}

func TestFrom(t *testing.T) {
	trained, _, err := runStep(t, spec(t, trainConfig(`"vocab_size": 290}, "special_tokens": "none"}`, dataset(t, "furnace", 40))))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{trained, filepath.Join(trained, "tokenizer.json")} {
		config := fmt.Sprintf(`{"from": %q, "special_tokens": "llama3"}`, from)
		s := spec(t, config)
		list, err := Type.Files(s)
		want := []string{filepath.Join(trained, "tokenizer.json"), filepath.Join(trained, "tokenizer_config.json")}
		if err != nil || !slices.Equal(list, want) {
			t.Errorf("files: %v, %v; want %v", list, err, want)
		}
		estimate, err := Type.Estimate(&steps.EstimateInput{Spec: s})
		if err != nil || estimate.Facts["vocab_size"] != 298 {
			t.Errorf("estimate: %+v, %v", estimate, err)
		}
		dir, values, err := runStep(t, s)
		if err != nil {
			t.Fatal(err)
		}
		if per, _ := values["bytes_per_token"].(float64); per < 1 || values["vocab_size"] != 298.0 {
			t.Errorf("values: %v", values)
		}
		tok, err := bpe.Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		old, err := bpe.Load(trained)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(tok.Encode(samplePage), old.Encode(samplePage)) {
			t.Error("added special tokens change the ids of text")
		}
		if bos, ok := tok.BOS(); !ok || bos != 290 {
			t.Errorf("BOS is %d, %v", bos, ok)
		}
	}
}

// TestBlame gives every mistake to the attribute that makes it.
func TestBlame(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(broken, []byte(`{"model": {"type": "Unigram"}}`), 0o666); err != nil {
		t.Fatal(err)
	}
	data := dataset(t, "furnace", 5)
	for _, c := range []struct{ config, path, message string }{
		{`{}`, "train", "add a train block"},
		{trainConfig(`"vocab_size": 300}, "from": "x.json"}`, data), "from", "leave out"},
		{trainConfig(`"vocab_size": 264}}`, data), "train.vocab_size", "8 special tokens take 264"},
		{trainConfig(`"vocab_size": 260}, "special_tokens": "chatml"}`, data), "train.vocab_size", "4 special tokens take 260"},
		{`{"from": "a/tokenizer.json", "pattern": "gpt2"}`, "pattern", "leave out pattern"},
		{`{"from": "nowhere.json"}`, "from", "no such file"},
		{`{"from": "."}`, "from", "the folder holds no tokenizer"},
		{fmt.Sprintf(`{"from": %q}`, broken), "from", "Unigram"},
		{trainConfig(`"vocab_size": 5000}}`, data), "train.vocab_size", "5000 are asked for"},
		{trainConfig(`"vocab_size": 300}}`, `{"kind": "dataset", "path": "/nowhere"}`), "train.corpus[0]", "nowhere"},
	} {
		s := spec(t, c.config)
		err := Type.Check(s)
		if err == nil {
			_, err = Type.Files(s)
		}
		if err == nil {
			_, _, err = runStep(t, s)
		}
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s\n got %v\nwant %s: …%s…", c.config, err, c.path, c.message)
		}
	}
}

// TestUnknown shows that holes in the configuration are said to be such.
func TestUnknown(t *testing.T) {
	for _, config := range []string{`{}`, `{"train": {"min_frequency": 2}}`} {
		if e, err := Type.Estimate(&steps.EstimateInput{Spec: spec(t, config)}); err == nil {
			t.Errorf("%s: %+v", config, e)
		}
	}
}
