package dsl

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A refKind says what a reference refers to.
type refKind int

const (
	badRef   refKind = iota // reported already; evaluates to an unknown
	varRef                  // var.NAME
	localRef                // local.NAME
	eachRef                 // each.key, each.value
	selfRef                 // self.OUTPUT
	stepRef                 // TYPE.NAME, TYPE.NAME["key"]
)

// A ref is one reference in an expression.
type ref struct {
	kind    refKind
	root    string  // first word
	name    string  // second word; "" when the root stands alone
	address Address // of the step's block
	key     keyRef  // of stepRef on a block with for_each
	where   hcl.Range
}

// A keyRef says which instance of a block with for_each is meant.
type keyRef struct {
	static *string        // ["small"]
	expr   hcl.Expression // [each.key], evaluated for each instance; nil and no static: all instances
}

// collect lists the references in an expression, except to the variables of for expressions.
func collect(e hclsyntax.Expression) []found {
	c := &collector{keys: map[*hclsyntax.ScopeTraversalExpr]hclsyntax.Expression{}}
	_ = hclsyntax.Walk(e, c) // Enter and Exit return no diagnostics
	return c.found
}

// found is a reference before it is looked up.
type found struct {
	traversal hcl.Traversal
	key       hclsyntax.Expression // of TYPE.NAME[key], when it is not a literal
}

// A collector is a walker over an expression. It is HCL's own Variables, which loses the key of an index expression.
type collector struct {
	found  []found
	scopes []map[string]struct{}
	keys   map[*hclsyntax.ScopeTraversalExpr]hclsyntax.Expression
}

func (c *collector) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch n := n.(type) {
	case *hclsyntax.IndexExpr:
		if t, ok := n.Collection.(*hclsyntax.ScopeTraversalExpr); ok {
			c.keys[t] = n.Key
		}
	case *hclsyntax.ScopeTraversalExpr:
		for _, names := range c.scopes {
			if _, bound := names[n.Traversal.RootName()]; bound {
				return nil
			}
		}
		c.found = append(c.found, found{n.Traversal, c.keys[n]})
	case hclsyntax.ChildScope:
		c.scopes = append(c.scopes, n.LocalNames)
	}
	return nil
}

func (c *collector) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(hclsyntax.ChildScope); ok {
		c.scopes = c.scopes[:len(c.scopes)-1]
	}
	return nil
}

// A place in a recipe allows some references and not others.
type allowed struct {
	each  bool      // inside a block with for_each
	self  *stepType // inside its require blocks; nil elsewhere
	steps bool      // false where a value must be known before any step runs
	where string    // "for_each", for messages
}

// resolve looks up every reference in an expression.
func (p *Program) resolve(e hclsyntax.Expression, allow allowed) ([]ref, hcl.Diagnostics) {
	var refs []ref
	var diags hcl.Diagnostics
	for _, f := range collect(e) {
		r, bad := p.lookUp(f, allow)
		if bad != nil {
			diags = append(diags, bad)
			r.kind = badRef
		}
		refs = append(refs, r)
	}
	return refs, diags
}

func (p *Program) lookUp(f found, allow allowed) (ref, *hcl.Diagnostic) {
	r := ref{root: f.traversal.RootName(), where: f.traversal.SourceRange()}
	if len(f.traversal) > 1 {
		if attr, ok := f.traversal[1].(hcl.TraverseAttr); ok {
			r.name = attr.Name
		}
	}
	switch r.root {
	case "var":
		r.kind = varRef
		return r, p.known(r, "variable", variableNames(p.variables))
	case "local":
		r.kind = localRef
		return r, p.known(r, "local value", localNames(p.locals))
	case "each":
		r.kind = eachRef
		if !allow.each {
			return r, Error(r.where, "each outside of for_each",
				fmt.Sprintf("%s has no value here: only the arguments of a step with for_each may use it.", text(f.traversal)))
		}
		if r.name != "key" && r.name != "value" {
			return r, Error(r.where, "Unknown attribute of each", "each has two attributes: each.key and each.value.")
		}
		return r, nil
	case "self":
		r.kind = selfRef
		if allow.self == nil {
			return r, Error(r.where, "self outside of require",
				fmt.Sprintf("%s has no value here: a step's own outputs are known only in its require blocks.", text(f.traversal)))
		}
		return r, knownOutput(f.traversal[1:], allow.self)
	}
	return p.lookUpStep(r, f, allow)
}

// known checks the name of a variable or local value. Without a name the whole object is meant.
func (p *Program) known(r ref, what string, names []string) *hcl.Diagnostic {
	if r.name == "" || slices.Contains(names, r.name) {
		return nil
	}
	return Error(r.where, "Unknown "+what,
		fmt.Sprintf("There is no %s %q.%s", what, r.name, didYouMean(r.name, names, what+"s")))
}

func (p *Program) lookUpStep(r ref, f found, allow allowed) (ref, *hcl.Diagnostic) {
	t := p.types[r.root]
	if p.mistyped[r.name] && (t == nil || p.blocks[Address{Type: r.root, Name: r.name}] == nil) {
		r.kind = badRef // the block that is meant has been reported
		return r, nil
	}
	if t == nil {
		return r, p.unknownRoot(r, f)
	}
	r.kind = stepRef
	r.address = Address{Type: r.root, Name: r.name}
	if r.name == "" {
		return r, Error(r.where, "A step type is no value",
			fmt.Sprintf("%s is a step type. Write %s.NAME.%s", r.root, r.root, didYouMean("", p.namesOfType(r.root), r.root+" steps")))
	}
	b := p.blocks[r.address]
	if b == nil {
		return r, Error(r.where, "Unknown step", fmt.Sprintf("There is no step %s.%s", r.address, p.didYouMeanStep(r.address)))
	}
	if !allow.steps {
		return r, relate(Error(r.where, allow.where+" depends on a step",
			fmt.Sprintf("%s must be known before any step runs, and %s is the output of a step. Use variables, local values and functions here.",
				allow.where, r.address)), b.header(), r.address.String()+" is declared here")
	}
	rest := f.traversal[2:]
	if b.forEach != nil {
		var bad *hcl.Diagnostic
		if rest, bad = p.keyOf(&r, b, rest, f.key); bad != nil || rest == nil {
			return r, bad
		}
	}
	return r, knownOutput(rest, t)
}

// keyOf reads the key of a reference to a block with for_each. What follows the key is returned, nil when the key is
// not written as a literal.
func (p *Program) keyOf(r *ref, b *stepBlock, rest hcl.Traversal, key hclsyntax.Expression) (hcl.Traversal, *hcl.Diagnostic) {
	if len(rest) == 0 {
		if key != nil {
			r.key.expr = key
		}
		return nil, nil
	}
	switch step := rest[0].(type) {
	case hcl.TraverseIndex:
		k, err := keyString(step.Key)
		if err != nil {
			return nil, Error(step.SrcRange, "Wrong key", fmt.Sprintf("The keys of %s are strings.", r.address))
		}
		r.key.static = &k
		if b.expanded && !slices.Contains(b.keyNames(), k) {
			return nil, relate(Error(r.where, "Unknown key",
				fmt.Sprintf("%s has no instance %q.%s", r.address, k, didYouMean(k, b.keyNames(), "keys"))),
				b.header(), r.address.String()+" is declared here")
		}
		return rest[1:], nil
	case hcl.TraverseAttr:
		return nil, relate(Error(r.where, "A key is missing",
			fmt.Sprintf("%s has for_each, so it has one value per key. Write %s[\"KEY\"].%s.%s", r.address, r.address, step.Name,
				didYouMean("", b.keyNames(), "keys"))), b.header(), r.address.String()+" is declared here")
	}
	return nil, nil // a splat
}

// knownOutput checks the name of an output that a reference goes on with.
func knownOutput(rest hcl.Traversal, t *stepType) *hcl.Diagnostic {
	if len(rest) == 0 {
		return nil
	}
	attr, ok := rest[0].(hcl.TraverseAttr)
	if !ok {
		if index, isIndex := rest[0].(hcl.TraverseIndex); isIndex {
			return Error(index.SrcRange, "No for_each", fmt.Sprintf("This %s has no for_each, so it takes no key. Remove the brackets.", t.Name))
		}
		return nil
	}
	names := t.outputNames()
	if slices.Contains(names, attr.Name) {
		return nil
	}
	return Error(attr.SrcRange, "Unknown output",
		fmt.Sprintf("%s has no output %q.%s", t.Name, attr.Name, didYouMean(attr.Name, names, "outputs of "+t.Name)))
}

// unknownRoot reports a first word that is neither a namespace nor a step type.
func (p *Program) unknownRoot(r ref, f found) *hcl.Diagnostic {
	if len(f.traversal) == 1 {
		detail := fmt.Sprintf("%s is not a value. If it is meant as a string, write %q in quotes.", r.root, r.root)
		for _, near := range []struct {
			prefix string
			names  []string
		}{{"var.", variableNames(p.variables)}, {"local.", localNames(p.locals)}} {
			if slices.Contains(near.names, r.root) {
				detail = fmt.Sprintf("%s is not a value. Did you mean %q?", r.root, near.prefix+r.root)
			}
		}
		return Error(r.where, "Unknown reference", detail)
	}
	hint := didYouMean(r.root, p.typeNames(), "step types")
	if near := nearest(r.root, []string{"var", "local", "each"}); near != "" {
		hint = fmt.Sprintf(" Did you mean %q?", near)
	}
	return Error(r.where, "Unknown reference",
		fmt.Sprintf("%s refers to nothing: there is no step type %q.%s", text(f.traversal), r.root, hint))
}

// didYouMeanStep looks for a step of the same type with a similar name, then for the name among the other types.
func (p *Program) didYouMeanStep(a Address) string {
	var same, all []string
	for other := range p.blocks {
		all = append(all, other.String())
		if other.Type == a.Type {
			same = append(same, other.String())
		}
	}
	if near := nearest(a.String(), same); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	for _, other := range sortedStrings(all) {
		if parsed, err := ParseAddress(other); err == nil && parsed.Name == a.Name {
			return fmt.Sprintf(" Did you mean %q?", other)
		}
	}
	if len(same) > 0 {
		return didYouMean("", same, a.Type+" steps")
	}
	return didYouMean(a.String(), all, "steps")
}

func sortedStrings(s []string) []string {
	slices.Sort(s)
	return s
}

// keyString is a for_each key as it is written in brackets; numbers count as strings.
func keyString(v cty.Value) (string, error) {
	switch {
	case v.Type() == cty.String:
		return v.AsString(), nil
	case v.Type() == cty.Number:
		return numberText(v.AsBigFloat()), nil
	default:
		return "", fmt.Errorf("a key is a string")
	}
}

// text writes a traversal as in the recipe, without what follows a splat.
func text(t hcl.Traversal) string {
	out := t.RootName()
	for _, step := range t[1:] {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			out += "." + s.Name
		case hcl.TraverseIndex:
			if k, err := keyString(s.Key); err == nil {
				out += fmt.Sprintf("[%q]", k)
			}
		}
	}
	return out
}
