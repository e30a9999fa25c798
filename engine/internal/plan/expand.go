package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
	"athanor/steps"
)

// # Composite steps
//
// A sweep over model sizes, or a training in stages, is one block of a recipe and many hours of work that fail, resume
// and are reused piece by piece. Three designs were possible.
//
// One step that caches inside itself would need a second store, a second lock and a second kind of resume. Blocks that
// are rewritten into other blocks (for_each, a module) would show the user steps that nobody wrote, in words that
// every recipe could use. So a composite step expands here, below the language and above the run: its type turns the
// evaluated configuration into children, each a [Step] with a type, a configuration and a key of its own. The predictor,
// the scheduler, the worker, the store and the journal treat a child as they treat any step, which is why a child that
// is killed resumes and a new one is all that runs. After them comes the step itself, with the children's results
// among its inputs: it is the reducer, so there is no further kind of work.
//
// What follows from that:
//
//   - The key of a child holds its own configuration and nothing of its siblings or its parent. Adding a budget to a
//     sweep, or a stage at the end of a sequence, makes one new key.
//   - The key of the composite step holds its configuration and what every child made, by content. A child that ran
//     again and made the same cuts off the parent and all below it, as any input does.
//   - The language knows nothing of children: a recipe refers to the step's own outputs, and nothing in it can come to
//     depend on how the work is cut.
//   - A configuration is expanded as soon as all of it but artifacts is known: these say nothing about what the children
//     are, and the type sees only where they come from ([steps.Artifact].From). If more is missing, the step is planned
//     as deferred; the run expands it when it is about to start, and puts the children before it.
//   - A child's Instance derives from the block's own, so its errors show the block, and retry and timeout hold for it.

// expand makes the children of a step what its configuration asks for. It decides nothing about them. A step that
// cannot be expanded yet keeps the children that it has.
func (p *Predictor) expand(s *Step) (hcl.Diagnostics, error) {
	config, err := s.Instance.Placed()
	if err != nil || !config.IsWhollyKnown() || !s.Instance.When.IsKnown() || !chosen(s.Instance, config) {
		return nil, err
	}
	if diags, err := p.checkEarly(s); diags.HasErrors() || err != nil {
		return diags, err
	}
	in, err := p.estimateInput(s, config, func(a dsl.Artifact) any { return steps.Artifact{Kind: a.Kind, From: a.Place} })
	if err != nil {
		return nil, err
	}
	list, err := s.Type.Expand(in)
	if errors.Is(err, steps.ErrNotYet) && len(s.Instance.Waits) > 0 {
		return nil, nil
	}
	if err != nil {
		return Blame(s, "Invalid configuration", err), nil
	}
	own := slices.DeleteFunc(slices.Clone(s.Needs), func(need *Step) bool { return need.Parent == s })
	children := make([]*Step, 0, len(list))
	for i := range list {
		c, err := p.child(s, list[i], children)
		if err != nil {
			return nil, fmt.Errorf("step type %s, child %q: %w", s.Type.Name, list[i].Name, err)
		}
		c.Needs = slices.Clone(own)
		for _, sibling := range children {
			if slices.ContainsFunc(sources(c.Instance), func(a dsl.Address) bool { return a == sibling.Address }) {
				c.Needs = append(c.Needs, sibling)
			}
		}
		children = append(children, c)
	}
	s.Children, s.Expanded = children, true
	s.Needs = append(own, children...)
	p.plan.adopt(s)
	return nil, nil
}

// chosen reports whether it is known of every artifact which step makes it: a recipe may choose by what has not run yet.
func chosen(i *dsl.Instance, placed cty.Value) bool {
	from, all := i.Sources(), true
	_ = cty.Walk(placed, func(_ cty.Path, v cty.Value) (bool, error) { // the callback returns no error
		if a, ok := dsl.AsArtifact(v); ok {
			_, one := from[a.Place]
			all = all && one
		}
		return true, nil
	})
	return all
}

func sources(i *dsl.Instance) []dsl.Address {
	var list []dsl.Address
	for _, a := range i.Sources() {
		list = append(list, a)
	}
	return list
}

// child is the step of a child, the same one as last time, with the configuration that it has now.
func (p *Predictor) child(s *Step, c steps.Child, siblings []*Step) (*Step, error) {
	address := s.Address
	address.Child = c.Name
	same := func(o *Step) bool { return o.Address == address }
	switch {
	case c.Name == "" || slices.ContainsFunc(siblings, same):
		return nil, errors.New("children need names, each another")
	case c.Type.Expand != nil || !slices.Contains(s.Type.Children, c.Type):
		return nil, fmt.Errorf("its type %s is composite, or not among the type's Children", c.Type.Name)
	}
	var step *Step
	if i := slices.IndexFunc(s.Children, same); i >= 0 {
		step = s.Children[i]
	} else {
		step = &Step{Address: address, Program: s.Program, Parent: s}
		if p.force[s.Name()] == forced { // the name of the block means all of it
			p.force[step.Name()] = forced
		}
	}
	step.Type, step.part = c.Type, c
	return step, p.derive(step, siblings)
}

// derive gives a child its configuration, with the artifacts that exist. siblings are the children before it, or all.
func (p *Predictor) derive(c *Step, siblings []*Step) error {
	raw, err := json.Marshal(c.part.Config)
	if err != nil {
		return err
	}
	fields, err := p.fieldsOf(c.Type)
	if err != nil {
		return err
	}
	instance := c.Parent.Instance.Derive(c.part.Path)
	instance.Config, err = dsl.UnmarshalConfig(raw, fields, func(path, kind string, raw json.RawMessage) (cty.Value, error) {
		var a steps.Artifact
		if err := json.Unmarshal(raw, &a); err != nil {
			return cty.NilVal, err
		}
		if a.IsZero() {
			return cty.NullVal(dsl.ArtifactType(kind)), nil
		}
		from, known, err := p.origin(c.Parent, a, siblings)
		if err != nil || a.Kind != kind {
			return cty.NilVal, errors.Join(fmt.Errorf("the %s of %s is to be a %s", a.Kind, path, kind), err)
		}
		instance.Use(path, from, known)
		if known == nil {
			return cty.UnknownVal(dsl.ArtifactType(kind)), nil
		}
		return dsl.ArtifactVal(*known), nil
	})
	c.Instance = instance
	return err
}

// origin is the step that makes an artifact of a child's configuration, and the artifact if that step has run.
func (p *Predictor) origin(s *Step, a steps.Artifact, siblings []*Step) (dsl.Address, *dsl.Artifact, error) {
	if from, ok := s.Instance.Sources()[a.From]; ok {
		if known, ok := s.Instance.Upstream()[a.From]; ok {
			return from, &known, nil
		}
		return from, nil, nil
	}
	for _, sibling := range siblings {
		for _, o := range sibling.Type.Outputs {
			if !o.IsKind() || sibling.part.Output(o.Name).From != a.From {
				continue
			}
			v, ran := p.known[sibling.Name()]
			if !ran {
				return sibling.Address, nil, nil
			}
			known, _ := dsl.AsArtifact(v.GetAttr(o.Name))
			return sibling.Address, &known, nil
		}
	}
	return dsl.Address{}, nil, fmt.Errorf("%q is neither an artifact of the step nor an output of an earlier child", a.From)
}

// adopt puts the children of a step before it in the plan.
func (p *Plan) adopt(s *Step) {
	at := slices.Index(p.Steps, s)
	if at < 0 { // the plan has been narrowed to some of the children
		return
	}
	for _, c := range s.Children {
		if p.byName[c.Name()] == nil {
			p.byName[c.Name()] = c
			p.Steps = slices.Insert(p.Steps, at, c)
			at++
		}
	}
}

// resolveChild decides a child, whose configuration may have become known since.
func (p *Predictor) resolveChild(c *Step) (hcl.Diagnostics, error) {
	instance, diags := c.Parent.Program.Eval(p.known)
	if diags.HasErrors() {
		return diags, nil
	}
	c.Parent.Instance = instance
	if diags, err := p.expand(c.Parent); diags.HasErrors() || err != nil {
		return diags, err
	}
	if !slices.Contains(c.Parent.Children, c) {
		c.Action, c.Reason = Skipped, "the configuration of "+c.Parent.Name()+" asks for it no longer"
		return nil, nil
	}
	return p.decideChild(c)
}

func (p *Predictor) decideChild(c *Step) (hcl.Diagnostics, error) {
	c.reset()
	if err := p.derive(c, c.Parent.Children); err != nil { // its siblings may have been decided since it was made
		return nil, err
	}
	c.After = p.running(c)
	return p.conclude(c)
}

// resolveChildren decides those children that have no result yet, and adds the results of all to what their parent
// depends on.
func (p *Predictor) resolveChildren(s *Step) (hcl.Diagnostics, error) {
	var diags hcl.Diagnostics
	for _, c := range s.Children {
		if _, ended := p.known[c.Name()]; !ended && c.Action != Skipped {
			more, err := p.decideChild(c)
			if err != nil {
				return diags, err
			}
			diags = append(diags, more...)
		}
	}
	for _, c := range s.Children {
		for _, o := range c.Type.Outputs {
			path := fmt.Sprintf("[%q].%s", c.Address.Child, o.Name)
			v, ended := p.known[c.Name()]
			switch {
			case !ended:
				s.Instance.Use(path, c.Address, nil)
			case o.IsKind():
				known, _ := dsl.AsArtifact(v.GetAttr(o.Name))
				s.Instance.Use(path, c.Address, &known)
			}
		}
	}
	return diags, nil
}

// results is what the children of a step have made, for its key.
func results(s *Step) []Child {
	list := make([]Child, len(s.Children))
	for i, c := range s.Children {
		list[i] = Child{Name: c.Address.Child, Values: c.Made.Values}
		for _, o := range c.Type.Outputs {
			if o.IsKind() {
				if list[i].Artifacts == nil {
					list[i].Artifacts = map[string]input{}
				}
				list[i].Artifacts[o.Name] = input(c.Made.Outputs[o.Name])
			}
		}
	}
	return list
}

// handed is what the children of a step have made, for its worker. path finds the folder of an artifact.
func handed(s *Step, path func(digest string) (string, error)) ([]steps.ChildResult, error) {
	var list []steps.ChildResult
	for _, c := range s.Children {
		r := steps.ChildResult{Name: c.Address.Child, Artifacts: map[string]steps.Artifact{}, Values: c.Made.Values}
		for _, o := range c.Type.Outputs {
			if !o.IsKind() {
				continue
			}
			have := c.Made.Outputs[o.Name]
			dir, err := path(have.Digest)
			if err != nil {
				return nil, err
			}
			r.Artifacts[o.Name] = steps.Artifact{Kind: have.Kind, Digest: have.Digest, Path: dir}
		}
		list = append(list, r)
	}
	return list, nil
}
