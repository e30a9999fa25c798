package dsl_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/dsl"
)

// FuzzLoad holds that no text makes Parse, Load or Format panic, that every error is at a place or says which file,
// and that formatting twice changes nothing.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*/*.hcl")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("model \"a\" {\n  for_each = [\"x\"]\n  n_layer = model.a[each.key][0][*].b...\n}\n")
	types := testTypes()
	path := filepath.Join(f.TempDir(), "fuzz.hcl")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		source, diags := dsl.Parse(path)
		program, more := source.Load(dsl.Options{Types: types, NoExpense: true})
		diags = append(diags, more...)
		if (program == nil) != diags.HasErrors() {
			t.Errorf("program %v with %v", program, diags)
		}
		render(t, source, diags)
		source.JSON(diags)
		for _, d := range diags {
			if d.Summary == "" || d.Detail == "" {
				t.Errorf("a message without words: %#v", d)
			}
		}
		if program != nil {
			for _, s := range program.Steps {
				i, diags := s.Eval(nil)
				if !diags.HasErrors() {
					marshal(t, i, dsl.MarshalOptions{AllowUnknown: true})
				}
			}
		}
		once, diags := dsl.Format([]byte(text), path)
		if twice, _ := dsl.Format(once, path); !diags.HasErrors() && string(twice) != string(once) {
			t.Errorf("formatting twice changes %q into %q", once, twice)
		}
	})
}

// recipe is n steps, of which each but the first few refers to another one, to a local value and to a variable.
func recipe(n int) string {
	var b strings.Builder
	b.WriteString("variable \"dim\" { default = 64 }\nlocals {\n  first = model.s0.parameters\n  scale = { a = 1 }\n}\n")
	for i := range n {
		layers := "2"
		if i > 0 {
			layers = fmt.Sprintf("model.s%d.parameters + local.scale.a", i/2)
		}
		if i > 1 {
			layers += " + local.first"
		}
		fmt.Fprintf(&b, "model \"s%d\" {\n  n_layer = %s\n  dim     = var.dim * 2\n}\n", i, layers)
	}
	return b.String()
}

// BenchmarkLoad shows how Load grows: the time per step must not.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("steps=%d", n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "many.hcl")
			if err := os.WriteFile(path, []byte(recipe(n)), 0o644); err != nil {
				b.Fatal(err)
			}
			types := testTypes()
			for b.Loop() {
				source, _ := dsl.Parse(path)
				if program, diags := source.Load(dsl.Options{Types: types}); program == nil {
					b.Fatal(diags)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/step")
		})
	}
}

// BenchmarkForEach is one block with many keys, and another that refers to it key by key.
func BenchmarkForEach(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "many.hcl")
			text := fmt.Sprintf("locals {\n  keys = [for i in [for a in range(%d) : a] : tostring(i)]\n}\n"+
				"model \"a\" {\n  for_each = local.keys\n  n_layer  = 2\n}\n"+
				"model \"b\" {\n  for_each = local.keys\n  n_layer  = model.a[each.key].parameters\n}\n", min(n, 1000))
			if n > 1000 { // range() stops at 1024
				text = strings.ReplaceAll(text, "[for a in range(1000) : a]", fmt.Sprintf("flatten([for a in range(%d) : [for c in range(1000) : a * 1000 + c]])", n/1000))
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				b.Fatal(err)
			}
			types := testTypes()
			for b.Loop() {
				source, _ := dsl.Parse(path)
				if program, diags := source.Load(dsl.Options{Types: types}); program == nil {
					b.Fatal(diags)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
	}
}
