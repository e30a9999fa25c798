package plan

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
)

// namedBy finds the attribute of a step that names a file, by itself, by its folder or by a pattern; if there is none it
// returns the block's header.
func (p *Predictor) namedBy(s *Step, config cty.Value, file string) hcl.Range {
	fields, err := dsl.Fields(s.Type.Config)
	if err != nil {
		return s.Where("")
	}
	if path := pathNaming(fields, config, "", func(pattern string) bool { return names(p.program.Dir, pattern, file) }); path != "" {
		return s.Instance.Range(path)
	}
	return s.Where("")
}

// pathNaming walks the attributes that hold file names and returns the path of the first with one that fits.
func pathNaming(fields []dsl.Field, block cty.Value, prefix string, fits func(string) bool) string {
	for _, f := range fields {
		if block.IsNull() || !block.Type().HasAttribute(f.Name) {
			continue
		}
		path, value := prefix+f.Name, block.GetAttr(f.Name)
		switch {
		case value.IsNull() || !value.IsWhollyKnown():
		case f.Block && f.Repeated:
			for i, element := range value.AsValueSlice() {
				if found := pathNaming(f.Fields, element, fmt.Sprintf("%s[%d].", path, i), fits); found != "" {
					return found
				}
			}
		case f.Block:
			if found := pathNaming(f.Fields, value, path+".", fits); found != "" {
				return found
			}
		case f.Path && anyString(value, fits):
			return path
		}
	}
	return ""
}

// anyString reports whether a string, or one of a collection of strings, fits.
func anyString(v cty.Value, fits func(string) bool) bool {
	if v.Type() == cty.String {
		return fits(v.AsString())
	}
	for it := v.ElementIterator(); it.Next(); {
		if _, element := it.Element(); element.Type() == cty.String && fits(element.AsString()) {
			return true
		}
	}
	return false
}

func names(dir, pattern, file string) bool {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(dir, pattern)
	}
	matched, err := doublestar.PathMatch(pattern, file)
	return err == nil && matched || strings.HasPrefix(file, strings.TrimSuffix(pattern, "/")+"/")
}
