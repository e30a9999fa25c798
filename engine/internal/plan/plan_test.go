package plan

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/dsl"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/store"
	"athanor/steps"
)

type textConfig struct {
	Text  string           `json:"text" default:"\"\"" doc:"A text."`
	Size  float64          `json:"size" default:"1" doc:"A number."`
	Name  string           `json:"name" hcl:"free" default:"\"\"" doc:"Not in the key."`
	Files []string         `json:"files" hcl:"path" doc:"Files."`
	Data  []steps.Artifact `json:"data" kind:"dataset" optional:"true" doc:"Inputs."`
}

var textType = steps.Type{
	Name: "text", Doc: "A text.", Version: 1, Config: textConfig{},
	Outputs: []steps.Output{{Name: "data", Type: "dataset"}, {Name: "length", Type: "number"}},
	Files: func(s *steps.Spec) ([]string, error) {
		var c textConfig
		err := s.Decode(&c)
		return c.Files, err
	},
	Run: func(context.Context, *steps.Runtime) error { return nil },
}

func program(t testing.TB, dir, text string) *dsl.Program {
	t.Helper()
	path := filepath.Join(dir, "p.hcl")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	types, err := Language([]steps.Type{textType, workType})
	if err != nil {
		t.Fatal(err)
	}
	source, diags := dsl.Parse(path)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	p, diags := source.Load(dsl.Options{Types: types})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return p
}

func state(t testing.TB) State {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(filepath.Join(dir, "runs.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return State{s, j}
}

func makePlan(t testing.TB, text string, st State, o Options) *Plan {
	t.Helper()
	o.Types = []steps.Type{textType}
	p, diags, err := Make(program(t, t.TempDir(), text), st, o)
	if err != nil || diags.HasErrors() {
		t.Fatal(diags, err)
	}
	return p
}

// TestKey holds what is part of a key and what is not. The first key is written out: if it changes, every cached
// result of every user is lost, so it must not change by accident.
func TestKey(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"1": "one", "2": "two", "3": "one"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name string) string { return filepath.ToSlash(filepath.Join(dir, name)) }
	const base = `text "a" { text = "hello" }`
	const want = "e56b0821caa12bcdcddf4cd128823e28"
	st := state(t)
	key := func(text string) string { return makePlan(t, text, st, Options{}).Steps[0].Key }
	first := key(base)
	if !strings.HasPrefix(first, want) {
		t.Errorf("the key of %s is %s and used to be %s…", base, first, want)
	}
	one := fmt.Sprintf("text \"a\" {\n files = [%q]\n}", file("1"))
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"another name", base, `text "b" { text = "hello" }`, true},
		{"a comment", base, "# why\n" + base, true},
		{"an expression", base, `text "a" { text = join("", ["hel", "lo"]) }`, true},
		{"a default written out", base, "text \"a\" {\n text = \"hello\"\n size = 1.0\n}", true},
		{"a free attribute", base, "text \"a\" {\n text = \"hello\"\n name = \"n\"\n}", true},
		{"retries", base, "text \"a\" {\n text = \"hello\"\n retry {\n attempts = 3\n }\n}", true},
		{"another text", base, `text "a" { text = "Hello" }`, false},
		{"another number", base, "text \"a\" {\n text = \"hello\"\n size = 1.5\n}", false},
		{"a seed", base, "text \"a\" {\n text = \"hello\"\n seed = 3\n}", false},
		{"a file", "text \"a\" {}", one, false},
		{"a file of another name", one, fmt.Sprintf("text \"a\" {\n files = [%q]\n}", file("3")), true},
		{"a file of another content", one, fmt.Sprintf("text \"a\" {\n files = [%q]\n}", file("2")), false},
		{"the order of files", fmt.Sprintf("text \"a\" {\n files = [%q, %q]\n}", file("1"), file("2")),
			fmt.Sprintf("text \"a\" {\n files = [%q, %q]\n}", file("2"), file("1")), false},
	} {
		if got := key(c.a) == key(c.b); got != c.same {
			t.Errorf("%s: same key %v, want %v", c.name, got, c.same)
		}
	}
}

func TestOrder(t *testing.T) {
	p := makePlan(t, `
text "d" { data = [text.b, text.c] }
text "z" { text = "z" }
text "c" { data = [text.a] }
text "b" { data = [text.a] }
text "a" { text = "a" }
text "e" { size = text.d.length }
`, state(t), Options{})
	var got []string
	for _, s := range p.Steps {
		got = append(got, s.Name()+":"+string(s.Action))
	}
	want := "text.z:run text.a:run text.c:deferred text.b:deferred text.d:deferred text.e:deferred"
	if strings.Join(got, " ") != want {
		t.Errorf("order %v, want %s", got, want)
	}
	if flops, seconds, complete := p.Total(); flops != 0 || seconds != 0 || !complete {
		t.Errorf("a plan without estimates sums up to %v, %v, %v", flops, seconds, complete)
	}
}

func TestTargets(t *testing.T) {
	const text = `
text "a" { text = "a" }
text "b" { data = [text.a] }
text "c" {
  for_each = toset(["x", "y"])
  data     = [text.b]
}
`
	for _, c := range []struct{ targets, want, wrong string }{
		{"text.a", "text.a", ""},
		{"text.b", "text.a text.b", ""},
		{`text.c["x"]`, `text.a text.b text.c["x"]`, ""},
		{`text.c[y]`, `text.a text.b text.c["y"]`, ""},
		{"text.c", `text.a text.b text.c["x"] text.c["y"]`, ""},
		{"text.bb", "", "Did you mean text.b?"},
		{"quite.different", "", "no step quite.different."},
	} {
		p, _, err := Make(program(t, t.TempDir(), text), state(t), Options{Types: []steps.Type{textType}, Targets: []string{c.targets}})
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: error %v, want %q", c.targets, err, c.wrong)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range p.Steps {
			got = append(got, s.Name())
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", c.targets, got, c.want)
		}
	}
}

// A key is the digest of what the standard encoder writes, so that stores stay good.
func TestKeyIsTheDigestOfJSON(t *testing.T) {
	child := Child{Name: "a<b", Artifacts: map[string]input{"model": {"model", "00"}}, Values: json.RawMessage(`{"x":1}`)}
	for _, m := range []*Material{
		{Type: "t", Version: 1, Config: json.RawMessage(`{"a":"<&>"}`), Seed: 7},
		{Type: "a.b", Version: 2, Config: json.RawMessage(`{}`), Files: []File{{"x", "aa"}, {"y", "bb"}}},
		{Type: "t", Version: 1, Config: json.RawMessage(`{"a": [1, 2]}`), Files: []File{{"x", "aa"}}, Children: []Child{child}},
	} {
		digests := []string{}
		for _, f := range m.Files {
			digests = append(digests, f.Digest)
		}
		text, err := json.Marshal(struct {
			Children []Child         `json:"children,omitempty"`
			Config   json.RawMessage `json:"config"`
			Files    []string        `json:"files"`
			Seed     uint64          `json:"seed"`
			Type     string          `json:"type"`
			Version  int             `json:"version"`
		}{m.Children, m.Config, digests, m.Seed, m.Type, m.Version})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Key(); err != nil || got != fmt.Sprintf("%x", sha256.Sum256(text)) {
			t.Errorf("the key of %s is %s (%v)", text, got, err)
		}
	}
}

func withChildren(m *Material, children ...Child) *Material {
	m.Children = children
	return m
}

func TestWhy(t *testing.T) {
	long := strings.Repeat("x", 60)
	material := func(config string, files ...File) *Material {
		return &Material{Type: "t", Version: 1, Config: json.RawMessage(config), Seed: 1, Files: files}
	}
	sources := map[string]dsl.Address{"data": {Type: "text", Name: "a"}}
	for _, c := range []struct {
		name     string
		old, now *Material
		want     string
	}{
		{"nothing", material(`{}`), material(`{}`), "an earlier result is gone"},
		{"a number", material(`{"o":{"lr":0.003}}`), material(`{"o":{"lr":1e-5}}`), "config changed: o.lr 0.003 → 1e-5"},
		{"a new attribute", material(`{}`), material(`{"a":true}`), "config changed: a (none) → true"},
		{"a list of numbers is one value", material(`{"b":[0.9,0.95]}`), material(`{"b":[0.9,0.99]}`), "config changed: b [0.9,0.95] → [0.9,0.99]"},
		{"blocks one by one", material(`{"p":[{"w":1},{"w":2}]}`), material(`{"p":[{"w":1},{"w":3},{"w":4}]}`),
			"config changed: p[1].w 2 → 3, p[2] (none) → {…}"},
		{"many", material(`{"a":1,"b":1,"c":1,"d":1,"e":1}`), material(`{"a":2,"b":2,"c":2,"d":2,"e":2}`),
			"config changed: a 1 → 2, b 1 → 2, c 1 → 2 and 2 more"},
		{"long values", material(`{"a":""}`), material(`{"a":"` + long + `"}`), `config changed: a "" → "` + long[:38] + "…"},
		{"an input", material(`{"data":{"kind":"dataset","digest":"1"}}`), material(`{"data":{"kind":"dataset","digest":"2"}}`),
			"input changed: data (text.a)"},
		{"an input among others", material(`{"x":[{"kind":"dataset","digest":"1"}]}`),
			material(`{"x":[{"kind":"dataset","digest":"1"},{"kind":"dataset","digest":"2"}]}`), "input changed: x[1]"},
		{"the version", material(`{}`), &Material{Type: "t", Version: 2, Config: json.RawMessage(`{}`), Seed: 1}, "step version changed: 1 → 2"},
		{"the seed", material(`{}`), &Material{Type: "t", Version: 1, Config: json.RawMessage(`{}`), Seed: 7}, "config changed: seed 1 → 7"},
		{"a file", material(`{}`, File{"a", "1"}), material(`{}`, File{"a", "2"}), "files changed: a"},
		{"files", material(`{}`, File{"a", "1"}, File{"b", "1"}), material(`{}`, File{"b", "1"}, File{"c", "3"}), "files changed: a removed, c added"},
		{"groups of files", material(`{}`, File{"a", "1"}), material(`{}`, File{"a", "1"}, File{steps.GroupEnd, "0"}, File{"b", "2"}, File{steps.GroupEnd, "0"}),
			"files changed: b added"},
		{"the order of files", material(`{}`, File{"a", "1"}, File{"b", "2"}), material(`{}`, File{"b", "2"}, File{"a", "1"}),
			"files changed: read in another order"},
		{"a child", withChildren(material(`{}`), Child{Name: "a"}), withChildren(material(`{}`), Child{Name: "a"}, Child{Name: "b"}), "children changed: b added"},
		{"what children made", withChildren(material(`{}`), Child{Name: "a", Values: json.RawMessage(`{"x":1}`)}, Child{Name: "b"}),
			withChildren(material(`{}`), Child{Name: "a", Values: json.RawMessage(`{"x":2}`)}, Child{Name: "c", Artifacts: map[string]input{"m": {"model", "1"}}}),
			"children changed: a, c added, b removed"},
		{"the order of children", withChildren(material(`{}`), Child{Name: "a"}, Child{Name: "b"}), withChildren(material(`{}`), Child{Name: "b"}, Child{Name: "a"}),
			"children changed: in another order"},
		{"both", material(`{"a":1}`, File{"a", "1"}), material(`{"a":2}`, File{"a", "2"}), "config changed: a 1 → 2; files changed: a"},
	} {
		if got := why(c.old, c.now, sources); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// BenchmarkMake plans 10,000 steps, of which nothing is known, in one long pipeline.
func BenchmarkMake(b *testing.B) {
	const n = 10_000
	var text strings.Builder
	for i := range n {
		data := ""
		if i%100 != 0 {
			data = fmt.Sprintf("  data = [text.s%d, text.s%d]\n", i-1, i/2)
		}
		fmt.Fprintf(&text, "text \"s%d\" {\n  text = \"t%d\"\n%s}\n", i, i, data)
	}
	st := state(b)
	p := program(b, b.TempDir(), text.String())
	for b.Loop() {
		made, diags, err := Make(p, st, Options{Types: []steps.Type{textType}})
		if err != nil || diags.HasErrors() || len(made.Steps) != n {
			b.Fatal(diags, err)
		}
	}
}

// A stored result that lacks what the step type promises is made again, whoever stored it.
func TestAResultThatDoesNotFitIsMadeAgain(t *testing.T) {
	const text = `text "a" { text = "hello" }`
	for name, c := range map[string]struct {
		outputs map[string]store.Folder
		values  string
	}{
		"an artifact is missing":      {nil, `{"length":5}`},
		"a value is missing":          {map[string]store.Folder{"data": {Kind: "dataset"}}, `{}`},
		"a value of another type":     {map[string]store.Folder{"data": {Kind: "dataset"}}, `{"length":"five"}`},
		"an artifact of another kind": {map[string]store.Folder{"data": {Kind: "model"}}, `{"length":5}`},
	} {
		t.Run(name, func(t *testing.T) {
			st := state(t)
			for out, f := range c.outputs {
				f.Dir = t.TempDir()
				c.outputs[out] = f
			}
			key := makePlan(t, text, st, Options{}).Steps[0].Key
			if _, err := st.Store.Commit(store.Action{Key: key, Values: json.RawMessage(c.values)}, json.RawMessage("{}"), c.outputs); err != nil {
				t.Fatal(err)
			}
			if s := makePlan(t, text, st, Options{}).Steps[0]; s.Action != Run || !strings.Contains(s.Reason, "stored result") || s.Key != key {
				t.Errorf("%s (%s), key %s; want run, key %s", s.Action, s.Reason, s.Key, key)
			}
		})
	}
}
