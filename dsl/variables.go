package dsl

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// envPrefix starts the names of the environment variables that set variables of the pipeline.
const envPrefix = "ENGINE_VAR_"

// A variable is a variable block and its value.
type variable struct {
	name     string
	syntax   *hclsyntax.Block
	typ      cty.Type
	defaults *typeexpr.Defaults // of optional attributes
	value    cty.Value          // cty.NilVal until it is set
	origin   string             // "--var", for messages
}

func variableNames(variables map[string]*variable) []string {
	return slices.Sorted(maps.Keys(variables))
}

// loadVariables declares the variables and gives them their values: from --var, else --var-file, else the
// environment, else the default.
func (p *Program) loadVariables(blocks []*hclsyntax.Block, o Options) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range blocks {
		diags = append(diags, p.declareVariable(b)...)
	}
	diags = append(diags, p.variablesFromEnv(o.Env)...)
	for _, name := range o.VarFiles {
		diags = append(diags, p.variablesFromFile(name)...)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		v := p.variables[name]
		if v == nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "Undeclared variable",
				Detail: fmt.Sprintf("--var sets %q, and the pipeline declares no such variable.%s", name,
					didYouMean(name, variableNames(p.variables), "variables")),
			})
			continue
		}
		diags = append(diags, p.setText(v, o.Vars[name], "--var "+name)...)
	}
	values := map[string]cty.Value{}
	for name, v := range p.variables {
		if v.value == cty.NilVal && o.Partial {
			p.Unset = append(p.Unset, name)
			v.value = cty.UnknownVal(v.typ).Mark(unsetMark{name})
		}
		if v.value == cty.NilVal {
			diags = append(diags, Error(v.syntax.DefRange(), "A variable has no value", fmt.Sprintf(
				"%s has no default. Give it a value with --var %s=…, a --var-file, or the environment variable %s%s.",
				name, name, envPrefix, name)))
			v.value = cty.UnknownVal(v.typ)
		}
		values[name] = v.value
	}
	slices.Sort(p.Unset)
	p.variableObject = cty.ObjectVal(values)
	for _, name := range variableNames(p.variables) {
		diags = append(diags, p.validate(p.variables[name])...)
	}
	return diags
}

func (p *Program) declareVariable(b *hclsyntax.Block) hcl.Diagnostics {
	v := &variable{name: b.Labels[0], syntax: b, typ: cty.DynamicPseudoType}
	p.variables[v.name] = v
	diags := unsupported(b, []string{"type", "default", "description"}, []string{"validation"})
	typed := b.Body.Attributes["type"]
	if typed != nil {
		var bad hcl.Diagnostics
		v.typ, v.defaults, bad = typeexpr.TypeConstraintWithDefaults(typed.Expr)
		diags = append(diags, bad...)
		if bad.HasErrors() {
			v.typ, v.value = cty.DynamicPseudoType, cty.DynamicVal
			return diags
		}
	}
	if attr := b.Body.Attributes["description"]; attr != nil {
		if _, bad := p.constant(attr.Expr, cty.String, "description"); bad != nil {
			diags = append(diags, bad...)
		}
	}
	attr := b.Body.Attributes["default"]
	if attr == nil {
		return diags
	}
	value, bad := p.constant(attr.Expr, cty.DynamicPseudoType, "default")
	if bad.HasErrors() {
		v.value = cty.UnknownVal(v.typ)
		return append(diags, bad...)
	}
	if typed == nil && value.Type().IsPrimitiveType() {
		v.typ = value.Type() // a default tells the type as well as a word would
	}
	return append(diags, v.set(value, attr.Expr.Range(), "default")...)
}

// constant evaluates an expression that may call functions and refer to nothing.
func (p *Program) constant(e hclsyntax.Expression, t cty.Type, what string) (cty.Value, hcl.Diagnostics) {
	if found := collect(e); len(found) > 0 {
		return cty.DynamicVal, hcl.Diagnostics{Error(found[0].traversal.SourceRange(), "A reference where a constant is expected",
			fmt.Sprintf("%s must be a constant; %s refers to something else. Functions may be called here.",
				what, text(found[0].traversal)))}
	}
	v, diags := e.Value(&hcl.EvalContext{Functions: p.functions})
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	converted, err := convert.Convert(v, t)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{Error(e.Range(), "Wrong type",
			fmt.Sprintf("%s must be %s; this is %s.", what, withArticle(typeName(t)), describe(v)))}
	}
	return converted, nil
}

// set converts a value to the variable's type and stores it.
func (v *variable) set(value cty.Value, where hcl.Range, origin string) hcl.Diagnostics {
	if v.defaults != nil && !value.IsNull() {
		value = v.defaults.Apply(value)
	}
	converted, err := convert.Convert(value, v.typ)
	v.origin = origin
	if err != nil {
		v.value = cty.UnknownVal(v.typ)
		detail := fmt.Sprintf("%s must be %s; this is %s.", v.name, withArticle(typeName(v.typ)), describe(value))
		var at cty.PathError
		if errors.As(err, &at) && len(at.Path) > 0 {
			detail = fmt.Sprintf("%s does not fit its type %s: at %s, %v.", v.name, typeexpr.TypeString(v.typ), formatPath(at.Path), at)
		} else if v.typ.IsObjectType() && value.Type().IsObjectType() { // an attribute is missing
			detail = fmt.Sprintf("%s does not fit its type %s: %v.", v.name, typeexpr.TypeString(v.typ), err)
		}
		return hcl.Diagnostics{relate(Error(where, "Wrong type", detail), v.syntax.DefRange(), "the variable is declared here")}
	}
	v.value = converted
	return nil
}

func (p *Program) variablesFromEnv(env []string) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, entry := range env {
		key, value, _ := strings.Cut(entry, "=")
		name, ok := strings.CutPrefix(key, envPrefix)
		if v := p.variables[name]; ok && v != nil { // others may be meant for another pipeline
			diags = append(diags, p.setText(v, value, key)...)
		}
	}
	return diags
}

func (p *Program) variablesFromFile(name string) hcl.Diagnostics {
	content, err := os.ReadFile(name)
	if err != nil {
		d := unreadable(name, err)
		d.Detail = "--var-file: " + d.Detail
		return hcl.Diagnostics{d}
	}
	p.source.texts[name] = content
	if bad := notUTF8(name, content); bad != nil {
		return hcl.Diagnostics{bad}
	}
	f, diags := hclsyntax.ParseConfig(content, name, hcl.InitialPos)
	if diags.HasErrors() {
		return diags
	}
	body := f.Body.(*hclsyntax.Body)
	replaceConditionals(body)
	for _, b := range body.Blocks {
		diags = append(diags, Error(b.DefRange(), "A block in a file of variables",
			fmt.Sprintf("A file of variables holds lines NAME = VALUE and no blocks. If %s is a variable, write %s = { … }.", b.Type, b.Type)))
	}
	for _, attr := range inOrder(body.Attributes) {
		v := p.variables[attr.Name]
		if v == nil {
			diags = append(diags, Error(attr.NameRange, "Undeclared variable", fmt.Sprintf("The pipeline declares no variable %q.%s",
				attr.Name, didYouMean(attr.Name, variableNames(p.variables), "variables"))))
			continue
		}
		value, bad := p.constant(attr.Expr, cty.DynamicPseudoType, "a value in a file of variables")
		if bad.HasErrors() {
			v.value = cty.UnknownVal(v.typ)
			diags = append(diags, bad...)
			continue
		}
		diags = append(diags, v.set(value, attr.Expr.Range(), name)...)
	}
	return diags
}

// setText sets a variable from the command line or the environment. A string is taken as it is; for other types the
// text is an HCL expression: 2e12, [1, 2], {a = 1}.
func (p *Program) setText(v *variable, content, origin string) hcl.Diagnostics {
	where := hcl.Range{Filename: origin, Start: hcl.InitialPos, End: hcl.Pos{Line: 1, Column: len(content) + 1, Byte: len(content)}}
	p.source.texts[origin] = []byte(content)
	if bad := notUTF8(origin, []byte(content)); bad != nil {
		return hcl.Diagnostics{bad}
	}
	if v.typ == cty.String {
		return v.set(cty.StringVal(content), where, origin)
	}
	e, diags := hclsyntax.ParseExpression([]byte(content), origin, hcl.InitialPos)
	if !diags.HasErrors() {
		e = replaced(e)
		var value cty.Value
		if value, diags = p.constant(e, cty.DynamicPseudoType, "a value"); !diags.HasErrors() {
			return v.set(value, where, origin)
		}
	}
	v.value = cty.UnknownVal(v.typ)
	detail := fmt.Sprintf("%s must be %s; %q is not one: %s", v.name, withArticle(typeName(v.typ)), content, diags[0].Detail)
	switch {
	case v.typ.IsPrimitiveType():
		detail = fmt.Sprintf("%s must be %s; %q is not one.", v.name, withArticle(typeName(v.typ)), content)
	case v.typ == cty.DynamicPseudoType:
		detail = fmt.Sprintf("%q is not an HCL value. A string needs quotes here: '\"%s\"'; or declare type = string.", content, content)
	}
	return hcl.Diagnostics{relate(Error(where, "Not a value", detail), v.syntax.DefRange(), "the variable is declared here")}
}

// unsetIn lists the variables without a value that an expression refers to, itself or through local values.
func (p *Program) unsetIn(e hcl.Expression) []string {
	syntax, ok := e.(hclsyntax.Expression)
	if !ok || len(p.Unset) == 0 {
		return nil
	}
	var names []string
	seen := map[*localValue]bool{}
	var visit func(e hclsyntax.Expression)
	visit = func(e hclsyntax.Expression) {
		for _, f := range collect(e) {
			if l := p.localOf(f.traversal[:min(2, len(f.traversal))]); l != nil && !seen[l] {
				seen[l] = true
				visit(l.expr)
			}
			if name, ok := secondName(f.traversal); ok && f.traversal.RootName() == "var" && slices.Contains(p.Unset, name) {
				names = append(names, name)
			}
		}
	}
	visit(syntax)
	return names
}

// secondName is the NAME of var.NAME.
func secondName(t hcl.Traversal) (string, bool) {
	if len(t) < 2 {
		return "", false
	}
	attr, ok := t[1].(hcl.TraverseAttr)
	return attr.Name, ok
}

// validate checks the validation blocks of a variable.
func (p *Program) validate(v *variable) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range v.syntax.Body.Blocks {
		if b.Type != "validation" {
			continue
		}
		r, bad := p.newRule(b, allowed{where: "A validation"}, "var")
		diags = append(diags, bad...)
		holds, message, bad := r.eval(p.scope(nil, nil))
		diags = append(diags, bad...)
		if holds.IsKnown() && holds.False() {
			d := Error(r.condition.Range(), "Invalid value of a variable",
				fmt.Sprintf("%s\n\nvar.%s is %s, from %s.", message, v.name, describe(v.value), v.origin))
			diags = append(diags, relate(d, v.syntax.DefRange(), "the variable is declared here"))
		}
	}
	return diags
}
