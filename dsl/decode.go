package dsl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// A decoder turns the body of a step block into the value of its configuration. It goes on after an error, so that
// all are reported at once; what is wrong becomes unknown.
type decoder struct {
	scope *scope
	ctx   *hcl.EvalContext
	inst  *Instance
	diags hcl.Diagnostics
	trial bool // looking at a branch that may not be taken: only what is wrong in any case is an error
}

// A place is where a value stands: for messages, and for the paths of Instance.Range.
type place struct {
	field *Field
	path  string    // "part[0].data"
	where hcl.Range // what an error underlines
	depth int       // of the local values that are looked into: errors stay on the attribute that uses them
}

func (at place) name() string {
	if i := strings.LastIndexByte(at.path, '.'); i >= 0 {
		return at.path[i+1:]
	}
	return at.path
}

func (at place) element(key string, e hclsyntax.Expression) place {
	at.path += "[" + key + "]"
	return at.on(e)
}

// on narrows what an error underlines to a part of the attribute's expression.
func (at place) on(e hclsyntax.Expression) place {
	if e != nil && at.depth == 0 {
		at.where = e.Range()
	}
	return at
}

func (d *decoder) errorf(r hcl.Range, summary, format string, args ...any) {
	d.diags = append(d.diags, Error(r, summary, fmt.Sprintf(format, args...)))
}

// block decodes one block. Path is "" for the step itself and "part[0]." for a block in it.
func (d *decoder) block(b *hclsyntax.Block, fields []Field, path string) cty.Value {
	d.reportUnsupported(b, fields, path == "")
	values := map[string]cty.Value{}
	labels := b.Labels
	for i := range fields {
		f := &fields[i]
		switch {
		case f.Label:
			values[f.Name] = d.label(b, f, &labels, path)
		case f.Block:
			values[f.Name] = d.blocks(b, f, path)
		default:
			values[f.Name] = d.attribute(b, f, path)
		}
	}
	if path != "" && len(labels) > 0 {
		r := b.LabelRanges[len(b.LabelRanges)-len(labels)]
		d.errorf(r, "Unexpected label", "The block %s takes no label %q here. Remove it.", b.Type, labels[0])
	}
	return cty.ObjectVal(values)
}

// reportUnsupported reports the attributes and blocks that the schema does not know.
func (d *decoder) reportUnsupported(b *hclsyntax.Block, fields []Field, top bool) {
	var attributes, blocks []string
	for _, f := range fields {
		switch {
		case f.Label:
		case f.Block:
			blocks = append(blocks, f.Name)
		default:
			attributes = append(attributes, f.Name)
		}
	}
	if top {
		attributes, blocks = append(attributes, metaAttributes...), append(blocks, metaBlocks...)
	}
	d.diags = append(d.diags, unsupported(b, attributes, blocks)...)
}

// unsupported reports what stands in a block beside the attributes and blocks that it may hold.
func unsupported(b *hclsyntax.Block, attributes, blocks []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	names := slices.Concat(attributes, blocks)
	for name, attr := range b.Body.Attributes {
		switch {
		case slices.Contains(attributes, name):
		case slices.Contains(blocks, name):
			diags = append(diags, Error(attr.NameRange, "A block is written as an attribute",
				fmt.Sprintf("%s is a block: write %s { … }, without the equals sign.", name, name)))
		default:
			diags = append(diags, Error(attr.NameRange, "Unknown attribute", fmt.Sprintf("%s has no attribute %q.%s",
				b.Type, name, didYouMean(name, names, "attributes and blocks of "+b.Type))))
		}
	}
	for _, inner := range b.Body.Blocks {
		switch {
		case slices.Contains(blocks, inner.Type):
		case slices.Contains(attributes, inner.Type):
			diags = append(diags, Error(inner.TypeRange, "An attribute is written as a block",
				fmt.Sprintf("%s is an attribute: write %s = …, with an equals sign.", inner.Type, inner.Type)))
		default:
			diags = append(diags, Error(inner.TypeRange, "Unknown block", fmt.Sprintf("%s has no block %q.%s",
				b.Type, inner.Type, didYouMean(inner.Type, names, "attributes and blocks of "+b.Type))))
		}
	}
	return diags
}

func (d *decoder) label(b *hclsyntax.Block, f *Field, labels *[]string, path string) cty.Value {
	if len(*labels) == 0 {
		if f.Required {
			d.errorf(b.DefRange(), "Missing label", "The block %s needs a label, its %s: write %s \"…\" { … }.",
				b.Type, f.Name, b.Type)
		}
		return f.absent()
	}
	r := b.LabelRanges[len(b.Labels)-len(*labels)]
	v := cty.StringVal((*labels)[0])
	*labels = (*labels)[1:]
	d.inst.ranges[path+f.Name] = r
	d.check(v, f.goType, nil, place{field: f, path: path + f.Name, where: r})
	return v
}

// blocks decodes the nested blocks of one type.
func (d *decoder) blocks(outer *hclsyntax.Block, f *Field, path string) cty.Value {
	var found []*hclsyntax.Block
	for _, b := range outer.Body.Blocks {
		if b.Type == f.Name {
			found = append(found, b)
		}
	}
	if f.Repeated {
		return d.repeated(outer, f, found, path)
	}
	if len(found) == 0 {
		if f.Required {
			d.errorf(outer.DefRange(), "Missing block", "%s needs a block %s { … } with %s.",
				outer.Type, f.Name, strings.Join(required(f.Fields), ", "))
		}
		return f.absent()
	}
	for _, b := range found[1:] {
		d.diags = append(d.diags, relate(Error(b.DefRange(), "Duplicate block",
			fmt.Sprintf("%s takes one block %s. Keep one of the two.", outer.Type, f.Name)),
			found[0].DefRange(), "the first is here"))
	}
	d.inst.ranges[path+f.Name] = found[0].DefRange()
	return d.block(found[0], f.Fields, path+f.Name+".")
}

func (d *decoder) repeated(outer *hclsyntax.Block, f *Field, found []*hclsyntax.Block, path string) cty.Value {
	switch n := float64(len(found)); {
	case f.min != nil && n < *f.min:
		d.errorf(outer.DefRange(), "Missing block", "%s needs at least %s of the block %s { … }; it has %d.",
			outer.Type, f.Min, f.Name, len(found))
	case f.max != nil && n > *f.max:
		d.errorf(found[int(*f.max)].DefRange(), "Too many blocks", "%s takes at most %s of the block %s; it has %d.",
			outer.Type, f.Max, f.Name, len(found))
	}
	var elements []cty.Value
	first := map[string]*hclsyntax.Block{}
	for i, b := range found {
		label := strings.Join(b.Labels, "\x00")
		if before := first[label]; before != nil && len(b.Labels) > 0 {
			d.diags = append(d.diags, relate(Error(b.DefRange(), "Duplicate block",
				fmt.Sprintf("%s has two blocks %s %q. Rename one of them.", outer.Type, f.Name, b.Labels[0])),
				before.DefRange(), "the first is here"))
		} else {
			first[label] = b
		}
		at := fmt.Sprintf("%s%s[%d]", path, f.Name, i)
		d.inst.ranges[at] = b.DefRange()
		elements = append(elements, d.block(b, f.Fields, at+"."))
	}
	return cty.TupleVal(elements)
}

func required(fields []Field) []string {
	var names []string
	for _, f := range fields {
		if f.Required {
			names = append(names, f.Name)
		}
	}
	return names
}

// attribute decodes one attribute of a block.
func (d *decoder) attribute(b *hclsyntax.Block, f *Field, path string) cty.Value {
	attr := b.Body.Attributes[f.Name]
	if attr == nil {
		if f.Required && !slices.ContainsFunc(b.Body.Blocks, func(in *hclsyntax.Block) bool { return in.Type == f.Name }) {
			d.errorf(b.DefRange(), "Missing attribute", "%s needs %s, %s.%s",
				b.Type, f.Name, withArticle(typeName(f.Type)), sentence(f.Doc))
		}
		return f.absent()
	}
	at := place{field: f, path: path + f.Name, where: attr.Expr.Range()}
	d.inst.ranges[at.path] = attr.SrcRange
	if tuple, ok := attr.Expr.(*hclsyntax.TupleConsExpr); ok {
		for i, e := range tuple.Exprs {
			d.inst.ranges[fmt.Sprintf("%s[%d]", at.path, i)] = e.Range()
		}
	}
	before := len(d.diags)
	var v cty.Value
	if f.Kind != "" {
		v = d.artifacts(f.Type, attr.Expr, d.ctx, at)
	} else {
		v = d.value(attr.Expr, at)
	}
	if v.IsNull() {
		if f.Required && len(d.diags) == before {
			d.errorf(at.where, "Required attribute is null", "%s must have a value, %s.", f.Name, withArticle(typeName(f.Type)))
		}
		return f.absent()
	}
	return v
}

func sentence(doc string) string {
	if doc == "" {
		return ""
	}
	return " " + doc
}
