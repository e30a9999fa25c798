package dsl

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// include parses the files that the pipeline block names: they belong to the pipeline as if they stood in its folder, so
// that several pipelines can share what they have in common. Names start at the folder of the file that names them.
// Which files there are must be known before anything is evaluated, so the names are constants.
func (s *Source) include() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, f := range slices.Clone(s.files) { // what is included includes nothing
		for _, b := range f.body.Blocks {
			if attr := b.Body.Attributes["include"]; b.Type == "pipeline" && attr != nil {
				diags = append(diags, s.includeAll(f, attr)...)
			}
		}
	}
	return diags
}

func (s *Source) includeAll(f *file, attr *hclsyntax.Attribute) hcl.Diagnostics {
	const remedy = "include lists the files that belong to the pipeline, each a plain string: include = [\"recipe.hcl\"]."
	list, ok := attr.Expr.(*hclsyntax.TupleConsExpr)
	if !ok {
		return hcl.Diagnostics{Error(attr.Expr.Range(), "Not a list of files", remedy)}
	}
	var diags hcl.Diagnostics
	for _, e := range list.Exprs {
		v, bad := e.Value(nil)
		if bad.HasErrors() || v.Type() != cty.String || v.IsNull() {
			diags = append(diags, Error(e.Range(), "Not a file name", remedy))
			continue
		}
		name := v.AsString()
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(f.name), name)
		}
		if s.texts[name] != nil {
			diags = append(diags, Error(e.Range(), "A file that is there already", fmt.Sprintf("%s belongs to the pipeline already. Name it once.", name)))
			continue
		}
		for _, d := range s.parseFile(name) {
			if d.Subject == nil { // it cannot be read
				d.Subject = e.Range().Ptr()
			}
			diags = append(diags, d)
		}
		if n := len(s.files); n > 0 && s.files[n-1].name == name {
			diags = append(diags, refuseSettings(s.files[n-1])...)
		}
	}
	return diags
}

// refuseSettings reports a pipeline block in a file that is included.
func refuseSettings(f *file) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, b := range f.body.Blocks {
		if b.Type == "pipeline" {
			diags = append(diags, Error(b.DefRange(), "A pipeline block in an included file",
				"The pipeline block stands in the file that includes. Move it there."))
		}
	}
	return diags
}
