package dsl

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Marks on the values of outputs say where they come from. They travel with a value through locals, lists and
// functions, and never reach an Instance.
type (
	fromMark struct{ addr Address } // on artifacts
	waitMark struct{ addr Address } // on outputs that are not known yet
	skipMark struct{ addr Address } // on the null of a step that was skipped

	unsetMark struct{ name string } // on variables without a value
)

// A scope evaluates expressions for one step, or one output, with what is known.
//
// It builds an EvalContext for the references of one block and no more: with ten thousand steps, an object of all of
// them per evaluation would make Load quadratic.
type scope struct {
	p      *Program
	known  Known
	each   *eachValue
	self   *Step // inside its require blocks
	loose  bool  // skipped steps count as not run: for blocks that are skipped themselves
	locals map[string]localResult
}

type localResult struct {
	value cty.Value
	diags hcl.Diagnostics
}

// eachValue is each.key and each.value.
type eachValue struct {
	key     string
	value   cty.Value
	unknown bool // stands for any key, in a block of which no instance can be told
}

func (e *eachValue) object() cty.Value {
	key := cty.StringVal(e.key)
	if e.unknown {
		key = cty.UnknownVal(cty.String)
	}
	return cty.ObjectVal(map[string]cty.Value{"key": key, "value": e.value})
}

func (p *Program) scope(known Known, each *eachValue) *scope {
	return &scope{p: p, known: known, each: each, locals: map[string]localResult{}}
}

// context holds the values of some references, and the functions.
func (s *scope) context(refs []ref) *hcl.EvalContext {
	values := map[string]cty.Value{}
	locals := map[string]cty.Value{}
	steps := map[string]map[string]cty.Value{}
	bad := map[string][]string{}
	for _, r := range refs {
		switch r.kind {
		case varRef:
			values["var"] = s.p.variableObject
		case localRef:
			for _, l := range s.p.localsOf(r) {
				locals[l.name], _ = s.local(l.name)
			}
		case eachRef:
			if s.each != nil {
				values["each"] = s.each.object()
			}
		case selfRef:
			if s.self != nil {
				values["self"] = s.step(s.self)
			}
		case stepRef:
			s.addStep(steps, r)
		case badRef:
			bad[r.root] = append(bad[r.root], r.name)
		}
	}
	if len(locals) > 0 {
		values["local"] = cty.ObjectVal(locals)
	}
	for root, names := range bad {
		s.addBad(root, names, values, steps)
	}
	for t, names := range steps {
		values[t] = cty.ObjectVal(names)
	}
	return &hcl.EvalContext{Variables: values, Functions: s.p.functions}
}

// addBad gives an unknown value to references that have been reported already.
func (s *scope) addBad(root string, names []string, values map[string]cty.Value, steps map[string]map[string]cty.Value) {
	for _, name := range names {
		switch {
		case root == "var" || root == "local":
			attrs := map[string]cty.Value{name: cty.DynamicVal}
			if v, ok := values[root]; ok {
				maps.Copy(attrs, v.AsValueMap())
			}
			values[root] = cty.ObjectVal(attrs)
		case s.p.types[root] != nil && name != "":
			if steps[root] == nil {
				steps[root] = map[string]cty.Value{}
			}
			if _, ok := steps[root][name]; !ok {
				steps[root][name] = cty.DynamicVal
			}
		default:
			values[root] = cty.DynamicVal
		}
	}
}

// addStep adds the value of TYPE.NAME; with for_each, only the instances that the reference means.
func (s *scope) addStep(steps map[string]map[string]cty.Value, r ref) {
	if steps[r.address.Type] == nil {
		steps[r.address.Type] = map[string]cty.Value{}
	}
	names := steps[r.address.Type]
	b := s.p.blocks[r.address]
	switch {
	case b.broken:
		names[r.address.Name] = cty.DynamicVal
	case b.forEach == nil:
		names[r.address.Name] = s.step(b.steps[0])
	default:
		instances := map[string]cty.Value{}
		if before, ok := names[r.address.Name]; ok {
			maps.Copy(instances, before.AsValueMap())
		}
		for _, a := range s.p.instances(r, s.each) {
			if _, ok := instances[a.Key]; !ok {
				instances[a.Key] = s.step(s.p.steps[a])
			}
		}
		names[r.address.Name] = cty.ObjectVal(instances)
	}
}

// step is the value of one step: its outputs.
func (s *scope) step(st *Step) cty.Value {
	v, ran := s.known[st.Address.String()]
	switch {
	case !ran || v.IsNull() && s.loose:
		return st.unknown
	case v.IsNull():
		return cty.NullVal(st.block.typ.outputs).Mark(skipMark{st.Address})
	}
	outputs := map[string]cty.Value{}
	for _, o := range st.Type.Outputs {
		out := st.unknown.GetAttr(o.Name)
		if v.Type().HasAttribute(o.Name) {
			out = st.output(o, v.GetAttr(o.Name))
		}
		outputs[o.Name] = out
	}
	return cty.ObjectVal(outputs)
}

// has reports whether a step has run or was skipped.
func (s *scope) has(a Address) bool {
	_, ok := s.known[a.String()]
	return ok
}

// local is the value of a local value. Its errors are returned each time; duplicates are dropped when they are written.
func (s *scope) local(name string) (cty.Value, hcl.Diagnostics) {
	l := s.p.locals[name]
	if l.constant != nil {
		return *l.constant, nil
	}
	if l.cyclic {
		return cty.DynamicVal, nil
	}
	if r, ok := s.locals[name]; ok {
		return r.value, r.diags
	}
	outside := *s // a local value sees no each and no self
	outside.each, outside.self = nil, nil
	ctx := outside.context(l.refs)
	v, diags := l.expr.Value(ctx)
	if diags.HasErrors() {
		v, diags = cty.DynamicVal, outside.explain(diags)
	}
	s.locals[name] = localResult{v, diags}
	return v, diags
}

// localErrors are the errors of the local values that some references need, directly or through others.
func (s *scope) localErrors(refs []ref) hcl.Diagnostics {
	var diags hcl.Diagnostics
	seen := map[*localValue]bool{}
	var visit func(refs []ref)
	visit = func(refs []ref) {
		for _, r := range refs {
			if r.kind != localRef {
				continue
			}
			for _, l := range s.p.localsOf(r) {
				if seen[l] || l.constant != nil || l.cyclic {
					continue
				}
				seen[l] = true
				_, bad := s.local(l.name)
				diags = append(diags, bad...)
				visit(l.refs)
			}
		}
	}
	visit(refs)
	return diags
}

// instances lists the steps that a reference means.
func (p *Program) instances(r ref, each *eachValue) []Address {
	switch r.kind {
	case stepRef:
	case localRef:
		var all []Address
		for _, l := range p.localsOf(r) {
			for _, inner := range l.steps {
				all = append(all, p.instances(inner, nil)...)
			}
		}
		return all
	default:
		return nil
	}
	b := p.blocks[r.address]
	if b.forEach == nil {
		return []Address{r.address}
	}
	if key, ok := p.keyIn(r, each); ok {
		a := Address{Type: r.address.Type, Name: r.address.Name, Key: key, Keyed: true}
		if p.steps[a] != nil {
			return []Address{a}
		}
	}
	all := make([]Address, len(b.steps))
	for i, s := range b.steps {
		all[i] = s.Address
	}
	return all
}

// keyIn is the key of a reference, if it is known without running anything.
func (p *Program) keyIn(r ref, each *eachValue) (string, bool) {
	if r.key.static != nil {
		return *r.key.static, true
	}
	e, ok := r.key.expr.(hclsyntax.Expression)
	if !ok {
		return "", false
	}
	refs, diags := p.resolve(e, allowed{each: each != nil})
	if diags.HasErrors() {
		return "", false // a variable of a for expression, or the output of a step
	}
	v, diags := e.Value(p.scope(nil, each).context(refs))
	v, _ = v.Unmark()
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	key, err := keyString(v)
	return key, err == nil
}

// stepsIn lists the steps that an expression refers to, through local values too.
func (s *scope) stepsIn(e hcl.Expression) []Address {
	native, ok := e.(hclsyntax.Expression)
	if !ok {
		return nil
	}
	refs, _ := s.p.resolve(native, allowed{each: true, steps: true}) // reported when the block was resolved
	var all []Address
	for _, r := range refs {
		all = append(all, s.p.instances(r, s.each)...)
	}
	slices.SortFunc(all, compareAddresses)
	return slices.Compact(all)
}

// blockIn is the block that an expression names and nothing else: TYPE.NAME, TYPE.NAME["key"], an output of either, or
// a local value that is such a name. Nil for other expressions.
func (s *scope) blockIn(e hcl.Expression) *stepBlock {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return s.blockIn(e.Expression)
	case *hclsyntax.IndexExpr:
		return s.blockIn(e.Collection)
	case *hclsyntax.RelativeTraversalExpr:
		return s.blockIn(e.Source)
	case *hclsyntax.ScopeTraversalExpr:
		if l := s.p.localOf(e.Traversal); l != nil && !l.cyclic {
			return s.blockIn(l.expr)
		}
		if len(e.Traversal) < 2 {
			return nil
		}
		attr, ok := e.Traversal[1].(hcl.TraverseAttr)
		if !ok {
			return nil
		}
		return s.p.blocks[Address{Type: e.Traversal.RootName(), Name: attr.Name}]
	default:
		return nil
	}
}

// stepIn is the one step that an expression names; nil when it names none, or several.
func (s *scope) stepIn(e hcl.Expression) *Step {
	if s.blockIn(e) == nil {
		return nil
	}
	if steps := s.stepsIn(e); len(steps) == 1 {
		return s.p.steps[steps[0]]
	}
	return nil
}

// fromIn is where an artifact comes from; false when the marks name none, or several.
func fromIn(all ...cty.ValueMarks) (fromMark, bool) {
	var from []fromMark
	for _, marks := range all {
		for mark := range marks {
			if f, ok := mark.(fromMark); ok && !slices.ContainsFunc(from, func(g fromMark) bool { return g.addr == f.addr }) {
				from = append(from, f)
			}
		}
	}
	if len(from) != 1 {
		return fromMark{}, false
	}
	return from[0], true
}
