package dsl

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format lays out the text of a pipeline in the canonical style: indentation, aligned equals signs, one newline at the
// end. A text that does not parse is returned with the errors and not touched. Formatting twice changes nothing.
func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) {
	if bad := notUTF8(filename, src); bad != nil {
		return src, hcl.Diagnostics{bad}
	}
	_, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	if diags.HasErrors() {
		for _, d := range diags {
			addRemedy(d)
		}
		return src, sorted(diags)
	}
	out := hclwrite.Format(bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")))
	const tries = 3 // hclwrite sometimes settles only when it is asked again
	for range tries {
		again := hclwrite.Format(out)
		if bytes.Equal(again, out) {
			break
		}
		out = again
	}
	if len(out) > 0 {
		out = append(bytes.TrimRight(out, "\n \t"), '\n')
	}
	return out, nil
}
