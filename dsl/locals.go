package dsl

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A localValue is one attribute of a locals block.
type localValue struct {
	name     string
	expr     hclsyntax.Expression
	where    hcl.Range // of its name
	refs     []ref
	steps    []ref // the steps it refers to, through other local values too
	cyclic   bool
	constant *cty.Value // its value when it depends on no step; filled by Load
}

func (p *Program) declareLocals(b *hclsyntax.Block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if len(b.Labels) > 0 {
		diags = append(diags, Error(b.LabelRanges[0], "Unexpected label", "A locals block has no name: write locals { … }."))
	}
	for _, inner := range b.Body.Blocks {
		diags = append(diags, Error(inner.TypeRange, "Unknown block",
			fmt.Sprintf("locals holds attributes only: write %s = { … }.", inner.Type)))
	}
	for _, attr := range inOrder(b.Body.Attributes) {
		if before := p.locals[attr.Name]; before != nil {
			diags = append(diags, duplicate(attr.NameRange, before.where, "local value",
				fmt.Sprintf("local.%s is declared twice. Rename or remove one.", attr.Name)))
			continue
		}
		p.locals[attr.Name] = &localValue{name: attr.Name, expr: attr.Expr, where: attr.NameRange}
	}
	return diags
}

// inOrder lists the attributes of a body as they are written.
func inOrder(attrs hclsyntax.Attributes) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(attrs), func(a, b *hclsyntax.Attribute) int {
		return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte
	})
}

func localNames(locals map[string]*localValue) []string { return slices.Sorted(maps.Keys(locals)) }

// resolveLocals looks up the references of all local values. Load calls it a second time when the keys of for_each are
// known, and reports only what the second call finds.
func (p *Program) resolveLocals() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range localNames(p.locals) {
		l := p.locals[name]
		refs, bad := p.resolve(l.expr, allowed{steps: true, where: "A local value"})
		l.refs = refs
		diags = append(diags, bad...)
	}
	diags = append(diags, p.localCycles()...)
	for _, l := range p.locals {
		l.steps = nil
	}
	done := map[string]bool{}
	for _, name := range localNames(p.locals) {
		p.gatherSteps(p.locals[name], done)
	}
	return diags
}

// gatherSteps fills localValue.steps, those of the local values that it refers to first.
func (p *Program) gatherSteps(l *localValue, done map[string]bool) {
	if done[l.name] {
		return
	}
	done[l.name] = true
	for _, r := range l.refs {
		switch r.kind {
		case stepRef:
			l.steps = append(l.steps, r)
		case localRef:
			for _, other := range p.localsOf(r) {
				p.gatherSteps(other, done)
				l.steps = append(l.steps, other.steps...)
			}
		}
	}
	l.steps = distinct(l.steps)
}

// distinct leaves out references to the same steps.
func distinct(refs []ref) []ref {
	type identity struct {
		address Address
		key     string
		keyed   bool
		expr    hcl.Expression
	}
	seen := map[identity]bool{}
	return slices.DeleteFunc(refs, func(r ref) bool {
		id := identity{address: r.address, expr: r.key.expr}
		if r.key.static != nil {
			id.key, id.keyed = *r.key.static, true
		}
		if seen[id] {
			return true
		}
		seen[id] = true
		return false
	})
}

// localsOf lists the local values that a reference means: one, or all for the whole object.
func (p *Program) localsOf(r ref) []*localValue {
	if r.name != "" {
		if l := p.locals[r.name]; l != nil {
			return []*localValue{l}
		}
		return nil
	}
	var all []*localValue
	for _, name := range localNames(p.locals) {
		all = append(all, p.locals[name])
	}
	return all
}

// localOf is the local value that a traversal names, without anything behind the name; nil for others.
func (p *Program) localOf(t hcl.Traversal) *localValue {
	if len(t) != 2 || t.RootName() != "local" {
		return nil
	}
	attr, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		return nil
	}
	return p.locals[attr.Name]
}

// localCycles reports local values that depend on themselves, and marks them.
func (p *Program) localCycles() hcl.Diagnostics {
	names := localNames(p.locals)
	cycles := findCycles(names, func(name string) []string {
		var next []string
		for _, r := range p.locals[name].refs {
			if r.kind == localRef {
				for _, l := range p.localsOf(r) {
					next = append(next, l.name)
				}
			}
		}
		return next
	})
	var diags hcl.Diagnostics
	for _, cycle := range cycles {
		var members []string
		for _, name := range cycle {
			l := p.locals[name]
			l.cyclic = true
			members = append(members, fmt.Sprintf("local.%s (%s)", name, lineOf(l.where)))
		}
		diags = append(diags, Error(p.locals[cycle[0]].where, "Cycle among local values",
			fmt.Sprintf("These depend on each other: %s → local.%s. Break the circle at one of them.",
				strings.Join(members, " → "), cycle[0])))
	}
	return diags
}

func lineOf(r hcl.Range) string { return fmt.Sprintf("%s line %d", r.Filename, r.Start.Line) }
