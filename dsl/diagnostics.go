package dsl

import (
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A related position is a second place in the text that an error speaks of. It travels in Diagnostic.Extra.
type related struct {
	Range hcl.Range
	Label string // "dataset.code is declared here"
}

// Error is an error at a place in the text. The summary is short and holds no values; the detail names the value and
// the remedy.
func Error(r hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: &r}
}

// relate adds a second place to an error.
func relate(d *hcl.Diagnostic, r hcl.Range, label string) *hcl.Diagnostic {
	d.Extra = related{r, label}
	return d
}

// sorted orders diagnostics by file, line and column and leaves out those that say the same at the same place. Those
// without a place come first.
func sorted(diags hcl.Diagnostics) hcl.Diagnostics {
	out := slices.Clone(diags)
	slices.SortStableFunc(out, compareDiagnostics)
	return slices.CompactFunc(out, func(a, b *hcl.Diagnostic) bool {
		return a.Severity == b.Severity && a.Summary == b.Summary && a.Detail == b.Detail && comparePlaces(a, b) == 0
	})
}

func compareDiagnostics(a, b *hcl.Diagnostic) int {
	return cmp.Or(
		comparePlaces(a, b),
		cmp.Compare(a.Severity, b.Severity),
		cmp.Compare(a.Summary, b.Summary),
		cmp.Compare(a.Detail, b.Detail),
	)
}

func comparePlaces(a, b *hcl.Diagnostic) int {
	var x, y hcl.Range
	if a.Subject != nil {
		x = *a.Subject
	}
	if b.Subject != nil {
		y = *b.Subject
	}
	return cmp.Or(
		compareBools(a.Subject != nil, b.Subject != nil),
		cmp.Compare(x.Filename, y.Filename),
		cmp.Compare(x.Start.Byte, y.Start.Byte),
		cmp.Compare(x.End.Byte, y.End.Byte),
	)
}

// within leaves out the diagnostics that lie on one of the places: what HCL says about a reference which has been
// found wrong already is noise.
func notOn(diags hcl.Diagnostics, places []hcl.Range) hcl.Diagnostics {
	if len(places) == 0 {
		return diags
	}
	return slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		return d.Subject != nil && slices.ContainsFunc(places, func(r hcl.Range) bool { return d.Subject.Overlaps(r) })
	})
}

// places lists where the diagnostics are.
func places(diags hcl.Diagnostics) []hcl.Range {
	var out []hcl.Range
	for _, d := range diags {
		if d.Subject != nil {
			out = append(out, *d.Subject)
		}
	}
	return out
}

// headerAt is the header of the top-level block that a position lies in.
func (s *Source) headerAt(r hcl.Range) (hcl.Range, bool) {
	for _, f := range s.files {
		if f.name != r.Filename {
			continue
		}
		for _, b := range f.body.Blocks {
			if blockRange(b).ContainsOffset(r.Start.Byte) {
				return b.DefRange(), true
			}
		}
	}
	return hcl.Range{}, false
}

// blockRange is the range of a block from its type to its closing brace.
func blockRange(b *hclsyntax.Block) hcl.Range {
	return hcl.RangeBetween(b.TypeRange, b.CloseBraceRange)
}
