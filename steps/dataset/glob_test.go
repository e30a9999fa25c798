package dataset

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"

	"athanor/steps"
	"athanor/steps/disk"
)

// The text that a matcher looks for first must never turn away what the pattern matches.
func TestMatcherSaysWhatThePatternSays(t *testing.T) {
	patterns := []string{
		"**/*.go", "*.go", "**/*", "**", "*", "**/x.go", "x.go", "**/testdata/**", "a/**", "a/**/b", "**/*_test.go", "?.go",
		"{a,b}.go", "**/{a,b}/*.go", "[a-c]/x.go", "[.]go", "a\\*b", "\\[x\\]", "**/a\\b/*.go", "a/{b,c/d}/e*", "{**/,}x.go", "*a*b*", "a**b",
		"/r/**", "/r/*.go", "{x}", "x.{go,md}", "**/*/x.go", "é*", "**/é?.go",
	}
	names := []string{
		"x.go", "a/x.go", "a/b/x.go", "a.go", "b.go", "b/a.go", "testdata", "testdata/f", "a/testdata/f", "a/testdata/b/x.go", "mytestdata/f",
		"a", "a/b", "a/c/b", "a_test.go", "a/a_test.go", ".go", "a/.go", "a*b", "[x]", "ab", "a/ab/x.go", "a/b/e", "a/c/d/ef", "axb", "axxbyy",
		"/r/x.go", "/r/a/x.go", "/rx/x.go", "x", "x.md", "x.go.md", "é.go", "a/éx.go", "go", "\xff.go", "a/\xff/x.go", "",
	}
	matched := 0
	for _, pattern := range patterns {
		m := newMatcher(pattern)
		for _, name := range names {
			want := doublestar.MatchUnvalidated(pattern, name)
			if got := m.match(name); got != want {
				t.Errorf("%q matches %q: %v, want %v (it looks for %q)", pattern, name, got, want, m.has)
			}
			if want {
				matched++
			}
		}
	}
	if matched < len(names) {
		t.Errorf("only %d matches: the names are too few to tell", matched)
	}
}

// Steps of one plan see the same files, and another plan those that have come since.
func TestExpandLooksOncePerPlan(t *testing.T) {
	dir := put(t, map[string]string{"a/x.go": "1", "b/y.go": "2"})
	find := func(look *disk.Look) []string {
		t.Helper()
		files, err := expand(&steps.Spec{Dir: dir, Look: look}, "files[0].include", []string{"**/*.go"}, []string{"b/**"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range files {
			files[i] = strings.TrimPrefix(files[i], dir+"/")
		}
		return files
	}
	first := disk.NewLook()
	before := find(first)
	if err := os.WriteFile(filepath.Join(dir, "a", "z.go"), []byte("3"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		look *disk.Look
		want []string
	}{
		{"the same plan", first, before}, {"the next plan", disk.NewLook(), []string{"a/x.go", "a/z.go"}}, {"no plan", nil, []string{"a/x.go", "a/z.go"}},
	} {
		if got := find(c.look); !slices.Equal(got, c.want) {
			t.Errorf("%s finds %q, want %q", c.name, got, c.want)
		}
	}
}
