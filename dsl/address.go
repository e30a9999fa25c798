package dsl

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// String writes the address as it is written in a recipe: dataset.code, sft.chat["small"]. A part of a composite step
// looks like one of several instances, and has two keys where the step has one already: sweep.size["small"]["1e12"].
func (a Address) String() string {
	s := a.Type + "." + a.Name
	if a.Keyed {
		s += "[" + strconv.Quote(a.Key) + "]"
	}
	if a.Child != "" {
		s += "[" + strconv.Quote(a.Child) + "]"
	}
	return s
}

// compareAddresses orders by type, name and key, an address without a key before those with one.
func compareAddresses(a, b Address) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Name, b.Name),
		compareBools(a.Keyed, b.Keyed),
		cmp.Compare(a.Key, b.Key),
		cmp.Compare(a.Child, b.Child),
	)
}

func compareBools(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// ParseAddress reads what [Address.String] writes. On a command line, where quotes are a nuisance, a key may also stand
// without them: sft.chat[small]. A single key is read as that of for_each, whichever it is: both are written alike.
func ParseAddress(s string) (Address, error) {
	malformed := fmt.Errorf("%q is not the address of a step: write TYPE.NAME or TYPE.NAME[\"key\"]", s)
	path, _, _ := strings.Cut(s, "[")
	var a Address
	var dotted bool
	a.Type, a.Name, dotted = strings.Cut(path, ".")
	if !dotted || !hclsyntax.ValidIdentifier(a.Type) || !hclsyntax.ValidIdentifier(a.Name) {
		return Address{}, malformed
	}
	keys, ok := parseKeys(s[len(path):])
	switch {
	case !ok || len(keys) > 2 || len(keys) == 2 && keys[1] == "":
		return Address{}, malformed
	case len(keys) == 2:
		a.Child = keys[1]
		fallthrough
	case len(keys) == 1:
		a.Key, a.Keyed = keys[0], true
	}
	return a, nil
}

// parseKeys reads ["a"]["b"] or [a][b].
func parseKeys(s string) (keys []string, ok bool) {
	for s != "" {
		if s, ok = strings.CutPrefix(s, "["); !ok {
			return nil, false
		}
		key := ""
		if quoted, err := strconv.QuotedPrefix(s); err == nil && quoted[0] == '"' {
			if key, err = strconv.Unquote(quoted); err != nil {
				return nil, false
			}
			s = s[len(quoted):]
		} else if strings.HasPrefix(s, `"`) {
			return nil, false
		} else if i := strings.IndexByte(s, ']'); i >= 0 {
			key, s = s[:i], s[i:]
		}
		if s, ok = strings.CutPrefix(s, "]"); !ok {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, true
}
