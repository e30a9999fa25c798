package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// pitfalls are the silent bugs of training systems that users of other projects met. Tests of the row with the number N
// are called TestPitfallN…, with two digits, and fail if the bug comes back.
var pitfalls = []string{
	"a resumed run has another loss",
	"shuffling is not restored, or every epoch has the same order",
	"resuming on changed data skips samples",
	"gradient accumulation changes the loss",
	"a mean of means instead of a mean over all tokens",
	"the token that begins a text is there twice, or missing",
	"the chat template in training differs from that in use",
	"the token that ends an answer is never learned",
	"the mask of the assistant's tokens is wrong",
	"truncation leaves nothing to learn, and the loss reads 0 or NaN",
	"packed documents attend to each other",
	"a stale set of tokens is used again",
	"sampler and trainer disagree",
	"reward hacking, or answers that become unlikely, are noticed too late",
	"something is lost on export",
}

// TestPitfallsHaveTests: every row has a test, and every test of that kind belongs to a row.
func TestPitfallsHaveTests(t *testing.T) {
	tests := map[int][]string{}
	name := regexp.MustCompile(`(?m)^func TestPitfall(\w*)\(`)
	form := regexp.MustCompile(`^[0-9]{2}[A-Z]`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range name.FindAllSubmatch(text, -1) {
			rest := string(found[1])
			if rest == "sHaveTests" {
				continue
			}
			row, _ := strconv.Atoi(rest[:min(2, len(rest))])
			if !form.MatchString(rest) || row < 1 || row > len(pitfalls) {
				t.Errorf("%s: TestPitfall%s names no row by two digits", path, rest)
			}
			tests[row] = append(tests[row], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, pitfall := range pitfalls {
		if len(tests[i+1]) == 0 {
			t.Errorf("no test is called TestPitfall%02d…: %s", i+1, pitfall)
		}
	}
}

// TestPitfall03ChangedDataIsAnotherKey: what was learned from other data is not gone on with, and the plan says why.
func TestPitfall03ChangedDataIsAnotherKey(t *testing.T) { runScripts(t, "testdata/pitfall03") }

// TestPitfall12OtherTokenizerIsAnotherKey: tokens of another tokenizer are not used again.
func TestPitfall12OtherTokenizerIsAnotherKey(t *testing.T) { runScripts(t, "testdata/pitfall12") }
