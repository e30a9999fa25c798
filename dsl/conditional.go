package dsl

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// A conditional is a ? b : c whose branches may be of different types.
//
// HCL unifies the types of the branches and fails when it cannot. A recipe chooses between steps of different types,
//
//	model = var.alignment == "ppo" ? ppo.aligned : dpo.aligned
//
// whose values are objects with different attributes. Here the branch that is chosen wins: it is converted when the
// types have a common one, and left as it is when they have not. While the condition is unknown and the types differ,
// the type is unknown too. The marks of the branch that was not chosen do not stick to the result, since they say
// where a value comes from.
type conditional struct {
	*hclsyntax.ConditionalExpr
}

func (c *conditional) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	condition, diags := c.Condition.Value(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	condition, marks := condition.Unmark()
	for mark := range marks {
		if _, ok := mark.(skipMark); ok {
			delete(marks, mark) // asking whether a step was skipped is not using it
		}
	}
	known, err := convert.Convert(condition, cty.Bool)
	if err != nil || known.IsNull() {
		return cty.DynamicVal, hcl.Diagnostics{Error(c.Condition.Range(), "The condition is not true or false",
			fmt.Sprintf("What stands before the ? must be a bool; this is %s.", describe(condition)))}
	}
	if !known.IsKnown() {
		return c.undecided(ctx, marks)
	}
	chosen, other := c.TrueResult, c.FalseResult
	if known.False() {
		chosen, other = other, chosen
	}
	v, diags := chosen.Value(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if o, otherDiags := other.Value(ctx); !otherDiags.HasErrors() {
		if to, _ := convert.UnifyUnsafe([]cty.Type{v.Type(), o.Type()}); to != cty.NilType && to != cty.DynamicPseudoType {
			if converted, err := convert.Convert(v, to); err == nil {
				v = converted
			}
		}
	}
	return v.WithMarks(marks), diags
}

// undecided is the value while the condition is unknown: an unknown of the type that both branches have.
func (c *conditional) undecided(ctx *hcl.EvalContext, marks cty.ValueMarks) (cty.Value, hcl.Diagnostics) {
	a, diags := c.TrueResult.Value(ctx)
	b, more := c.FalseResult.Value(ctx)
	if diags.HasErrors() || more.HasErrors() {
		// Which branch counts is not known yet, so an error in one of them is not an error yet.
		return cty.DynamicVal.WithMarks(marks), nil
	}
	a, ofA := a.UnmarkDeep()
	b, ofB := b.UnmarkDeep()
	to, _ := convert.UnifyUnsafe([]cty.Type{a.Type(), b.Type()})
	if to == cty.NilType {
		to = cty.DynamicPseudoType
	}
	return cty.UnknownVal(to).WithMarks(marks, ofA, ofB), nil
}

// replaceConditionals rewrites every conditional in the body of a file.
func replaceConditionals(body *hclsyntax.Body) {
	for _, attr := range body.Attributes {
		attr.Expr = replaced(attr.Expr)
	}
	for _, block := range body.Blocks {
		replaceConditionals(block.Body)
	}
}

func replaced(e hclsyntax.Expression) hclsyntax.Expression {
	switch e := e.(type) {
	case *hclsyntax.ConditionalExpr:
		e.Condition, e.TrueResult, e.FalseResult = replaced(e.Condition), replaced(e.TrueResult), replaced(e.FalseResult)
		return &conditional{e}
	case *hclsyntax.FunctionCallExpr:
		replaceAll(e.Args)
	case *hclsyntax.IndexExpr:
		e.Collection, e.Key = replaced(e.Collection), replaced(e.Key)
	case *hclsyntax.TupleConsExpr:
		replaceAll(e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		for i := range e.Items {
			e.Items[i].KeyExpr, e.Items[i].ValueExpr = replaced(e.Items[i].KeyExpr), replaced(e.Items[i].ValueExpr)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		e.Wrapped = replaced(e.Wrapped)
	case *hclsyntax.ForExpr:
		e.CollExpr, e.ValExpr = replaced(e.CollExpr), replaced(e.ValExpr)
		e.KeyExpr, e.CondExpr = replaced(e.KeyExpr), replaced(e.CondExpr)
	case *hclsyntax.SplatExpr:
		e.Source, e.Each = replaced(e.Source), replaced(e.Each)
	case *hclsyntax.TemplateExpr:
		replaceAll(e.Parts)
	case *hclsyntax.TemplateWrapExpr:
		e.Wrapped = replaced(e.Wrapped)
	case *hclsyntax.TemplateJoinExpr:
		e.Tuple = replaced(e.Tuple)
	case *hclsyntax.BinaryOpExpr:
		e.LHS, e.RHS = replaced(e.LHS), replaced(e.RHS)
	case *hclsyntax.UnaryOpExpr:
		e.Val = replaced(e.Val)
	case *hclsyntax.ParenthesesExpr:
		e.Expression = replaced(e.Expression)
	case *hclsyntax.RelativeTraversalExpr:
		e.Source = replaced(e.Source)
	}
	return e // literals, traversals, the item of a splat, nil
}

func replaceAll(exprs []hclsyntax.Expression) {
	for i := range exprs {
		exprs[i] = replaced(exprs[i])
	}
}
