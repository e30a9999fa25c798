package dsl

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// longest is how much of a string a message shows.
const longest = 60

// describe names a value in a message: its type, and the value itself when it is short.
func describe(v cty.Value) string {
	v, _ = v.UnmarkDeep()
	t := v.Type()
	switch {
	case t == cty.DynamicPseudoType && !v.IsKnown():
		return "not known yet"
	case v.IsNull():
		return "null"
	case !v.IsKnown():
		return withArticle(typeName(t)) + " (not known yet)"
	case t == cty.String:
		s := v.AsString()
		if len(s) > longest {
			s = strings.ToValidUTF8(s[:longest], "") + "…"
		}
		return "the string " + strconv.Quote(s)
	case t == cty.Number:
		return "the number " + numberText(v.AsBigFloat())
	case t == cty.Bool && v.True():
		return "true"
	case t == cty.Bool:
		return "false"
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return fmt.Sprintf("a list of %d", v.LengthInt())
	default:
		return withArticle(typeName(t))
	}
}

// shown is a value as a recipe would write it, or "" when it is not short.
func shown(v cty.Value) string {
	v, _ = v.UnmarkDeep()
	switch {
	case !v.IsKnown() || v.IsNull():
		return ""
	case v.Type() == cty.String && len(v.AsString()) <= longest:
		return strconv.Quote(v.AsString())
	case v.Type() == cty.Number:
		return numberText(v.AsBigFloat())
	case v.Type() == cty.Bool:
		return strconv.FormatBool(v.True())
	default:
		return ""
	}
}

// typeName names a type in a message: "number", "list of strings".
func typeName(t cty.Type) string {
	switch {
	case t == cty.Bool:
		return "true or false value"
	case t == cty.DynamicPseudoType:
		return "value of any type"
	case t.IsListType():
		return "list of " + plural(t.ElementType())
	case t.IsSetType():
		return "set of " + plural(t.ElementType())
	case t.IsMapType():
		return "map of " + plural(t.ElementType())
	case t.IsTupleType():
		return "list"
	default:
		return t.FriendlyName()
	}
}

func plural(t cty.Type) string {
	name := typeName(t)
	switch {
	case strings.HasPrefix(name, "list of"), strings.HasPrefix(name, "map of"), strings.HasPrefix(name, "set of"):
		kind, rest, _ := strings.Cut(name, " ")
		return kind + "s " + rest
	case t == cty.Bool:
		return "true or false values"
	case t == cty.DynamicPseudoType:
		return "values of any type"
	case strings.HasSuffix(name, "s"):
		return name
	default:
		return name + "s"
	}
}

// numberText is the shortest text that stands for the same number: whole numbers in full.
func numberText(v *big.Float) string {
	if v.IsInt() && v.MantExp(nil) <= 64 {
		return v.Text('f', 0)
	}
	f, _ := v.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// formatPath writes the path of an element as a recipe would.
func formatPath(path cty.Path) string {
	var b strings.Builder
	for _, step := range path {
		switch s := step.(type) {
		case cty.GetAttrStep:
			b.WriteString("." + s.Name)
		case cty.IndexStep:
			if i, ok := intKey(s.Key); ok {
				fmt.Fprintf(&b, "[%d]", i)
			} else {
				fmt.Fprintf(&b, "[%q]", s.Key.AsString())
			}
		}
	}
	return strings.TrimPrefix(b.String(), ".")
}
