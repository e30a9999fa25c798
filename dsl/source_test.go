package dsl_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/dsl"
)

// write puts files into a new folder and makes it the current one, so that messages name short paths.
func write(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// load is Parse and Load; it returns what is printed about the result.
func load(t *testing.T, path string, o dsl.Options) (*dsl.Program, string) {
	t.Helper()
	o.Types = testTypes()
	source, diags := dsl.Parse(path)
	program, more := source.Load(o)
	return program, render(t, source, append(diags, more...))
}

func TestUnreadableSources(t *testing.T) {
	write(t, map[string]string{
		"quickstart.hcl":    "",
		"latin1.hcl":        "# caf\u00e9\nmodel \"a\" {\n  n_layer = \"\xe9\"\n}\n",
		"empty/readme.md":   "no recipe",
		"empty/.hidden.hcl": "= = =",
		"empty/sub/a.hcl":   "= = =",
		"vars.hcl":          "a = \"\xff\"",
	})
	for _, test := range []struct{ path, want string }{
		{"quickstrat.hcl", `There is no quickstrat.hcl. Did you mean "quickstart.hcl"?`},
		{"nowhere/at/all.hcl", "There is no nowhere/at/all.hcl."},
		{"latin1.hcl", "Byte 0xe9 on line 3 is not part of any UTF-8 character."},
		{"latin1.hcl", "on latin1.hcl line 3"},
		{"empty", "empty holds no .hcl file."},
		{"quickstart.hcl", "quickstart.hcl has no steps."},
	} {
		program, printed := load(t, test.path, dsl.Options{})
		if program != nil || !strings.Contains(printed, test.want) {
			t.Errorf("%s: want %q in\n%s", test.path, test.want, printed)
		}
	}
}

func TestFolder(t *testing.T) {
	write(t, map[string]string{
		"pipe/b.hcl":        "model \"b\" {\n  n_layer = var.n\n}\n",
		"pipe/a.hcl":        "model \"a\" {\n  n_layer = 1\n}\n",
		"pipe/vars.hcl":     "variable \"n\" { default = 4 }\n",
		"pipe/.ignored.hcl": "= =",
		"pipe/notes.txt":    "= =",
		"pipe/sub/c.hcl":    "= =",
	})
	program, printed := load(t, "pipe", dsl.Options{})
	if program == nil {
		t.Fatal(printed)
	}
	if program.Name != "pipe" || len(program.Steps) != 2 || program.Steps[0].Address.String() != "model.a" {
		t.Errorf("got %s with %v", program.Name, program.Steps)
	}
	if want := "pipe/a.hcl pipe/b.hcl pipe/vars.hcl"; strings.Join(program.Files, " ") != want {
		t.Errorf("files %v, want %s", program.Files, want)
	}
	if wd, _ := os.Getwd(); program.Dir != filepath.Join(wd, "pipe") {
		t.Errorf("dir %s", program.Dir)
	}
	write(t, map[string]string{"p/a.hcl": "model \"a\" { n_layer = 1 }", "p/b.hcl": "model \"a\" { n_layer = 1 }"})
	if _, printed := load(t, "p", dsl.Options{}); !strings.Contains(printed, "on p/b.hcl line 1") ||
		!strings.Contains(printed, "the first is here (p/a.hcl line 1)") {
		t.Errorf("a step in two files:\n%s", printed)
	}
}

func TestDiagnosticsJSON(t *testing.T) {
	write(t, map[string]string{"a.hcl": "model \"b\" {\n  n_layer = dataset.x\n}\nmodel \"a\" {\n  n_layers = 2\n  n_layer  = 1\n}\n"})
	source, _ := dsl.Parse("a.hcl")
	_, diags := source.Load(dsl.Options{Types: testTypes()})
	got, err := json.Marshal(source.JSON(append(diags, diags...))) // repeated ones are left out
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"severity":"error","summary":"Unknown step","detail":"There is no step dataset.x. The steps are: model.a, model.b.",` +
		`"range":{"file":"a.hcl","start":{"line":2,"column":13,"byte":24},"end":{"line":2,"column":22,"byte":33}},` +
		`"snippet":"   2:   n_layer = dataset.x\n                  ^^^^^^^^^\n"},` +
		`{"severity":"error","summary":"Unknown attribute","detail":"model has no attribute \"n_layers\". Did you mean \"n_layer\"?",` +
		`"range":{"file":"a.hcl","start":{"line":5,"column":3,"byte":50},"end":{"line":5,"column":11,"byte":58}},` +
		`"snippet":"   5:   n_layers = 2\n        ^^^^^^^^\n"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := source.JSON(nil); got == nil || len(got) != 0 {
		t.Errorf("no diagnostics must give an empty list, not %v", got)
	}
}

func TestColourAndWidth(t *testing.T) {
	write(t, map[string]string{"a.hcl": "model \"a\" {\n\tn_layers = 2\n\tn_layer = 1\n}\n"})
	source, _ := dsl.Parse("a.hcl")
	_, diags := source.Load(dsl.Options{Types: testTypes()})
	var b strings.Builder
	if err := source.WriteDiagnostics(&b, diags, 30, true); err != nil {
		t.Fatal(err)
	}
	const want = "\x1b[1;31mError: \x1b[0m\x1b[1mUnknown attribute\x1b[0m\n\n" +
		"  on a.hcl line 2, in model \"a\":\n   2:  n_layers = 2\n       \x1b[31m^^^^^^^^\x1b[0m\n\n" +
		"model has no attribute\n\"n_layers\". Did you mean\n\"n_layer\"?\n\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}
