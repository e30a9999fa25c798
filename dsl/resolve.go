package dsl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// resolveBlock looks up every reference in a step block.
func (p *Program) resolveBlock(b *stepBlock) hcl.Diagnostics {
	var diags hcl.Diagnostics
	each := b.forEach != nil
	anywhere := allowed{each: each, steps: true}
	for _, attr := range inOrder(b.syntax.Body.Attributes) {
		var refs []ref
		var bad hcl.Diagnostics
		switch attr.Name {
		case "for_each":
		case "depends_on":
			b.depends, bad = p.dependsOn(attr.Expr, each)
		case "when":
			b.whenRefs, bad = p.resolve(attr.Expr, anywhere)
		case "seed", "timeout":
			refs, bad = p.resolve(attr.Expr, allowed{each: each, where: attr.Name})
		default:
			refs, bad = p.resolve(attr.Expr, anywhere)
		}
		b.refs = append(b.refs, refs...)
		diags = append(diags, bad...)
	}
	for _, inner := range b.syntax.Body.Blocks {
		switch inner.Type {
		case "require":
			r, bad := p.newRule(inner, allowed{each: each, self: b.typ, steps: true}, "")
			b.rules = append(b.rules, r)
			b.require = append(b.require, r.refs...)
			diags = append(diags, bad...)
		case "retry":
			refs, bad := p.resolveBody(inner.Body, allowed{each: each, where: "retry"})
			b.refs = append(b.refs, refs...)
			diags = append(diags, bad...)
		default:
			refs, bad := p.resolveBody(inner.Body, anywhere)
			b.refs = append(b.refs, refs...)
			diags = append(diags, bad...)
		}
	}
	return diags
}

// resolveBody looks up every reference in the body of a block.
func (p *Program) resolveBody(body *hclsyntax.Body, allow allowed) ([]ref, hcl.Diagnostics) {
	var refs []ref
	var diags hcl.Diagnostics
	for _, attr := range inOrder(body.Attributes) {
		r, bad := p.resolve(attr.Expr, allow)
		refs, diags = append(refs, r...), append(diags, bad...)
	}
	for _, inner := range body.Blocks {
		r, bad := p.resolveBody(inner.Body, allow)
		refs, diags = append(refs, r...), append(diags, bad...)
	}
	return refs, diags
}

// dependsOn reads the list of steps in depends_on.
func (p *Program) dependsOn(e hclsyntax.Expression, each bool) ([]ref, hcl.Diagnostics) {
	const remedy = "depends_on is a list of steps: depends_on = [TYPE.NAME, TYPE.NAME[\"key\"]]."
	list, ok := e.(*hclsyntax.TupleConsExpr)
	if !ok {
		return nil, hcl.Diagnostics{Error(e.Range(), "Not a list of steps", remedy)}
	}
	var refs []ref
	var diags hcl.Diagnostics
	for _, item := range list.Exprs {
		found, bad := p.resolve(item, allowed{each: each, steps: true})
		diags = append(diags, bad...)
		if bad.HasErrors() {
			continue
		}
		if !namesStep(item) {
			diags = append(diags, Error(item.Range(), "Not a step", remedy))
			continue
		}
		refs = append(refs, found...)
	}
	return refs, diags
}

// namesStep reports whether an expression is TYPE.NAME or TYPE.NAME[key].
func namesStep(e hclsyntax.Expression) bool {
	switch e := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		t := e.Traversal
		if len(t) == 3 {
			_, isKey := t[2].(hcl.TraverseIndex)
			return isKey
		}
		return len(t) == 2 && t.RootName() != "var" && t.RootName() != "local" && t.RootName() != "each"
	case *hclsyntax.IndexExpr:
		return namesStep(e.Collection)
	default:
		return false
	}
}

// A rule is a condition and what to say when it does not hold: a validation or a require block.
type rule struct {
	condition hclsyntax.Expression
	message   hclsyntax.Expression // nil when there is none
	refs      []ref
	broken    bool
}

// newRule reads a rule. Only names the one root that it may refer to, "" for any.
func (p *Program) newRule(b *hclsyntax.Block, allow allowed, only string) (*rule, hcl.Diagnostics) {
	r := &rule{}
	diags := unsupported(b, []string{"condition", "error_message"}, nil)
	for _, attr := range inOrder(b.Body.Attributes) {
		refs, bad := p.resolve(attr.Expr, allow)
		for i := range refs {
			if only != "" && refs[i].root != only && refs[i].kind != badRef {
				refs[i].kind = badRef
				bad = append(bad, Error(refs[i].where, "A reference that is not allowed here",
					fmt.Sprintf("%s may refer to %s.NAME only.", b.Type, only)))
			}
		}
		r.refs, diags = append(r.refs, refs...), append(diags, bad...)
		switch attr.Name {
		case "condition":
			r.condition = attr.Expr
		case "error_message":
			r.message = attr.Expr
		}
	}
	if r.condition == nil {
		diags = append(diags, Error(b.DefRange(), "Missing attribute", fmt.Sprintf("%s needs a condition.", b.Type)))
	}
	r.broken = diags.HasErrors()
	return r, diags
}
