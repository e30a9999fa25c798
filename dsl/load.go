package dsl

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Load makes a Program of the text: it evaluates everything that can be evaluated before a run, and checks the rest
// with unknown values of the right types. All errors are reported at once; the Program is nil when there are any.
func (s *Source) Load(o Options) (*Program, hcl.Diagnostics) {
	if s.broken.HasErrors() {
		return nil, s.broken
	}
	p := &Program{
		Name:      s.name,
		Dir:       s.dir,
		source:    s,
		types:     map[string]*stepType{},
		variables: map[string]*variable{},
		locals:    map[string]*localValue{},
		blocks:    map[Address]*stepBlock{},
		steps:     map[Address]*Step{},
		mistyped:  map[string]bool{},
	}
	for _, f := range s.files {
		p.Files = append(p.Files, f.name)
	}
	diags := p.load(o)
	if diags.HasErrors() {
		return nil, sorted(diags)
	}
	return p, sorted(diags)
}

func (p *Program) load(o Options) hcl.Diagnostics {
	for i := range o.Types {
		t, err := newStepType(&o.Types[i])
		if err != nil {
			return hcl.Diagnostics{mistake(fmt.Errorf("step type %s: %w", o.Types[i].Name, err))}
		}
		p.types[t.Name] = t
	}
	p.functions = functions(o, p.Dir)
	all, diags := p.declare()
	diags = append(diags, p.loadVariables(all.variables, o)...)
	_ = p.resolveLocals() // for the references of for_each; what it finds is reported by the second call
	diags = append(diags, p.expand()...)
	diags = append(diags, p.resolveLocals()...)
	p.fixLocals()
	diags = append(diags, p.loadPipeline(all.pipeline, o.Pipeline)...)
	diags = append(diags, p.resolveSteps()...)
	diags = append(diags, p.cycles()...)
	diags = append(diags, p.loadOutputs(all.outputs)...)
	return append(diags, p.check(diags)...)
}

// mistake is an error in what the program itself gives to the language.
func mistake(err error) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Mistake in the program",
		Detail:   fmt.Sprintf("%v. This is a mistake in the program, not in the pipeline.", err),
	}
}

// fixLocals evaluates the local values that depend on no step, once for all.
func (p *Program) fixLocals() {
	s := p.scope(nil, nil)
	for _, name := range localNames(p.locals) {
		if l := p.locals[name]; len(l.steps) == 0 && !l.cyclic {
			if v, diags := s.local(name); !diags.HasErrors() {
				l.constant = &v
			}
		}
	}
}

// expand makes the steps: one per block, or one per key of its for_each.
func (p *Program) expand() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range p.ordered {
		if b.forEach == nil {
			p.addStep(b, nil)
			b.expanded = true
			continue
		}
		each, bad := p.forEach(b)
		diags = append(diags, bad...)
		b.broken = bad.HasErrors()
		for i := range each {
			p.addStep(b, &each[i])
		}
		b.expanded = !b.broken
	}
	return diags
}

func (p *Program) addStep(b *stepBlock, each *eachValue) {
	s := &Step{Address: b.address, Type: b.typ.Type, Range: b.header(), program: p, block: b, each: each}
	if each != nil {
		s.Address.Key, s.Address.Keyed = each.key, true
	}
	outputs := map[string]cty.Value{}
	for _, o := range s.Type.Outputs {
		outputs[o.Name] = s.output(o, cty.UnknownVal(o.Type))
	}
	s.unknown = cty.ObjectVal(outputs)
	b.steps = append(b.steps, s)
	p.Steps = append(p.Steps, s)
	p.steps[s.Address] = s
}

// resolveSteps looks up the references of all blocks and draws the edges.
func (p *Program) resolveSteps() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range p.ordered {
		bad := p.resolveBlock(b)
		diags = append(diags, bad...)
	}
	for _, s := range p.Steps {
		s.Needs = p.needs(s)
	}
	return diags
}

func (p *Program) needs(s *Step) []Address {
	var needs []Address
	for _, r := range slices.Concat(s.block.whenRefs, s.block.refs, s.block.depends) {
		needs = append(needs, p.instances(r, s.each)...)
	}
	for _, r := range s.block.require {
		for _, a := range p.instances(r, s.each) {
			if a != s.Address { // its own outputs are what it requires something of
				needs = append(needs, a)
			}
		}
	}
	slices.SortFunc(needs, func(a, b Address) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(needs)
}

// check evaluates everything with the outputs of all steps unknown.
func (p *Program) check(before hcl.Diagnostics) hcl.Diagnostics {
	var diags hcl.Diagnostics
	known := Known{}
	for _, s := range p.Steps {
		if s.neverRuns() {
			known[s.Address.String()] = cty.NullVal(cty.DynamicPseudoType)
		}
	}
	loose := p.scope(nil, nil)
	for _, name := range localNames(p.locals) {
		_, bad := loose.local(name)
		diags = append(diags, bad...)
	}
	shared := p.scope(known, nil)
	for _, s := range p.Steps {
		_, bad := s.eval(shared)
		diags = append(diags, bad...)
		diags = append(diags, s.checkRequire(shared, false)...)
	}
	for _, b := range p.ordered {
		if b.forEach != nil && len(b.steps) == 0 {
			diags = append(diags, p.checkUnexpanded(b)...)
		}
	}
	for _, o := range p.Outputs {
		_, bad := o.eval(shared)
		diags = append(diags, bad...)
	}
	return notOn(diags, places(before))
}

// neverRuns reports whether the condition of a step is false whatever the other steps give.
func (st *Step) neverRuns() bool {
	if st.block.when == nil {
		return false
	}
	s := st.program.scope(nil, st.each)
	v, _ := st.block.when.Value(s.context(st.block.whenRefs)) // its errors are reported by eval
	v, _ = v.Unmark()
	return v.Type() == cty.Bool && v.IsKnown() && !v.IsNull() && v.False()
}

// checkUnexpanded checks a block whose for_each has no keys, or none that can be told, with unknown keys and values.
func (p *Program) checkUnexpanded(b *stepBlock) hcl.Diagnostics {
	each := &eachValue{value: cty.DynamicVal, unknown: true}
	s := &Step{Address: b.address, Type: b.typ.Type, Range: b.header(), program: p, block: b, each: each}
	_, diags := s.eval(p.scope(nil, nil))
	return diags
}

// Step is the step with an address; nil when there is none.
func (p *Program) Step(a Address) *Step { return p.steps[a] }
