package chat

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"athanor/steps/internal/llm"
)

// folder writes a small model with random weights and the tokenizer of bytes.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	c := llm.Config{
		VocabSize: 260, HiddenSize: 32, IntermediateSize: 64, NumHiddenLayers: 1, NumAttentionHeads: 2, NumKeyValueHeads: 1,
		HeadDim: 16, RMSNormEps: 1e-5, RopeTheta: 1e4, MaxPositionEmbeddings: 48, InitializerRange: 0.3,
		EOSTokenIDs: []int32{257},
	}
	if err := llm.WriteInitial(t.Context(), dir, c, 1); err != nil {
		t.Fatal(err)
	}
	if err := llm.CopyTokenizer(dir, filepath.Join("testdata", "tokenizer")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T) *Session {
	t.Helper()
	s, err := Open(t.Context(), folder(t), "cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func complete(t *testing.T, s *Session, prompt string, o Options) []string {
	t.Helper()
	var parts []string
	if err := s.Complete(t.Context(), prompt, o, func(text string) { parts = append(parts, text) }); err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestComplete(t *testing.T) {
	s := open(t)
	o := Options{MaxTokens: 30, Temperature: 1, Seed: 3}
	first := complete(t, s, "Once", o)
	for _, part := range first {
		if part == "" || !utf8.ValidString(part) {
			t.Errorf("a part %q", part)
		}
	}
	text := strings.Join(first, "")
	if again := strings.Join(complete(t, s, "Once", o), ""); again != text {
		t.Errorf("one seed gives %q and %q", text, again)
	}
	o.Seed = 4
	if other := strings.Join(complete(t, s, "Once", o), ""); other == text {
		t.Errorf("two seeds give %q", text)
	}
	if got := complete(t, s, "", Options{MaxTokens: 1}); len(got) > 1 {
		t.Errorf("one token came as %q", got)
	}
	if got := s.Describe(); !strings.Contains(got, "1 layers of 32") {
		t.Errorf("described as %q", got)
	}
}

// TestStop: a stop token ends the text and is not shown.
func TestStop(t *testing.T) {
	s := open(t)
	greedy := Options{MaxTokens: 20}
	var ids []int32
	_, err := s.model.Generate(t.Context(), [][]int32{s.encode("Once")}, llm.Sampling{MaxTokens: 20},
		func(_ int, id int32, _ float64) error {
			ids = append(ids, id)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for at < len(ids) && ids[at] == ids[0] {
		at++
	}
	if at == len(ids) {
		t.Fatalf("the greedy text repeats one token: %v", ids)
	}
	s.stop = []int32{ids[at]}
	want := strings.ToValidUTF8(s.tokenizer.Decode(ids[:at]), "\uFFFD")
	if got := strings.Join(complete(t, s, "Once", greedy), ""); got != want {
		t.Errorf("%q, want %q: the token after it is the end", got, want)
	}
}

// TestPitfall06OneBOS: a prompt begins with one beginning-of-text token and has no other, whatever it says.
func TestPitfall06OneBOS(t *testing.T) {
	s := open(t)
	begin, _ := s.tokenizer.BOS()
	for _, prompt := range []string{"", "Once", "<|begin_of_text|>Once"} {
		ids := s.encode(prompt)
		count := 0
		for _, id := range ids {
			if id == begin {
				count++
			}
		}
		if count != 1 || ids[0] != begin {
			t.Errorf("%q: %v", prompt, ids)
		}
	}
}

// TestContext: the text ends where the context is full, and a prompt that fills it is an error.
func TestContext(t *testing.T) {
	s := open(t)
	s.stop = nil
	drawn := 0
	for _, part := range complete(t, s, "Once", Options{Temperature: 1}) {
		drawn += len(part)
	}
	if drawn == 0 || drawn > 3*(48-5) { // a lone byte is shown as the three of U+FFFD
		t.Errorf("%d bytes from a context of 48 tokens and a prompt of 5", drawn)
	}
	err := s.Complete(t.Context(), strings.Repeat("x", 47), Options{}, nil)
	if err == nil || !strings.Contains(err.Error(), "48 tokens") {
		t.Errorf("a prompt as long as the context: %v", err)
	}
}

func TestErrors(t *testing.T) {
	s := open(t)
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.Complete(ended, "x", Options{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	if err := s.Complete(t.Context(), "x", Options{Temperature: math.NaN()}, nil); err == nil {
		t.Error("no temperature: no error")
	}
	if _, err := Open(t.Context(), t.TempDir(), "cpu", 1); err == nil || !strings.Contains(err.Error(), "no model folder") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Open(t.Context(), folder(t), "abacus", 1); err == nil || !strings.Contains(err.Error(), "abacus") {
		t.Errorf("an unknown device: %v", err)
	}
	dir := folder(t)
	if err := os.Remove(filepath.Join(dir, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), dir, "cpu", 1); err == nil || !strings.Contains(err.Error(), "cannot be talked to") {
		t.Errorf("a model without a tokenizer: %v", err)
	}
	small := filepath.Join("..", "internal", "llm", "testdata", "untied")
	mixed := t.TempDir()
	if err := errors.Join(os.CopyFS(mixed, os.DirFS(small)), llm.CopyTokenizer(mixed, filepath.Join("testdata", "tokenizer"))); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), mixed, "cpu", 1); err == nil || !strings.Contains(err.Error(), "do not belong together") {
		t.Errorf("the tokenizer of another model: %v", err)
	}
}
