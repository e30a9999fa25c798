package dsl_test

import (
	"fmt"
	"os"
	"testing"

	"athanor/dsl"
)

func TestSmoke(t *testing.T) {
	src, diags := dsl.Parse("testdata/good/quickstart.hcl")
	p, more := src.Load(dsl.Options{Types: testTypes(), GoRoot: "/go"})
	diags = append(diags, more...)
	src.WriteDiagnostics(os.Stdout, diags, 80, false)
	if p == nil {
		t.Fatal()
	}
	for _, s := range p.Steps {
		i, diags := s.Eval(nil)
		src.WriteDiagnostics(os.Stdout, diags, 80, false)
		f, _ := dsl.Fields(s.Type.Config)
		j, err := dsl.MarshalConfig(i.Config, f, dsl.MarshalOptions{AllowUnknown: true})
		fmt.Println(s.Address, string(j), err, "\n  needs", s.Needs, "waits", i.Waits, "sources", i.Sources(), i.When.GoString())
	}
}
