package bpe

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// trained returns a small tokenizer of the fixture's text.
func trained(t testing.TB, special string) *Tokenizer {
	t.Helper()
	var f libraryFixture
	readFixture(t, "library.json", &f)
	tok, _, err := Train(context.Background(), docs(f.Docs), TrainOptions{VocabSize: 600, Special: special})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// TestBytesSurvive encodes and decodes strings that are and are not UTF-8.
func TestBytesSurvive(t *testing.T) {
	tok := trained(t, "llama3")
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		b := make([]byte, rng.IntN(300))
		for i := range b {
			if b[i] = byte(rng.Uint32()); rng.IntN(3) > 0 {
				b[i] = "etaoin <|>shr\n\t'"[rng.IntN(16)]
			}
		}
		s := string(b) + atoms[rng.IntN(len(atoms))]
		if got := tok.Decode(tok.Encode(s)); got != s {
			t.Fatalf("%q came back as %q", s, got)
		}
		var streamed strings.Builder
		stream := tok.Stream()
		for _, id := range tok.Encode(s) {
			streamed.WriteString(stream.Next(id))
		}
		streamed.WriteString(stream.Flush())
		if streamed.String() != s {
			t.Fatalf("%q was streamed as %q", s, streamed.String())
		}
	}
}

func FuzzBytesSurvive(f *testing.F) {
	tok := trained(f, "llama3")
	for _, s := range atoms {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := tok.Decode(tok.Encode(s)); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	})
}

// TestIllFormed holds the rule for bytes that are not UTF-8: words end where they would with U+FFFD in their place.
func TestIllFormed(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"ab\xffcd", []string{"ab", "\xffcd"}},
		{"ab \xff\xfe!", []string{"ab", " \xff\xfe!"}},
		{"é\xc3é", []string{"é", "\xc3é"}},
		{"1\xe2\x82 2", []string{"1", "\xe2\x82", " ", "2"}},
		{"\xed\xa0\x80", []string{"\xed\xa0\x80"}},
	} {
		if got := cut(knownRules[llama3Pattern], c.text); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

// TestStream shows that characters come out whole, and bytes that are none at once.
func TestStream(t *testing.T) {
	tok := trained(t, "none")
	stream := tok.Stream()
	var got []string
	for _, b := range []byte("a漢\xffb\xf0\x9f\x98\x80\xe2\x82c\xf0\x9f") {
		got = append(got, stream.Next(tok.byByte[b]))
	}
	got = append(got, stream.Flush(), stream.Flush())
	want := []string{"a", "", "", "漢", "\xff", "b", "", "", "", "😀", "", "", "\xe2\x82c", "", "", "\xf0\x9f", ""}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

// TestSpecialTokens covers the sets: their ids are the last ones, roles are distinct, text never becomes one of them, and
// nothing adds a BOS (row 6 of the silent bugs: BOS twice, or missing).
func TestSpecialTokens(t *testing.T) {
	for _, set := range []string{"llama3", "chatml"} {
		tok := trained(t, set)
		names := specialSets[set].tokens
		for i, name := range names {
			id, ok := tok.Special(name)
			if want := int32(600 - len(names) + i); !ok || id != want || !tok.IsSpecial(id) || tok.Decode([]int32{id}) != name {
				t.Errorf("%s has the id %d, want %d", name, id, want)
			}
			text := "one " + name + " two"
			if slices.ContainsFunc(tok.Encode(text), tok.IsSpecial) {
				t.Errorf("%s is found in plain text", name)
			}
			if got := tok.Decode(tok.Encode(text)); got != text {
				t.Errorf("%q came back as %q", text, got)
			}
			if got, want := tok.EncodeSpecial(text), slices.Concat(tok.Encode("one "), []int32{id}, tok.Encode(" two")); !slices.Equal(got, want) {
				t.Errorf("%q: %v, want %v", text, got, want)
			}
		}
		pad, hasPad := tok.PAD()
		eos, hasEOS := tok.EOS()
		eot, hasEOT := tok.EOT()
		if !hasPad || !hasEOS || !hasEOT || pad == eos || pad == eot || eos == eot {
			t.Errorf("%s: pad %d, eos %d, eot %d", set, pad, eos, eot)
		}
		if bos, ok := tok.BOS(); ok && (slices.Contains(tok.Encode("text"), bos) || slices.Contains(tok.EncodeSpecial("text"), bos)) {
			t.Errorf("%s: a BOS was added", set)
		}
	}
	if tok := trained(t, "none"); len(tok.byName) != 0 {
		t.Errorf("none has special tokens: %v", tok.byName)
	}
}

// TestLongWords compares the two ways to merge, which take over from each other at some length.
func TestLongWords(t *testing.T) {
	tok := trained(t, "none")
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		text := make([]byte, 1+rng.IntN(200))
		for i := range text {
			text[i] = "theatr nso"[rng.IntN(10)]
		}
		var a, b scratch
		for _, c := range text {
			a.ids = append(a.ids, tok.byByte[c])
			b.ids = append(b.ids, tok.byByte[c])
		}
		a.ranks, a.made = make([]uint32, len(text)), make([]int32, len(text))
		if short, long := tok.merges.mergeShort(&a), tok.merges.mergeLong(&b); !slices.Equal(short, long) {
			t.Fatalf("%q: %v and %v", text, short, long)
		}
	}
	if got := tok.Decode(tok.Encode(strings.Repeat("heat", 300000))); len(got) != 1200000 {
		t.Errorf("a word of 1200000 bytes came back with %d", len(got))
	}
}

// TestConcurrentUse is for the race detector; the caches must not mix up words.
func TestConcurrentUse(t *testing.T) {
	var f libraryFixture
	readFixture(t, "library.json", &f)
	tok := trained(t, "none")
	var want [][]int32
	for _, s := range f.Texts {
		want = append(want, tok.Encode(s))
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, s := range f.Texts {
				if !slices.Equal(tok.Encode(s), want[i]) {
					t.Errorf("%.40q has other ids", s)
				}
			}
		})
	}
	wg.Wait()
}

func TestConfig(t *testing.T) {
	source := t.TempDir()
	if err := trained(t, "chatml").Save(source); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, config, jinja string
		bos, eos, template  string
	}{
		{"absent", "", "", "", "<|endoftext|>", ""},
		{"strings", `{"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "chat_template": "x"}`, "", "<|im_start|>", "<|im_end|>", "x"},
		{"objects", `{"eos_token": {"content": "<|im_end|>"}, "chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}`, "", "", "<|im_end|>", "d"},
		{"a file of its own", `{"eos_token": null}`, "j", "", "<|endoftext|>", "j"},
		{"a token that is not there", `{"eos_token": "</s>"}`, "", "", "<|endoftext|>", ""},
	} {
		dir := t.TempDir()
		data, err := os.ReadFile(filepath.Join(source, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"tokenizer.json": string(data), "tokenizer_config.json": c.config, "chat_template.jinja": c.jinja} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		if tok.roles.bos != c.bos || tok.roles.eos != c.eos || tok.ChatTemplate() != c.template {
			t.Errorf("%s: %+v", c.name, tok.roles)
		}
	}
}

func TestErrors(t *testing.T) {
	tok := trained(t, "none")
	good := string(tok.tokenizerJSON())
	edit := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q in the file", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct{ name, text, message string }{
		{"tokenizer.json", `{`, "unexpected end"},
		{"tokenizer.json", `{}`, "no model.vocab"},
		{"tokenizer.json", edit(`"type": "BPE"`, `"type": "WordPiece"`), "WordPiece"},
		{"tokenizer.json", edit(`"dropout": null`, `"dropout": 0.1`), "dropout 0.1"},
		{"tokenizer.json", edit(`"byte_fallback": false`, `"byte_fallback": true`), "SentencePiece"},
		{"tokenizer.json", edit(`"end_of_word_suffix": null`, `"end_of_word_suffix": "</w>"`), "end_of_word_suffix"},
		{"tokenizer.json", edit(`"normalizer": null`, `"normalizer": {"type": "Lowercase"}`), "Lowercase"},
		{"tokenizer.json", edit(`"Isolated"`, `"MergedWithPrevious"`), "MergedWithPrevious"},
		{"tokenizer.json", edit(`{"type": "ByteLevel", "add_prefix_space": false,`, `{"type": "Metaspace",`), "Metaspace"},
		{"tokenizer.json", edit(mustJSON(llama3Pattern), `"(unclosed"`), "(unclosed"},
		{"tokenizer.json", edit(`"!": 0`, `"!": 1`), `belongs to both`},
		{"tokenizer.json", edit(`"!": 0`, `"!": -1`), "the id -1"},
		{"tokenizer.json", edit(`"!": 0`, `"!": 2000000000`), "2000000000"},
		{"tokenizer.json", edit(`"!": 0`, `"!!": 0`), "1 of the 256 bytes (the first is 0x21)"},
		{"tokenizer.json", edit(`"merges": [`, `"merges": [7, `), "merge 0"},
		{"tokenizer.json", edit(`"merges": [`, `"merges": ["ab", `), "merge 0"},
		{"tokenizer.json", edit(`"merges": [`, `"merges": [["q","q"], `), "does not have"},
		{"tokenizer.json", edit(`"merges": [`, `"merges": ["nope q", `), "not both in the vocabulary"},
		{"mine.tiktoken", "IQ== 0\n", "name a pattern"},
		{"cl100k_base.tiktoken", "IQ== 0\n", "255 of the 256 bytes"},
		{"cl100k_base.tiktoken", "IQ== 0\n???\n", "line 2"},
		{"cl100k_base.tiktoken", "IQ== 0\nIg== 0\n", "belongs to both"},
		{"cl100k_base.tiktoken.gz", "IQ== 0\n", "gzip"},
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadFile(path); err == nil || !strings.Contains(err.Error(), c.message) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want …%s…", c.name, err, c.message)
		}
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestTrainErrors(t *testing.T) {
	broken := errors.New("the disk is gone")
	failing := func(yield func(string, error) bool) {
		_ = yield("text", nil) && yield("", broken)
	}
	if _, _, err := Train(context.Background(), failing, TrainOptions{VocabSize: 300}); !errors.Is(err, broken) {
		t.Errorf("a failing text: %v", err)
	}
	_, _, err := Train(context.Background(), docs([]string{"abab abab"}), TrainOptions{VocabSize: 1000, Special: "llama3"})
	var short *VocabSizeError
	if !errors.As(err, &short) || short.Want != 1000 || short.Reached != 256+8+3 {
		t.Errorf("too little text: %v", err) // there are ab, abab and " abab"
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Train(ctx, docs([]string{"abab"}), TrainOptions{VocabSize: 300}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for _, opt := range []TrainOptions{{VocabSize: 100}, {VocabSize: 300, Pattern: "gpt9"}, {VocabSize: 300, Special: "gpt9"}} {
		if _, _, err := Train(context.Background(), docs(nil), opt); err == nil {
			t.Errorf("%+v is accepted", opt)
		}
	}
}

// TestSavedFile looks at what the file says, beside what comes back from it.
func TestSavedFile(t *testing.T) {
	tok := trained(t, "llama3")
	var f jsonFile
	if err := json.Unmarshal(tok.tokenizerJSON(), &f); err != nil {
		t.Fatal(err)
	}
	if len(f.AddedTokens) != 8 || len(f.Model.Vocab) != 592 || len(f.Model.Merges) < 592-256 {
		t.Errorf("%d added tokens, %d in the vocabulary, %d merges", len(f.AddedTokens), len(f.Model.Vocab), len(f.Model.Merges))
	}
	var config map[string]any
	if err := json.Unmarshal(tok.configJSON(), &config); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|finetune_right_pad_id|>", "chat_template": llama3Template,
	} {
		if config[key] != want {
			t.Errorf("%s is %v", key, config[key])
		}
	}
}
