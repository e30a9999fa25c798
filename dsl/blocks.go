package dsl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// What every step block takes beside its own configuration.
var (
	metaAttributes = []string{"when", "for_each", "depends_on", "seed", "timeout"}
	metaBlocks     = []string{"retry", "require"}
)

// languageBlocks are the blocks that are no steps.
var languageBlocks = []string{"pipeline", "variable", "locals", "output"}

// A stepType is a Type with what Load works out about it once.
type stepType struct {
	*Type
	fields  []Field
	outputs cty.Type // object of its outputs
}

func newStepType(t *Type) (*stepType, error) {
	fields, err := Fields(t.Config)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if slices.Contains(metaAttributes, f.Name) || slices.Contains(metaBlocks, f.Name) || f.Label {
			return nil, fmt.Errorf("the language itself gives every step a %s; the configuration cannot", f.Name)
		}
	}
	outputs := map[string]cty.Type{}
	for _, o := range t.Outputs {
		outputs[o.Name] = o.Type
	}
	return &stepType{t, fields, cty.Object(outputs)}, nil
}

func (t *stepType) outputNames() []string {
	names := make([]string, len(t.Outputs))
	for i, o := range t.Outputs {
		names[i] = o.Name
	}
	return names
}

// A stepBlock is a step as it is written; with for_each it stands for several steps.
type stepBlock struct {
	address  Address
	typ      *stepType
	syntax   *hclsyntax.Block
	forEach  hclsyntax.Expression // nil without for_each
	expanded bool
	broken   bool // its for_each is wrong: its keys are not known, and not asked for
	steps    []*Step

	when     hclsyntax.Expression // nil: always
	whenRefs []ref
	refs     []ref // of the configuration, seed, timeout and retry
	depends  []ref
	require  []ref // of the require blocks
	rules    []*rule
}

func (b *stepBlock) header() hcl.Range { return b.syntax.DefRange() }

func (b *stepBlock) keyNames() []string {
	names := make([]string, len(b.steps))
	for i, s := range b.steps {
		names[i] = s.Address.Key
	}
	return names
}

// declared is what the files of a pipeline hold, before anything is evaluated.
type declared struct {
	pipeline  *hclsyntax.Block
	variables []*hclsyntax.Block
	outputs   []*hclsyntax.Block
}

// declare sorts the top-level blocks, files in their order, and reports what cannot be declared, or not twice.
func (p *Program) declare() (declared, hcl.Diagnostics) {
	var all declared
	var diags hcl.Diagnostics
	for _, f := range p.source.files {
		for name, attr := range f.body.Attributes {
			diags = append(diags, Error(attr.SrcRange, "Attribute outside of a block",
				fmt.Sprintf("%s stands outside of any block. Values that several steps use go into locals { … }.", name)))
		}
		for _, b := range f.body.Blocks {
			diags = append(diags, p.declareBlock(b, &all)...)
		}
	}
	if len(p.blocks) == 0 && !diags.HasErrors() {
		diags = append(diags, p.empty())
	}
	return all, diags
}

func (p *Program) empty() *hcl.Diagnostic {
	d := &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Empty pipeline",
		Detail: fmt.Sprintf("%s has no steps. A step is a block of one of the step types: %s.", p.source.path,
			strings.Join(p.typeNames(), ", ")),
	}
	return d
}

func (p *Program) declareBlock(b *hclsyntax.Block, all *declared) hcl.Diagnostics {
	switch b.Type {
	case "pipeline":
		if all.pipeline != nil {
			return hcl.Diagnostics{duplicate(b.DefRange(), all.pipeline.DefRange(), "pipeline block",
				"A pipeline has one pipeline block. Keep one of the two.")}
		}
		all.pipeline = b
		return nil
	case "locals":
		return p.declareLocals(b)
	case "variable", "output":
		if bad := oneLabel(b); bad != nil {
			return hcl.Diagnostics{bad}
		}
		list := &all.variables
		if b.Type == "output" {
			list = &all.outputs
		}
		for _, before := range *list {
			if before.Labels[0] == b.Labels[0] {
				return hcl.Diagnostics{duplicate(b.DefRange(), before.DefRange(), b.Type,
					fmt.Sprintf("%s %q is declared twice. Rename or remove one.", b.Type, b.Labels[0]))}
			}
		}
		*list = append(*list, b)
		return nil
	default:
		return p.declareStep(b)
	}
}

func duplicate(r, first hcl.Range, what, detail string) *hcl.Diagnostic {
	return relate(Error(r, "Duplicate "+what, detail), first, "the first is here")
}

// oneLabel checks that a block has one label that can be referred to.
func oneLabel(b *hclsyntax.Block) *hcl.Diagnostic {
	switch {
	case len(b.Labels) == 0:
		return Error(b.DefRange(), "Missing name", fmt.Sprintf("Give the block a name: %s \"NAME\" { … }.", b.Type))
	case len(b.Labels) > 1:
		return Error(b.LabelRanges[1], "More than one name", fmt.Sprintf("Write %s %q { … }.", b.Type, b.Labels[0]))
	case !hclsyntax.ValidIdentifier(b.Labels[0]):
		return Error(b.LabelRanges[0], "Not a name", fmt.Sprintf(
			"%q cannot be referred to: a name starts with a letter and goes on with letters, digits, - and _.", b.Labels[0]))
	}
	return nil
}

func (p *Program) declareStep(b *hclsyntax.Block) hcl.Diagnostics {
	t := p.types[b.Type]
	if t == nil {
		if len(b.Labels) > 0 {
			p.mistyped[b.Labels[0]] = true
		}
		return hcl.Diagnostics{Error(b.TypeRange, "Unknown step type", fmt.Sprintf("There is no step type %q.%s",
			b.Type, didYouMean(b.Type, append(p.typeNames(), languageBlocks...), "step types")))}
	}
	if bad := oneLabel(b); bad != nil {
		return hcl.Diagnostics{bad}
	}
	block := &stepBlock{address: Address{Type: b.Type, Name: b.Labels[0]}, typ: t, syntax: b}
	if before := p.blocks[block.address]; before != nil {
		return hcl.Diagnostics{duplicate(b.DefRange(), before.header(), "step",
			fmt.Sprintf("%s is declared twice. Rename or remove one.", block.address))}
	}
	if attr := b.Body.Attributes["for_each"]; attr != nil {
		block.forEach = attr.Expr
	}
	if attr := b.Body.Attributes["when"]; attr != nil {
		block.when = attr.Expr
	}
	p.blocks[block.address] = block
	p.ordered = append(p.ordered, block)
	return nil
}

func (p *Program) typeNames() []string {
	names := make([]string, 0, len(p.types))
	for name := range p.types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *Program) namesOfType(t string) []string {
	var names []string
	for a := range p.blocks {
		if a.Type == t {
			names = append(names, a.String())
		}
	}
	return names
}
