package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/steps/catalog"
)

// What the README shows of the language is a valid pipeline.
func TestReadmeExamplesAreValid(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(text), "```hcl\n")[1:]
	if len(examples) == 0 {
		t.Fatal("the README has no example in HCL")
	}
	for _, example := range examples {
		example, _, closed := strings.Cut(example, "\n```")
		if !closed {
			t.Fatal("an example has no end")
		}
		path := filepath.Join(t.TempDir(), "example.hcl")
		if err := os.WriteFile(path, []byte(example), 0o666); err != nil {
			t.Fatal(err)
		}
		if code := newApp(catalog.Types).run([]string{"validate", path}); code != 0 {
			t.Errorf("engine validate ended with %d on:\n%s", code, example)
		}
	}
}
