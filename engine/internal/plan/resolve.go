package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
	"athanor/engine/internal/store"
	"athanor/steps"
	"athanor/steps/disk"
)

// A Predictor decides what becomes of a step, given the outputs known so far. The plan asks it once per step, the run
// again whenever a step is about to start. It is for one goroutine.
type Predictor struct {
	plan    *Plan
	program *dsl.Program
	state   State
	known   dsl.Known
	force   map[string]string // by address: why it runs even if it is cached
	fields  map[string][]dsl.Field
	offers  map[string][]string // by attribute: what the machine offers
	look    *disk.Look          // at the disk, while a plan is made; a run looks anew at every step
}

// forced is why a step runs that the user has named with --force.
const forced = "forced"

func newPredictor(plan *Plan, state State) *Predictor {
	return &Predictor{
		plan: plan, program: plan.Program, state: state,
		known: dsl.Known{}, force: map[string]string{}, fields: map[string][]dsl.Field{}, offers: map[string][]string{},
	}
}

// Known returns the outputs known so far. It is the predictor's own: do not change it.
func (p *Predictor) Known() dsl.Known { return p.known }

// Resolve decides a step and sets its fields; those of its children too, if it is composite. Diagnostics are the
// pipeline's fault, the error is not.
func (p *Predictor) Resolve(s *Step) (hcl.Diagnostics, error) {
	if s.Parent != nil {
		return p.resolveChild(s)
	}
	s.reset()
	s.After = p.running(s)
	instance, diags := s.Program.Eval(p.known)
	if diags.HasErrors() {
		return diags, nil
	}
	s.Instance = instance
	if instance.When.IsKnown() && instance.When.False() {
		s.Action, s.Reason = Skipped, "its condition (when) is false"
		p.known[s.Name()] = cty.NullVal(cty.DynamicPseudoType)
		return diags, nil
	}
	if s.Type.Expand != nil {
		more, err := p.expand(s)
		if err == nil && !more.HasErrors() {
			more, err = p.resolveChildren(s)
		}
		diags = append(diags, more...)
		if diags.HasErrors() || err != nil {
			return diags, err
		}
	}
	more, err := p.conclude(s)
	return append(diags, more...), err
}

// reset forgets what was decided.
func (s *Step) reset() {
	s.Key, s.Material, s.Made, s.Require, s.Resumes = "", nil, nil, nil, false
}

// conclude decides a step whose block has been evaluated.
func (p *Predictor) conclude(s *Step) (hcl.Diagnostics, error) {
	instance := s.Instance
	supported, err := p.askMachine(s)
	if err != nil {
		return nil, err
	}
	if len(instance.Waits) > 0 || !instance.When.IsKnown() || !instance.Config.IsWhollyKnown() {
		s.Action, s.After = Deferred, instance.Waits
		s.Reason = s.waits()
		diags, err := p.checkEarly(s)
		return append(diags, supported...), err
	}
	diags, err := p.makeMaterial(s, instance.Config)
	if diags.HasErrors() || err != nil {
		return diags, err
	}
	if s.Key, err = s.Material.Key(); err != nil {
		return diags, err
	}
	if err := p.decide(s); err != nil {
		return diags, err
	}
	if s.Action == Run { // a result that another machine has made is as good as any
		diags = append(diags, supported...)
	}
	return diags, nil
}

// running lists the steps that come before s and that have not ended.
func (p *Predictor) running(s *Step) []dsl.Address {
	var after []dsl.Address
	for _, need := range s.Needs {
		if need.Action == Run || need.Action == Deferred {
			after = append(after, need.Address)
		}
	}
	return after
}

// decide looks the key up and gives the reason.
func (p *Predictor) decide(s *Step) error {
	made, err := p.state.Store.Lookup(s.Key)
	damage := (*store.DamageError)(nil)
	switch {
	case p.force[s.Name()] != "":
		s.Action, s.Reason, s.Made = Run, p.force[s.Name()], made
	case errors.As(err, &damage):
		s.Action, s.Reason, s.Made = Run, fmt.Sprintf("output %s: %v", damage.Reason, damage), made
	case err != nil:
		return fmt.Errorf("looking up %s: %w", s.Name(), err)
	case made != nil:
		err := p.Adopt(s, made)
		if err == nil {
			s.Action, s.Reason, s.After = Cached, "", nil
			return nil
		}
		s.Action, s.Reason = Run, err.Error() // another engine's, or damaged: it is made again
	default:
		s.Action = Run
		if s.Reason, err = p.reason(s); err != nil {
			return err
		}
	}
	checkpoints, _ := os.ReadDir(filepath.Join(p.state.Store.WorkDir(s.Key), "checkpoints"))
	s.Resumes = len(checkpoints) > 0
	if s.Resumes && s.Reason == neverRan {
		s.Reason = "never finished"
	}
	return nil
}

// Adopt makes the outputs of a result known.
func (p *Predictor) Adopt(s *Step, made *store.Action) error {
	value, err := outputs(s, made)
	if err != nil {
		return fmt.Errorf("the stored result of %s: %w", s.Name(), err)
	}
	s.Made = made
	p.known[s.Name()] = value
	delete(p.force, s.Name())
	if s.Parent == nil { // require is about the outputs of the block
		s.Require = s.Program.CheckRequire(p.known)
	}
	return nil
}

// Forget takes a result back, because its outputs have turned out to be damaged: the step is to run again.
func (p *Predictor) Forget(s *Step, reason string) {
	delete(p.known, s.Name())
	p.force[s.Name()] = reason
	s.Action, s.Reason = Run, reason
}

const neverRan = "never ran"

// reason says why a step whose key is new will run.
func (p *Predictor) reason(s *Step) (string, error) {
	last, err := p.state.Journal.Last(p.program.Name, p.program.Path(), s.Name())
	if err != nil {
		return "", err
	}
	if last == nil {
		return neverRan, nil
	}
	raw := last.Material
	if len(raw) == 0 { // it was cached in that run: the material is with the result
		raw, _ = p.state.Store.Material(last.Key) // what cannot be read explains nothing
	}
	var old Material
	if len(raw) == 0 || json.Unmarshal(raw, &old) != nil {
		return "its last result is gone", nil
	}
	return why(&old, s.Material, s.Instance.Sources()), nil
}

// makeMaterial collects what the key is made of, and lets the step type check it.
func (p *Predictor) makeMaterial(s *Step, config cty.Value) (hcl.Diagnostics, error) {
	files, diags, err := p.check(s, config)
	if diags.HasErrors() || err != nil {
		return diags, err
	}
	key, err := p.marshal(s, config, dsl.MarshalOptions{Key: true, Artifact: func(a dsl.Artifact) any {
		return input{a.Kind, a.Digest}
	}})
	if err != nil {
		return diags, err
	}
	s.Files = files
	s.Material = &Material{Type: s.Type.Name, Version: s.Type.Version, Config: key, Seed: p.seed(s), Children: results(s)}
	if len(files) == 0 {
		return diags, nil
	}
	digests, err := p.state.Store.Digests(p.look, files)
	if err != nil {
		file := (*fs.PathError)(nil)
		if !errors.As(err, &file) || errors.Is(err, syscall.ENOSPC) {
			return diags, err
		}
		return append(diags, dsl.Error(p.namedBy(s, config, file.Path), "Unreadable file",
			fmt.Sprintf("A file that %s reads cannot be read: %v.", s.Name(), err))), nil
	}
	s.Material.Files = make([]File, len(files))
	for i, path := range files {
		s.Material.Files[i] = File{p.relative(path), digests[i]}
	}
	return diags, nil
}

// relative shortens a path below the pipeline's folder.
func (p *Predictor) relative(path string) string {
	if filepath.IsAbs(path) && !strings.HasPrefix(path, p.program.Dir) {
		return path
	}
	if r, err := filepath.Rel(p.program.Dir, path); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return path
}

// checkEarly lets the step type look at a configuration in which nothing but artifacts is missing, so that a mistake
// below hours of work is found before them.
func (p *Predictor) checkEarly(s *Step) (hcl.Diagnostics, error) {
	config, err := s.Instance.Placed()
	if err != nil || !config.IsWhollyKnown() {
		return nil, err
	}
	_, diags, err := p.check(s, config)
	return diags, err
}

// check calls the type's Files and Check, and returns the files' absolute paths.
func (p *Predictor) check(s *Step, config cty.Value) ([]string, hcl.Diagnostics, error) {
	if s.Type.Files == nil && s.Type.Check == nil {
		return nil, nil, nil
	}
	spec, err := p.spec(s, config, dsl.MarshalOptions{Artifact: planned})
	if err != nil {
		return nil, nil, err
	}
	if s.Type.Check != nil {
		if err := s.Type.Check(spec); err != nil {
			return nil, Blame(s, "Invalid configuration", err), nil
		}
	}
	if s.Type.Files == nil {
		return nil, nil, nil
	}
	files, err := s.Type.Files(spec)
	if err != nil {
		return nil, Blame(s, "Invalid input files", err), nil
	}
	for i, path := range files {
		files[i] = spec.Resolve(path)
	}
	return files, nil, nil
}

// planned is an artifact as a step type sees it before the run: no path.
func planned(a dsl.Artifact) any { return steps.Artifact{Kind: a.Kind, Digest: a.Digest} }

// spec describes the step to its type. The run adds what it alone knows.
func (p *Predictor) spec(s *Step, config cty.Value, o dsl.MarshalOptions) (*steps.Spec, error) {
	raw, err := p.marshal(s, config, o)
	if err != nil {
		return nil, err
	}
	return &steps.Spec{
		Address: s.Name(), Type: s.Type.Name, Version: s.Type.Version, Key: s.Key,
		Config: raw, Seed: p.seed(s), Files: s.Files, Dir: p.program.Dir, Look: p.look,
	}, nil
}

// Spec describes a step that is about to run. path finds the folder of an artifact.
func (p *Predictor) Spec(s *Step, path func(digest string) (string, error)) (*steps.Spec, error) {
	var failed error
	spec, err := p.spec(s, s.Instance.Config, dsl.MarshalOptions{Artifact: func(a dsl.Artifact) any {
		dir, err := path(a.Digest)
		if err != nil && failed == nil {
			failed = err
		}
		return steps.Artifact{Kind: a.Kind, Digest: a.Digest, Path: dir}
	}})
	if err == nil {
		err = failed
	}
	if err == nil {
		spec.Children, err = handed(s, path)
	}
	return spec, err
}

// seed is the block's own seed or the pipeline's. It does not depend on the step's name, so renaming keeps the key.
func (p *Predictor) seed(s *Step) uint64 {
	if s.Instance.Seed != nil {
		return *s.Instance.Seed
	}
	return p.program.Seed
}

func (p *Predictor) marshal(s *Step, config cty.Value, o dsl.MarshalOptions) (json.RawMessage, error) {
	fields, err := p.fieldsOf(s.Type)
	if err != nil {
		return nil, err
	}
	o.Machine = p.settle
	raw, err := dsl.MarshalConfig(config, fields, o)
	if err != nil {
		return nil, fmt.Errorf("the configuration of %s: %w", s.Name(), err)
	}
	return raw, nil
}

func (p *Predictor) fieldsOf(t *steps.Type) ([]dsl.Field, error) {
	fields, ok := p.fields[t.Name]
	if !ok {
		var err error
		if fields, err = dsl.Fields(t.Config); err != nil {
			return nil, fmt.Errorf("step type %s: %w", t.Name, err)
		}
		p.fields[t.Name] = fields
	}
	return fields, nil
}

// Where is the place in the recipe of an attribute of the step: for "", or for what the block does not have, that of
// the block, or of what in it asks for a child.
func (s *Step) Where(path string) hcl.Range {
	if s.Instance == nil {
		return s.Program.Range
	}
	return s.Instance.Range(path)
}

// Blame turns a step type's error into a diagnostic at the attribute that it blames, or at the block's header.
func Blame(s *Step, summary string, err error) hcl.Diagnostics {
	path := ""
	if attr := (*steps.AttributeError)(nil); errors.As(err, &attr) {
		path, err = attr.Path, attr.Err
	}
	return hcl.Diagnostics{dsl.Error(s.Where(path), summary, Sentence(s.Name()+": "+err.Error()))}
}

// Sentence ends a message with a full stop, as diagnostics do.
func Sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" || strings.ContainsAny(text[len(text)-1:], ".!?") {
		return text
	}
	return text + "."
}

// waits says what a deferred step waits for: values of variables, and steps, its own children by their number if they
// are many.
func (s *Step) waits() string {
	var reasons []string
	if len(s.Instance.Unset) > 0 {
		names := make([]string, len(s.Instance.Unset))
		for i, name := range s.Instance.Unset {
			names[i] = "var." + name
		}
		reasons = append(reasons, "needs a value of "+few(names))
	}
	if len(s.Instance.Waits) > 0 {
		reasons = append(reasons, "depends on "+s.waitsFor())
	}
	return strings.Join(reasons, "; ")
}

func (s *Step) waitsFor() string {
	var others, children []string
	for _, a := range s.Instance.Waits {
		if a.Child != "" && s.Parent == nil {
			children = append(children, a.String())
		} else {
			others = append(others, a.String())
		}
	}
	switch n, all := len(children), len(s.Children); {
	case n > 2 && n == all:
		children = []string{fmt.Sprintf("its %d children", n)}
	case n > 2:
		children = []string{fmt.Sprintf("%d of its %d children", n, all)}
	}
	return few(append(others, children...))
}
