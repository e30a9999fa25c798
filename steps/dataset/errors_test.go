package dataset

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// Every error blames an attribute, and says in its message which file or value it is about.
func TestErrors(t *testing.T) {
	good := "{\"text\":\"A\"}\n"
	whole := zst(strings.Repeat("some text to compress, ", 1000) + "and more")
	for _, c := range []struct {
		name  string
		files map[string]string
		set   func(*Config)
		path  string
		want  []string // DIR stands for the folder
	}{
		{"no source", nil, func(c *Config) {}, "files", []string{"has no source"}},
		{"no match", map[string]string{"x/a.md": "A"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"x/*.txt"}}} },
			"files[0].include[0]", []string{`"x/*.txt"`, "no *.txt in the folder DIR/x"}},
		{"one of two patterns matches nothing", map[string]string{"a.md": "A"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*.md", "*.txt"}}} },
			"files[0].include[1]", []string{`"*.txt"`}},
		{"no such folder", nil, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"x/y/**"}}} },
			"jsonl[0].include[0]", []string{"the folder DIR/x/y does not exist", "pipeline's folder, DIR"}},
		{"a file as a folder", map[string]string{"a": "A"}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"a/*"}}} },
			"jsonl[0].include[0]", []string{"DIR/a is a file, not a folder"}},
		{"a folder as a file", map[string]string{"x/a": "A"}, func(c *Config) { c.Parquet = []RecordSource{{Include: []string{"x"}}} },
			"parquet[0].include[0]", []string{"DIR/x is a folder", `"x/**"`}},
		{"not a pattern", map[string]string{"a": "A"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"[a"}}} },
			"files[0].include[0]", []string{"[a", "syntax error in pattern"}},
		{"exclude is not a pattern", map[string]string{"a": "A"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"a"}, Exclude: []string{"x", "{a"}}} },
			"files[0].exclude[1]", []string{`"{a"`}},
		{"exclude leaves nothing", map[string]string{"a.go": "A", "b.go": "B"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}, Exclude: []string{"*.go"}}} },
			"files[0].exclude", []string{"none of the files"}},
		{"empty separator", map[string]string{"a": "A"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}, Separator: ptr("")}} },
			"files[0].separator", []string{"separates nothing"}},
		{"columns of two kinds", map[string]string{"a": good}, func(c *Config) {
			c.JSONL = []RecordSource{{Include: []string{"a"}, Columns: Columns{Text: ptr("x"), Chosen: ptr("y")}}}
		}, "jsonl[0].columns", []string{"one of"}},
		{"filters against each other", map[string]string{"a": "A"}, func(c *Config) {
			c.Files = []FileSource{{Include: []string{"*"}}}
			c.Filter.MinChars, c.Filter.MaxChars = ptr(10), ptr(5)
		},
			"filter.min_chars", []string{"10", "5"}},
		{"not a regular expression", map[string]string{"a": "A"}, func(c *Config) {
			c.Files = []FileSource{{Include: []string{"*"}}}
			c.Filter.DropMatching = []string{"ok", "("}
		},
			"filter.drop_matching[1]", []string{"missing closing )"}},
		{"bad gzip", map[string]string{"a.gz": "plain text"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}}} },
			"files[0].include", []string{"DIR/a.gz", "does not begin like a gzip file"}},
		{"gzip cut short", map[string]string{"a.gz": gz(strings.Repeat("text ", 1000))[:40]}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"jsonl[0].include", []string{"DIR/a.gz", "damaged or cut short"}},
		{"gzip header cut short", map[string]string{"a.gz": gz("text")[:3]}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}}} },
			"files[0].include", []string{"DIR/a.gz", "damaged or cut short"}},
		{"bad zstd", map[string]string{"a.zst": ""}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}}} },
			"files[0].include", []string{"DIR/a.zst", "does not begin like a zstd file"}},
		{"zstd cut short", map[string]string{"a.zst": whole[:len(whole)-9]}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}, Separator: ptr("\n\n")}} },
			"files[0].include", []string{"DIR/a.zst", "damaged or cut short"}},
		{"corrupt parquet", map[string]string{"a.parquet": "PAR1 and no more PAR1"}, func(c *Config) { c.Parquet = []RecordSource{{Include: []string{"*"}}} },
			"parquet[0].include", []string{"DIR/a.parquet", "not a whole Parquet file"}},
		{"JSON list cut short", map[string]string{"a.json": `[{"text":"A"},{"te`}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"jsonl[0].include", []string{"DIR/a.json", "element 2 of the list"}},
		{"more after a JSON list", map[string]string{"a.json": `[{"text":"A"}] {"text":"B"}`}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"jsonl[0].include", []string{"DIR/a.json", "more after the end"}},
		{"too many bad records", map[string]string{"a": good + "{\n" + good + "[1]\n"}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}}; c.MaxBad = 0.4 },
			"max_bad", []string{"2 of 4", "50.0 %", "40 %", "a:2: it is not JSON"}},
		{"no such column", map[string]string{"a": `{"content":"A","id":1}`}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"max_bad", []string{`a:1: it has no column "text"; it has content, id`}},
		{"two shapes", map[string]string{"a": good + `{"prompt":"P"}`}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"max_bad", []string{"a:2: it is a prompt document, and the dataset's first is a text document"}},
		{"nothing kept", map[string]string{"a": "A", "b": "\n"}, func(c *Config) { c.Files = []FileSource{{Include: []string{"*"}}}; c.Filter.MinChars = ptr(5) },
			"filter", []string{"none of the 2 records", "empty dropped 1", "min_chars dropped 1"}},
		{"no records", map[string]string{"a": "", "b": "\n\n"}, func(c *Config) { c.JSONL = []RecordSource{{Include: []string{"*"}}} },
			"", []string{"no records at all"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := put(t, c.files)
			config := newConfig()
			c.set(&config)
			_, err := produce(t, dir, 2, config)
			wantError(t, dir, err, c.path, c.want...)
		})
	}
}

// wantError checks the attribute that is blamed and what the message has in it.
func wantError(t *testing.T, dir string, err error, path string, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	var blame *steps.AttributeError
	if errors.As(err, &blame) != (path != "") || path != "" && blame.Path != path {
		t.Errorf("%#v blamed, want %q", blame, path)
	}
	for _, w := range want {
		if w = strings.ReplaceAll(w, "DIR", dir); !strings.Contains(err.Error(), w) {
			t.Errorf("%q\nhas no %q", err, w)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := put(t, map[string]string{"a": "A"})
	if err := os.Chmod(filepath.Join(dir, "a"), 0); err != nil {
		t.Fatal(err)
	}
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	_, err := produce(t, dir, 1, c)
	wantError(t, dir, err, "files[0].include", "DIR/a", "permission denied")
}

// A link to nowhere is named.
func TestDanglingLink(t *testing.T) {
	dir := put(t, map[string]string{"a": "A"})
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	_, err := produce(t, dir, 1, c)
	wantError(t, dir, err, "files[0].include[0]", "DIR/link is a link to nowhere")
}

// Links to folders are not followed: they can go round in circles.
func TestLinksInCircles(t *testing.T) {
	dir := put(t, map[string]string{"x/a.txt": "A"})
	if err := os.Symlink("..", filepath.Join(dir, "x", "up")); err != nil {
		t.Skip(err)
	}
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"**"}}}
	p, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"A"}) {
		t.Errorf("%q", got)
	}
}

// Wildcards in the name of the pipeline's own folder stand for themselves.
func TestOddFolder(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("such names are not allowed there")
	}
	dir := filepath.Join(put(t, map[string]string{"a[b]{c,d}?*/x/a.txt": "A", "a[b]{c,d}?*/x/b.txt": "B"}), "a[b]{c,d}?*")
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"x/*.txt"}, Exclude: []string{"x/b.*"}}}
	p, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"A"}) {
		t.Errorf("%q", got)
	}
}

func TestExclude(t *testing.T) {
	dir := put(t, map[string]string{"a.go": "1", "a_test.go": "2", "testdata/b.go": "3", "x/testdata/c.go": "4", "x/d.go": "5", "vendor/e.go": "6", "x/vendor/f.go": "7"})
	for _, c := range []struct {
		exclude []string
		want    string
	}{
		{nil, "a.go a_test.go testdata/b.go vendor/e.go x/d.go x/testdata/c.go x/vendor/f.go"},
		{[]string{"*_test.go"}, "a.go testdata/b.go vendor/e.go x/d.go x/testdata/c.go x/vendor/f.go"},
		{[]string{"**/*_test.go", "**/testdata/**"}, "a.go vendor/e.go x/d.go x/vendor/f.go"},
		{[]string{"vendor/**"}, "a.go a_test.go testdata/b.go x/d.go x/testdata/c.go x/vendor/f.go"},
		{[]string{"**/{vendor,testdata}/**", filepath.Join(dir, "x/*")}, "a.go a_test.go"},
	} {
		got, err := expand(&steps.Spec{Dir: dir}, "files[0].include", []string{"**/*.go"}, c.exclude)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			got[i], _ = filepath.Rel(dir, got[i])
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("without %q: %q, want %q", c.exclude, got, c.want)
		}
	}
}

// What a program is made of is part of the key: scripts, and folders such as that of a Go package.
func TestProgramFiles(t *testing.T) {
	dir := put(t, map[string]string{
		"run.sh": "", "tool/main.go": "", "tool/sub/x.go": "", "tool/.hidden": "", "tool/__pycache__/m.pyc": "", "tool[1]/a": "", "in/a": "",
	})
	for _, test := range []struct {
		name    string
		command []string
		inputs  []string
		want    []string
	}{
		{"a script", []string{"sh", "run.sh"}, nil, []string{"run.sh"}},
		{"a relative program", []string{"./run.sh"}, nil, []string{"run.sh"}},
		{"a package", []string{"go", "run", "./tool"}, nil, []string{"tool/main.go", "tool/sub/x.go"}},
		{"wildcards in a name", []string{"go", "run", "tool[1]"}, nil, []string{"tool[1]/a"}},
		{"inputs that are arguments", []string{"sh", "run.sh", "in"}, []string{"in/*"}, []string{"in/a", "run.sh"}},
		{"the folder itself, others, options", []string{"tool", ".", "..", filepath.Dir(dir), "-v"}, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newConfig()
			c.Program = []ProgramSource{{Command: test.command, Inputs: test.inputs}}
			config, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			files, err := Type.Files(&steps.Spec{Config: config, Dir: dir})
			want := []string{}
			for _, name := range test.want {
				want = append(want, filepath.Join(dir, filepath.FromSlash(name)))
			}
			if want = append(want, steps.GroupEnd); err != nil || !slices.Equal(files, want) {
				t.Errorf("%q, %v; want %q", files, err, want)
			}
		})
	}
}

// Moving a file from one source to the next is another list, and so another key.
func TestFilesTellsSourcesApart(t *testing.T) {
	dir := put(t, map[string]string{"a": "A", "b": "B", "c": "C"})
	list := func(first, second []string) string {
		c := newConfig()
		c.Files = []FileSource{{Include: first, Separator: ptr("x")}, {Include: second, Separator: ptr("y")}}
		config, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		files, err := Type.Files(&steps.Spec{Config: config, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(files, " ")
	}
	if one, two := list([]string{"a"}, []string{"b", "c"}), list([]string{"a", "b"}, []string{"c"}); one == two {
		t.Errorf("both are %s", one)
	}
}

func TestProgram(t *testing.T) {
	extract, err := filepath.Abs("testdata/extract/extract.go")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(extract)
	if err != nil {
		t.Fatal(err)
	}
	dir := put(t, map[string]string{"extract.go": string(source), "in/b.txt": "B", "in/a.txt": "A"})
	c := newConfig()
	c.Program = []ProgramSource{{Command: []string{"go", "run", "./extract.go", "in"}, Inputs: []string{"in/*"}}}
	p, err := produce(t, dir, 2, c)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.texts(t, corpus.Train); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("%q", got)
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	files, err := Type.Files(&steps.Spec{Config: config, Dir: dir})
	want := []string{filepath.Join(dir, "in", "a.txt"), filepath.Join(dir, "in", "b.txt"), filepath.Join(dir, "extract.go"), steps.GroupEnd}
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("the key depends on %q, %v; want %q", files, err, want)
	}
	c.Program[0].Command[3] = "nowhere"
	_, err = produce(t, dir, 2, c)
	wantError(t, dir, err, "program[0].command", `"go run ./extract.go nowhere" failed`, "exit status 1", "extract: no text in nowhere")
}

func TestProgramErrors(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	for _, c := range []struct {
		name   string
		script string
		want   []string
	}{
		{"fails after its output", "echo '{\"text\":\"A\"}'; echo deep trouble >&2; exit 7", []string{"exit status 7", "its standard error ends:\ndeep trouble"}},
		{"long standard error", "yes noise | head -n 5000 >&2; echo last words >&2; exit 1", []string{"… ", "noise\nlast words"}},
		{"says nothing", "exit 1", []string{"it wrote nothing to its standard error"}},
		{"prints no JSON", "echo '{\"text\":\"A\"}'; echo; echo Loading...", []string{"line 3 of its output is not a document: it is not JSON"}},
		{"prints other columns", "echo '{\"body\":\"A\"}'; echo oops >&2", []string{`line 1 of its output is not a document: it has no column "text"; it has body`, "oops"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := newConfig()
			config.MaxBad = 1
			config.Program = []ProgramSource{{Command: []string{"sh", "-c", c.script}}}
			dir := t.TempDir()
			_, err := produce(t, dir, 2, config)
			wantError(t, dir, err, "program[0].command", c.want...)
		})
	}
	config := newConfig()
	config.Program = []ProgramSource{{Command: []string{"no-such-program-anywhere"}}}
	_, err := produce(t, t.TempDir(), 1, config)
	wantError(t, "", err, "program[0].command", `no program "no-such-program-anywhere" on the PATH`)
}

// A program that never ends stops with its children: at a limit without an error, and when the step is stopped.
func TestProgramStops(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the programs are shell scripts")
	}
	endless := newConfig()
	endless.Program = []ProgramSource{{Command: []string{"sh", "-c", "while :; do echo '{\"text\":\"A\"}'; done | cat"}}}
	endless.Limit.Documents = ptr(int64(700))
	p, err := produce(t, t.TempDir(), 2, endless)
	if err != nil {
		t.Fatal(err)
	}
	if n := p.data.Stats().Kept; n != 700 {
		t.Errorf("%d documents", n)
	}
	silent := newConfig()
	silent.Program = []ProgramSource{{Command: []string{"sh", "-c", "sleep 1000 | cat"}}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := produceIn(t, ctx, t.TempDir(), 2, silent); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestEstimate(t *testing.T) {
	dir := put(t, map[string]string{"a": "12345", "b.gz": gz("x")})
	c := newConfig()
	c.Files = []FileSource{{Include: []string{"*"}}}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Type.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: config, Dir: dir}})
	compressed := float64(len(gz("x")))
	if err != nil || e.Bytes != 5+int64(compressed) || e.Facts["bytes"] != 5+3*compressed {
		t.Errorf("%+v, %v", e, err)
	}

	// How much a program prints is not known before.
	c.Program = []ProgramSource{{Command: []string{"cat"}, Inputs: []string{"a"}}}
	if config, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	e, err = Type.Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: config, Dir: dir}})
	if _, told := e.Facts["bytes"]; err != nil || told {
		t.Errorf("with a program: %+v, %v", e, err)
	}
}
