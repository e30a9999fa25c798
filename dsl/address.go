package dsl

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// String writes the address as it is written in a recipe: dataset.code, sft.chat["small"].
func (a Address) String() string {
	if a.Keyed {
		return a.Type + "." + a.Name + "[" + strconv.Quote(a.Key) + "]"
	}
	return a.Type + "." + a.Name
}

// compareAddresses orders by type, name and key, an address without a key before those with one.
func compareAddresses(a, b Address) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Name, b.Name),
		compareBools(a.Keyed, b.Keyed),
		cmp.Compare(a.Key, b.Key),
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

// ParseAddress reads what [Address.String] writes. On a command line, where quotes are a nuisance, the key may also
// stand without them: sft.chat[small].
func ParseAddress(s string) (Address, error) {
	malformed := fmt.Errorf("%q is not the address of a step: write TYPE.NAME or TYPE.NAME[\"key\"]", s)
	path, rest, keyed := strings.Cut(s, "[")
	a := Address{Keyed: keyed}
	var dotted bool
	a.Type, a.Name, dotted = strings.Cut(path, ".")
	if !dotted || !hclsyntax.ValidIdentifier(a.Type) || !hclsyntax.ValidIdentifier(a.Name) {
		return Address{}, malformed
	}
	if !keyed {
		return a, nil
	}
	key, closed := strings.CutSuffix(rest, "]")
	if !closed {
		return Address{}, malformed
	}
	if !strings.HasPrefix(key, `"`) {
		a.Key = key
		return a, nil
	}
	unquoted, err := strconv.Unquote(key)
	if err != nil {
		return Address{}, malformed
	}
	a.Key = unquoted
	return a, nil
}
