package dsl

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// settings are what the language itself gives every step, besides when, for_each, depends_on and require.
type settings struct {
	Seed    *uint64 `json:"seed"`
	Timeout *string `json:"timeout"`
	Retry   *struct {
		Attempts int    `json:"attempts" default:"2" min:"1" max:"100"`
		Backoff  string `json:"backoff" default:"0s"`
	} `json:"retry" hcl:"block"`
}

// pipelineSettings is the pipeline block. Parse has followed include when it is decoded.
type pipelineSettings struct {
	Name        string   `json:"name" hcl:"label" optional:"true" doc:"What messages and the history call the pipeline. Left out: the name of its file or folder."`
	Description *string  `json:"description" doc:"A sentence for people."`
	Seed        *uint64  `json:"seed" doc:"Seed of every step that has none of its own. Left out: 0."`
	Include     []string `json:"include" doc:"Files that belong to the pipeline as if they stood in its folder, for what several pipelines have in common. Names are plain strings and start at the folder of this file; paths in the files start at the pipeline's folder, as everywhere."`
}

// PipelineFields are the fields of the pipeline block, those of an [Options].Pipeline included.
func PipelineFields(extension any) ([]Field, error) {
	more, err := Fields(extension)
	return slices.Concat(pipelineFields, more), err
}

var (
	settingFields  = mustFields(settings{})
	pipelineFields = mustFields(pipelineSettings{})
)

// mustFields is Fields for the structs of this package.
func mustFields(config any) []Field {
	fields, err := Fields(config)
	if err != nil {
		panic(err)
	}
	return fields
}

var whenField = Field{Name: "when", Type: cty.Bool, Required: true, goType: reflect.TypeFor[bool]()}

// output is the value of an output, marked with where it comes from.
func (st *Step) output(o Output, v cty.Value) cty.Value {
	if converted, err := convert.Convert(v, o.Type); err == nil {
		v = converted
	}
	known := v.IsWhollyKnown()
	if isArtifactType(o.Type) {
		v = v.Mark(fromMark{st.Address})
	}
	if !known {
		v = v.Mark(waitMark{st.Address})
	}
	return v
}

func newInstance(st *Step) *Instance {
	return &Instance{
		Step:     st,
		When:     cty.True,
		Retry:    Retry{Attempts: 1},
		ranges:   map[string]hcl.Range{},
		upstream: map[string]Artifact{},
		sources:  map[string]Address{},
	}
}

func (i *Instance) waitsFor(a Address) {
	if !slices.Contains(i.Waits, a) {
		i.Waits = append(i.Waits, a)
	}
}

// needs notes a variable without a value.
func (i *Instance) needs(variable string) {
	if !slices.Contains(i.Unset, variable) {
		i.Unset = append(i.Unset, variable)
		slices.Sort(i.Unset)
	}
}

// Eval evaluates the step's block with what is known. The Instance is never nil; where there are errors, parts of it
// are unknown.
func (st *Step) Eval(known Known) (*Instance, hcl.Diagnostics) {
	i, diags := st.eval(st.program.scope(known, nil))
	return i, sorted(diags)
}

// eval is Eval in a scope whose local values are shared with other steps.
func (st *Step) eval(shared *scope) (*Instance, hcl.Diagnostics) {
	s := *shared
	s.each = st.each
	b := st.block
	d := &decoder{scope: &s, inst: newInstance(st)}
	if b.when != nil {
		d.diags = append(d.diags, s.localErrors(b.whenRefs)...)
		d.ctx = s.context(b.whenRefs)
		d.inst.When = d.attribute(b.syntax, &whenField, "")
	}
	never := d.inst.When.IsKnown() && d.inst.When.False()
	if never {
		s.loose, s.locals = true, map[string]localResult{}
	}
	d.diags = append(d.diags, s.localErrors(b.refs)...)
	d.ctx = s.context(b.refs)
	d.inst.Config = d.block(b.syntax, b.typ.fields, "")
	d.settings(b.syntax)
	if never {
		d.inst.Waits, d.inst.Unset = nil, nil
	}
	slices.SortFunc(d.inst.Waits, compareByText)
	return d.inst, notOn(d.diags, b.badPlaces())
}

func compareByText(a, b Address) int { return strings.Compare(a.String(), b.String()) }

// badPlaces are the references that have been reported already.
func (b *stepBlock) badPlaces() []hcl.Range {
	var out []hcl.Range
	for _, r := range slices.Concat(b.whenRefs, b.refs, b.depends, b.require) {
		if r.kind == badRef {
			out = append(out, r.where)
		}
	}
	return out
}

// settings decodes seed, timeout and retry.
func (d *decoder) settings(b *hclsyntax.Block) {
	for i := range settingFields {
		f := &settingFields[i]
		var v cty.Value
		if f.Block {
			v = d.blocks(b, f, "")
		} else {
			v = d.attribute(b, f, "")
		}
		if v.IsNull() || !v.IsWhollyKnown() {
			continue
		}
		switch f.Name {
		case "seed":
			d.inst.Seed = asSeed(v)
		case "timeout":
			d.inst.Timeout = d.duration(v, "timeout")
			if d.inst.Timeout == 0 && v.AsString() == "0s" {
				d.errorf(d.inst.ranges["timeout"], "Not a duration", "timeout must be more than 0. Leave it out for no limit.")
			}
		case "retry":
			attempts, _ := v.GetAttr("attempts").AsBigFloat().Int64()
			d.inst.Retry = Retry{Attempts: int(attempts), Backoff: d.duration(v.GetAttr("backoff"), "retry.backoff")}
		}
	}
}

func asSeed(v cty.Value) *uint64 {
	seed, _ := v.AsBigFloat().Uint64()
	return &seed
}

func (d *decoder) duration(v cty.Value, path string) time.Duration {
	t, err := time.ParseDuration(v.AsString())
	if err != nil || t < 0 {
		d.errorf(d.inst.Range(path), "Not a duration", "%q is not a duration. Write a number and a unit: \"90s\", \"30m\", \"2h\", \"1h30m\".",
			v.AsString())
		return 0
	}
	return t
}

// loadPipeline evaluates the pipeline block, which holds the fields of extension beside the language's own.
func (p *Program) loadPipeline(b *hclsyntax.Block, extension any) hcl.Diagnostics {
	if b == nil {
		return nil
	}
	more, err := Fields(extension)
	if err != nil {
		return hcl.Diagnostics{mistake(err)}
	}
	refs, diags := p.resolveBody(b.Body, allowed{where: "The pipeline block"})
	s := p.scope(nil, nil)
	d := &decoder{scope: s, ctx: s.context(refs), inst: newInstance(nil)}
	v := d.block(b, slices.Concat(pipelineFields, more), "pipeline.")
	p.pipelineRanges, p.pipelineHeader = d.inst.ranges, b.DefRange()
	more = slices.DeleteFunc(slices.Clone(more), func(f Field) bool { return !v.GetAttr(f.Name).IsWhollyKnown() })
	if p.Pipeline, err = MarshalConfig(v, more, MarshalOptions{}); err != nil {
		return append(diags, mistake(err))
	}
	if name := v.GetAttr("name"); !name.IsNull() {
		p.Name = name.AsString()
	}
	if text := v.GetAttr("description"); text.IsKnown() && !text.IsNull() {
		p.Description = text.AsString()
	}
	if seed := v.GetAttr("seed"); seed.IsKnown() && !seed.IsNull() {
		p.Seed = *asSeed(seed)
	}
	return append(diags, notOn(d.diags, places(diags))...)
}

// PipelineRange is where an attribute or block of the pipeline block stands, or what is around it.
func (p *Program) PipelineRange(path string) hcl.Range {
	for path = "pipeline." + path; path != ""; path = around(path) {
		if r, ok := p.pipelineRanges[path]; ok {
			return r
		}
	}
	return p.pipelineHeader
}

// Range is where an attribute or block stands: "optimizer.lr", "files[0].include", "part[1].weight". For a path that
// is not in the text it is the range of the block around it, at last the header of the step. In a derived instance it
// is looked for below the place that asks for the instance, then in the whole block, and at last it is that place.
func (i *Instance) Range(path string) hcl.Range {
	if i.place != "" && path != "" {
		for p := i.place + "." + path; p != i.place; p = around(p) {
			if r, ok := i.ranges[p]; ok {
				return r
			}
		}
	}
	for ; path != "" && !within(i.place, path); path = around(path) {
		if r, ok := i.ranges[path]; ok {
			return r
		}
	}
	for path = i.place; path != ""; path = around(path) {
		if r, ok := i.ranges[path]; ok {
			return r
		}
	}
	return i.Step.Range
}

// within reports whether a path is another, or lies in what that stands for.
func within(path, other string) bool {
	rest, ok := strings.CutPrefix(path, other)
	return ok && (rest == "" || strings.ContainsAny(rest[:1], ".["))
}

// around is the path of what a path lies in.
func around(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// Upstream is the artifacts that the configuration refers to, as far as they are known, by the path of their
// attribute: "model", "part[0].data".
func (i *Instance) Upstream() map[string]Artifact { return maps.Clone(i.upstream) }

// Sources is the steps that the artifacts come from, by the path of their attribute. A step stands here also before it
// has run; where the choice among several depends on what is not known yet, none does.
func (i *Instance) Sources() map[string]Address { return maps.Clone(i.sources) }

// loadOutputs reads the output blocks.
func (p *Program) loadOutputs(blocks []*hclsyntax.Block) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range blocks {
		diags = append(diags, unsupported(b, []string{"value", "description"}, nil)...)
		o := &OutputBlock{Name: b.Labels[0], Range: b.DefRange(), program: p}
		if attr := b.Body.Attributes["description"]; attr != nil {
			text, bad := p.constant(attr.Expr, cty.String, "description")
			diags = append(diags, bad...)
			if !bad.HasErrors() && !text.IsNull() {
				o.Description = text.AsString()
			}
		}
		attr := b.Body.Attributes["value"]
		if attr == nil {
			diags = append(diags, Error(b.DefRange(), "Missing attribute", fmt.Sprintf("output %q needs a value: value = TYPE.NAME.OUTPUT.", o.Name)))
			continue
		}
		refs, bad := p.resolve(attr.Expr, allowed{steps: true, where: "An output"})
		diags = append(diags, bad...)
		o.expr, o.refs = attr.Expr, refs
		for _, r := range refs {
			o.Needs = append(o.Needs, p.instances(r, nil)...)
		}
		slices.SortFunc(o.Needs, compareByText)
		o.Needs = slices.Compact(o.Needs)
		p.Outputs = append(p.Outputs, o)
	}
	return diags
}

// Eval is the value of the output with what is known; unknown parts wait for steps that have not run.
func (o *OutputBlock) Eval(known Known) (cty.Value, hcl.Diagnostics) {
	v, diags := o.eval(o.program.scope(known, nil))
	return v, sorted(diags)
}

func (o *OutputBlock) eval(s *scope) (cty.Value, hcl.Diagnostics) {
	diags := s.localErrors(o.refs)
	ctx := s.context(o.refs)
	v, bad := o.expr.Value(ctx)
	if diags = append(diags, s.explain(bad)...); diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if addr, ok := skippedIn(v); ok {
		return cty.DynamicVal, append(diags, s.skippedError(o.expr.Range(), addr))
	}
	v, _ = v.UnmarkDeep()
	return v, diags
}
