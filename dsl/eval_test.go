package dsl_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"athanor/dsl"

	"github.com/zclconf/go-cty/cty"
)

// TestGood evaluates every testdata/good/*.hcl twice, before anything has run and as a run would, and compares what
// each step is given with the .txt file beside.
func TestGood(t *testing.T) {
	files, err := filepath.Glob("testdata/good/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no good recipes: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".hcl"), func(t *testing.T) {
			program := mustLoad(t, name)
			var b strings.Builder
			fmt.Fprintf(&b, "%s %q seed %d\n\n", program.Name, program.Description, program.Seed)
			b.WriteString("== before a run ==\n")
			for _, step := range program.Steps {
				b.WriteString(evaluated(t, step, nil))
			}
			b.WriteString("\n== in a run ==\n")
			known := dsl.Known{}
			for _, step := range inOrder(program) {
				b.WriteString(evaluated(t, step, known))
				known[step.Address.String()] = pretend(t, step, known)
				if diags := step.CheckRequire(known); diags.HasErrors() {
					t.Error(diags)
				}
			}
			b.WriteString("\n== outputs ==\n")
			for _, o := range program.Outputs {
				v, diags := o.Eval(known)
				if diags.HasErrors() || !v.IsWhollyKnown() {
					t.Errorf("%s: %#v %v", o.Name, v, diags)
				}
				fmt.Fprintf(&b, "%s needs %v: %#v\n", o.Name, o.Needs, v)
			}
			golden(t, strings.TrimSuffix(name, ".hcl")+".txt", b.String())
		})
	}
}

func mustLoad(t testing.TB, name string) *dsl.Program {
	t.Helper()
	source, diags := dsl.Parse(name)
	program, more := source.Load(dsl.Options{Types: testTypes(), GoRoot: "/go"})
	if program == nil {
		t.Fatal(append(diags, more...))
	}
	return program
}

// evaluated shows what a step is given with what is known.
func evaluated(t *testing.T, step *dsl.Step, known dsl.Known) string {
	t.Helper()
	i, diags := step.Eval(known)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", step.Address, marshal(t, i, dsl.MarshalOptions{AllowUnknown: true}))
	if i.When != cty.True {
		fmt.Fprintf(&b, "    when %#v\n", i.When)
	}
	if len(i.Waits) > 0 {
		fmt.Fprintf(&b, "    waits for %v\n", i.Waits)
	}
	for _, path := range slices.Sorted(maps.Keys(i.Sources())) {
		fmt.Fprintf(&b, "    %s from %s %s\n", path, i.Sources()[path], i.Upstream()[path].Digest)
	}
	if i.Seed != nil {
		fmt.Fprintf(&b, "    seed %d\n", *i.Seed)
	}
	if i.Timeout != 0 || i.Retry != (dsl.Retry{Attempts: 1}) {
		fmt.Fprintf(&b, "    timeout %v retry %v\n", i.Timeout, i.Retry)
	}
	if !i.Config.IsWhollyKnown() && len(i.Waits) == 0 && i.When != cty.False {
		t.Errorf("%s is not known and waits for nothing", step.Address)
	}
	return b.String()
}

func marshal(t *testing.T, i *dsl.Instance, o dsl.MarshalOptions) string {
	t.Helper()
	fields, err := dsl.Fields(i.Step.Type.Config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := dsl.MarshalConfig(i.Config, fields, o)
	if err != nil {
		t.Fatalf("%s: %v", i.Step.Address, err)
	}
	return string(text)
}

// inOrder sorts the steps of a program so that each comes after those it needs.
func inOrder(p *dsl.Program) []*dsl.Step {
	var out []*dsl.Step
	done := map[dsl.Address]bool{}
	var visit func(s *dsl.Step)
	visit = func(s *dsl.Step) {
		if done[s.Address] {
			return
		}
		done[s.Address] = true
		for _, a := range s.Needs {
			visit(p.Step(a))
		}
		out = append(out, s)
	}
	for _, s := range p.Steps {
		visit(s)
	}
	return out
}

// pretend is what a step might yield: artifacts named after it, numbers that are 3, null when it is skipped.
func pretend(t *testing.T, step *dsl.Step, known dsl.Known) cty.Value {
	t.Helper()
	i, diags := step.Eval(known)
	if diags.HasErrors() || !i.Config.IsWhollyKnown() && i.When.True() {
		t.Fatalf("%s: %v, waits for %v", step.Address, diags, i.Waits)
	}
	if i.When.False() {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return outputsOf(step)
}

func outputsOf(step *dsl.Step) cty.Value {
	outputs := map[string]cty.Value{}
	for _, o := range step.Type.Outputs {
		switch o.Type {
		case cty.Number:
			outputs[o.Name] = cty.NumberIntVal(3)
		case cty.Bool:
			outputs[o.Name] = cty.False
		default:
			outputs[o.Name] = dsl.ArtifactVal(dsl.Artifact{
				Kind: o.Type.FriendlyName(), Digest: "#" + step.Address.String() + "/" + o.Name, Step: step.Address.String(), Output: o.Name})
		}
	}
	return cty.ObjectVal(outputs)
}

// TestDeclarationOrder holds that the order of the blocks changes nothing but the order of the steps.
func TestDeclarationOrder(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.hcl")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want := byAddress(t, mustLoad(t, name))
		blocks := strings.SplitAfter(string(text), "\n}\n")
		random := rand.New(rand.NewPCG(1, 2))
		for range 5 {
			random.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
			shuffled := filepath.Join(t.TempDir(), filepath.Base(name))
			if err := os.WriteFile(shuffled, []byte(strings.Join(blocks, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := byAddress(t, mustLoad(t, shuffled)); !maps.Equal(got, want) {
				t.Errorf("%s in another order:\ngot  %v\nwant %v", name, got, want)
			}
		}
	}
}

func byAddress(t *testing.T, p *dsl.Program) map[string]string {
	t.Helper()
	known, out := dsl.Known{}, map[string]string{}
	for _, s := range inOrder(p) {
		out[s.Address.String()] = evaluated(t, s, nil) + evaluated(t, s, known) + fmt.Sprint(s.Needs)
		known[s.Address.String()] = pretend(t, s, known)
	}
	return out
}

// TestSideBySide evaluates all steps at once; the race detector is the judge.
func TestSideBySide(t *testing.T) {
	program := mustLoad(t, "testdata/good/alignment.hcl")
	known := dsl.Known{}
	for _, s := range inOrder(program) {
		known[s.Address.String()] = pretend(t, s, known)
	}
	var all sync.WaitGroup
	for _, s := range slices.Concat(program.Steps, program.Steps) {
		all.Go(func() {
			if _, diags := s.Eval(known); diags.HasErrors() {
				t.Error(diags)
			}
			s.CheckRequire(known)
		})
	}
	all.Wait()
}

func TestRange(t *testing.T) {
	program := mustLoad(t, "testdata/good/quickstart.hcl")
	for _, test := range []struct {
		step, path string
		line, col  int
	}{
		{"mixture.web", "tokenizer", 43, 3},
		{"mixture.web", "part[1].weight", 47, 5},
		{"mixture.web", "part[1].max_epochs", 45, 3}, // not written: the block
		{"mixture.web", "part[0].data", 44, 17},
		{"mixture.web", "part[7]", 42, 1},
		{"mixture.web", "nothing.at.all", 42, 1},
		{"mixture.web", "", 42, 1},
		{"dataset.code", "files[0].include[0]", 23, 16},
		{"dataset.code", "files[0].include[9]", 23, 5},
		{"pretrain.base", "optimizer.lr", 66, 15},
		{"pretrain.base", "optimizer.betas", 66, 3},
		{"pretrain.base", "extra[1]", 64, 28},
		{"pretrain.base", "timeout", 68, 3},
		{"pretrain.base", "retry.backoff", 71, 5},
	} {
		a, err := dsl.ParseAddress(test.step)
		if err != nil {
			t.Fatal(err)
		}
		i, _ := program.Step(a).Eval(nil)
		if r := i.Range(test.path); r.Start.Line != test.line || r.Start.Column != test.col {
			t.Errorf("%s %s: %v, want line %d column %d", test.step, test.path, r, test.line, test.col)
		}
	}
}

func TestRequire(t *testing.T) {
	write(t, map[string]string{"p.hcl": `
model "a" {
  for_each = ["x", "y"]
  n_layer  = 2
  require {
    condition     = self.parameters > 2 && model.a[each.key].parameters < 4
    error_message = "${each.key} has ${self.parameters} parameters"
  }
  require { condition = self.parameters != model.b.parameters + 1 }
}

model "b" { n_layer = 1 }
`})
	program := mustLoad(t, "p.hcl")
	x := program.Step(dsl.Address{Type: "model", Name: "a", Key: "x", Keyed: true})
	if want := "[model.b]"; fmt.Sprint(x.Needs) != want {
		t.Errorf("needs %v, want %s", x.Needs, want)
	}
	parameters := func(a, b int64) dsl.Known {
		out := dsl.Known{}
		for address, n := range map[string]int64{`model.a["x"]`: a, "model.b": b} {
			out[address] = cty.ObjectVal(map[string]cty.Value{
				"model":      dsl.ArtifactVal(dsl.Artifact{Kind: "model", Digest: "d"}),
				"parameters": cty.NumberIntVal(n),
			})
		}
		return out
	}
	for _, test := range []struct {
		known dsl.Known
		want  []string
	}{
		{nil, nil},
		{parameters(3, 7), nil},
		{parameters(5, 7), []string{"x has 5 parameters\n\nHere model.a is"}},
		{parameters(2, 1), []string{"x has 2 parameters", "The condition is false.\n\nHere model.b.parameters is 1, self.parameters is 2."}},
	} {
		diags := x.CheckRequire(test.known)
		if len(diags) != len(test.want) {
			t.Errorf("%v, want %q", diags, test.want)
			continue
		}
		for i, d := range diags {
			if i == 0 && strings.Contains(test.want[0], "model.a is") {
				continue
			}
			if !strings.Contains(d.Detail, test.want[i]) || d.Subject.Start.Line < 5 {
				t.Errorf("%q, want %q", d.Detail, test.want[i])
			}
		}
	}
}

// TestSharedLocals loads local values that each use the one before twice: looking into all of them without remembering
// would take 2⁴⁰ evaluations.
func TestSharedLocals(t *testing.T) {
	var b strings.Builder
	b.WriteString("model \"a\" { n_layer = 1 }\nlocals {\n  n0 = model.a.parameters\n  m0 = model.a\n")
	for i := 1; i <= 40; i++ {
		fmt.Fprintf(&b, "  n%d = local.n%d + local.n%d\n", i, i-1, i-1)
		fmt.Fprintf(&b, "  m%d = model.a.parameters > %d ? local.m%d : local.m%d\n", i, i, i-1, i-1)
	}
	b.WriteString("}\nmodel \"b\" { n_layer = local.n40 }\nevaluate \"a\" { model = local.m40 }\n")
	write(t, map[string]string{"p.hcl": b.String()})
	program := mustLoad(t, "p.hcl")
	known := dsl.Known{}
	for _, s := range inOrder(program) {
		known[s.Address.String()] = pretend(t, s, known)
	}
	i, _ := program.Step(dsl.Address{Type: "model", Name: "b"}).Eval(known)
	if got, want := marshal(t, i, dsl.MarshalOptions{}), `{"dim":256,"n_layer":3298534883328}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
