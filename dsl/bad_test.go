package dsl_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/dsl"

	"github.com/hashicorp/hcl/v2"
)

// update is set by make golden: rewrite the golden files.
var update = os.Getenv("ATHANOR_GOLDEN") == "update"

// TestBad loads every testdata/bad/*.hcl. A comment "# ERROR: text" says that an error with that text starts on its
// line; nothing else may be wrong. The errors as they are printed are in the .txt file beside.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad recipes: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".hcl"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			source, diags := dsl.Parse(name)
			program, more := source.Load(optionsIn(string(text)))
			diags = append(diags, more...)
			if !diags.HasErrors() || program != nil {
				t.Fatalf("a bad recipe gives a program: %v", diags)
			}
			compareErrors(t, name, string(text), diags)
			golden(t, strings.TrimSuffix(name, ".hcl")+".txt", render(t, source, diags))
		})
	}
}

// optionsIn reads lines "# VAR: name=value" and "# ENV: NAME=value".
func optionsIn(text string) dsl.Options {
	o := dsl.Options{Types: testTypes(), GoRoot: "/go", Vars: map[string]string{}}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "# VAR: "); ok {
			name, value, _ := strings.Cut(strings.TrimSpace(v), "=")
			o.Vars[name] = value
		}
		if v, ok := strings.CutPrefix(line, "# ENV: "); ok {
			o.Env = append(o.Env, strings.TrimSpace(v))
		}
	}
	return o
}

func compareErrors(t *testing.T, name, text string, diags hcl.Diagnostics) {
	t.Helper()
	want := map[int][]string{}
	for i, line := range strings.Split(text, "\n") {
		for _, w := range strings.Split(line, "# ERROR: ")[1:] {
			want[i+1] = append(want[i+1], strings.TrimSpace(w))
		}
	}
	seen := map[string]bool{}
	for _, d := range diags {
		if d.Subject == nil || d.Subject.Filename != name {
			continue // on the command line, say; the golden file shows it
		}
		line := d.Subject.Start.Line
		full := d.Summary + ": " + d.Detail
		if seen[fmt.Sprint(line, full)] {
			continue
		}
		seen[fmt.Sprint(line, full)] = true
		at := slices.IndexFunc(want[line], func(w string) bool { return strings.Contains(full, w) })
		if at < 0 {
			t.Errorf("line %d: unexpected error %s", line, full)
			continue
		}
		want[line] = slices.Delete(want[line], at, at+1)
	}
	for line, missing := range want {
		for _, w := range missing {
			t.Errorf("line %d: no error %q", line, w)
		}
	}
}

func render(t *testing.T, source *dsl.Source, diags hcl.Diagnostics) string {
	t.Helper()
	var b strings.Builder
	if err := source.WriteDiagnostics(&b, diags, 100, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares a text with a file, or rewrites the file under make golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatalf("%v: run make golden", err)
	}
	if got != string(want) {
		t.Errorf("%s has changed. If that is meant, run make golden.\ngot:\n%s\nwant:\n%s", name, got, want)
	}
}
