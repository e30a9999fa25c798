package bpe

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The fixtures come from the real library: testdata/gen_fixtures.py.

func readFixture(t testing.TB, name string, v any) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(err)
	}
}

type libraryFixture struct {
	Docs, Texts []string
	Trained     []struct {
		Pattern   string
		VocabSize int `json:"vocab_size"`
		Merges    []string
		IDs       [][]int32
	}
}

func docs(list []string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range list {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func checkIDs(t *testing.T, tok *Tokenizer, encode func(string) []int32, texts []string, want [][]int32) {
	t.Helper()
	for i, text := range texts {
		if got := encode(text); !slices.Equal(got, want[i]) {
			t.Errorf("%.80q:\n got %v\nwant %v", text, got, want[i])
		}
	}
}

// TestTrainLikeLibrary trains on the library's text and expects its merges and its ids, for any number of threads.
func TestTrainLikeLibrary(t *testing.T) {
	var f libraryFixture
	readFixture(t, "library.json", &f)
	for _, c := range f.Trained {
		for _, threads := range []int{1, 3} {
			tok, stats, err := Train(context.Background(), docs(f.Docs), TrainOptions{
				VocabSize: c.VocabSize, Pattern: c.Pattern, MinFrequency: 2, Threads: threads,
			})
			if err != nil {
				t.Fatal(err)
			}
			var merges []string
			for _, m := range tok.order {
				merges = append(merges, tok.tokens[m.left].name+" "+tok.tokens[m.right].name)
			}
			if !slices.Equal(merges, c.Merges) {
				for i := range min(len(merges), len(c.Merges)) {
					if merges[i] != c.Merges[i] {
						t.Fatalf("%s, merge %d: %q, want %q", c.Pattern, i, merges[i], c.Merges[i])
					}
				}
				t.Fatalf("%s: %d merges, want %d", c.Pattern, len(merges), len(c.Merges))
			}
			checkIDs(t, tok, tok.Encode, f.Texts, c.IDs)
			var bytes, tokens int64
			for _, d := range f.Docs {
				bytes += int64(len(d))
				tokens += int64(len(tok.Encode(d)))
			}
			if stats.Bytes != bytes || stats.Tokens != tokens {
				t.Errorf("%s: stats %+v, want %d bytes and %d tokens", c.Pattern, stats, bytes, tokens)
			}
		}
	}
}

// TestLoadLikeLibrary reads files with the parts that published tokenizers have.
func TestLoadLikeLibrary(t *testing.T) {
	var f struct {
		Texts    []string
		Variants []struct {
			Name           string
			Tokenizer      json.RawMessage
			Special, Plain [][]int32
		}
	}
	readFixture(t, "variants.json", &f)
	for _, v := range f.Variants {
		t.Run(v.Name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), v.Tokenizer, 0o666); err != nil {
				t.Fatal(err)
			}
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			checkIDs(t, tok, tok.EncodeSpecial, f.Texts, v.Special)
			checkIDs(t, tok, tok.Encode, f.Texts, v.Plain)

			again := t.TempDir()
			if err := tok.Save(again); err != nil {
				t.Fatal(err)
			}
			saved, err := Load(again)
			if err != nil {
				t.Fatal(err)
			}
			checkIDs(t, saved, saved.EncodeSpecial, f.Texts, v.Special)
			checkIDs(t, saved, saved.Encode, f.Texts, v.Plain)
			if saved.Digest() != tok.Digest() {
				t.Error("a tokenizer that was saved and loaded has another digest")
			}
		})
	}
}

// TestTiktokenFiles needs the published vocabularies, which are not part of the project.
func TestTiktokenFiles(t *testing.T) {
	var f struct {
		Texts  []string
		CL100K [][]int32 `json:"cl100k_base"`
		R50K   [][]int32 `json:"r50k_base"`
	}
	readFixture(t, "tiktoken.json", &f)
	for name, want := range map[string][][]int32{"cl100k_base": f.CL100K, "r50k_base": f.R50K} {
		path := filepath.Join("..", "..", "..", "..", "shared", "data", "tokenizer", name+".tiktoken.gz")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			t.Skipf("%s is not there", path)
		}
		tok, err := LoadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkIDs(t, tok, tok.Encode, f.Texts, want)
		end, ok := tok.EOS()
		if !ok || !slices.Equal(tok.EncodeSpecial("<|endoftext|>"), []int32{end}) || slices.Contains(tok.Encode("<|endoftext|>"), end) {
			t.Errorf("%s: <|endoftext|> is not a special token", name)
		}
		dir := t.TempDir()
		if err := tok.Save(dir); err != nil {
			t.Fatal(err)
		}
		saved, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkIDs(t, saved, saved.Encode, f.Texts, want)
	}
}
