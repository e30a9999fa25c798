package dsl

import (
	"io"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// Signatures only; the bodies follow.

type Source struct{}

func Parse(path string) (*Source, hcl.Diagnostics) { panic("to come") }

func (s *Source) WriteDiagnostics(w io.Writer, diags hcl.Diagnostics, width int, color bool) error {
	panic("to come")
}

type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

type RangeJSON struct {
	File  string   `json:"file"`
	Start Position `json:"start"`
	End   Position `json:"end"`
}

type DiagnosticJSON struct {
	Severity string     `json:"severity"` // "error" or "warning"
	Summary  string     `json:"summary"`
	Detail   string     `json:"detail,omitempty"`
	Range    *RangeJSON `json:"range,omitempty"`
	Snippet  string     `json:"snippet,omitempty"`
	Related  *RangeJSON `json:"related,omitempty"`
}

func (s *Source) JSON(diags hcl.Diagnostics) []DiagnosticJSON { panic("to come") }

func (s *Source) Load(o Options) (*Program, hcl.Diagnostics) { panic("to come") }

func (p *Program) Step(a Address) *Step { panic("to come") }

func Error(r hcl.Range, summary, detail string) *hcl.Diagnostic { panic("to come") }

func (st *Step) Eval(known Known) (*Instance, hcl.Diagnostics) { panic("to come") }

func (st *Step) CheckRequire(known Known) hcl.Diagnostics { panic("to come") }

func (i *Instance) Range(path string) hcl.Range { panic("to come") }

func (i *Instance) Upstream() map[string]Artifact { panic("to come") }

func (i *Instance) Sources() map[string]Address { panic("to come") }

func (o *OutputBlock) Eval(known Known) (cty.Value, hcl.Diagnostics) { panic("to come") }

// A Field is one attribute or nested block of a configuration struct.
type Field struct {
	Name     string
	Doc      string
	Type     cty.Type // of its value in [Instance.Config]; for a repeated block that of one element
	Kind     string   // of artifact, "" for others
	Default  string   // HCL expression, "" when there is none
	Required bool
	Block    bool // written as a block
	Repeated bool // a block that may stand any number of times
	Label    bool // the label of the enclosing block
	Path     bool // names files: the names are not in the key
	Free     bool // does not change the result: not in the key
	OneOf    []string
	Min, Max string  // bounds of a number, or of a length; "" when there are none
	Fields   []Field // of a block
}

func Fields(config any) ([]Field, error) { panic("to come") }

// MarshalOptions say what MarshalConfig writes.
type MarshalOptions struct {
	Key          bool               // leave out fields marked free or path
	AllowUnknown bool               // leave out unknown parts; without it they are an error
	Artifact     func(Artifact) any // what stands for an artifact; {"kind", "digest"} when nil
}

func MarshalConfig(v cty.Value, fields []Field, o MarshalOptions) ([]byte, error) { panic("to come") }

func Format(src []byte, filename string) ([]byte, hcl.Diagnostics) { panic("to come") }

type stepBlock struct{}
