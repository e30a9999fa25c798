package dsl

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// A Type is a step type as the language sees it: the word, what its block may hold, what others may refer to.
type Type struct {
	Name    string
	Doc     string
	Config  any // zero value of the configuration struct; the tags are documented at [Fields]
	Outputs []Output
}

// An Output is one attribute of a step's value. Its Type is that of [ArtifactType] for an artifact.
type Output struct {
	Name string
	Doc  string
	Type cty.Type
}

// Options are what Load needs beside the text.
type Options struct {
	Types     []Type
	Vars      map[string]string // --var NAME=VALUE: an HCL expression where the type is not string, as in Terraform
	VarFiles  []string          // --var-file
	Env       []string          // os.Environ(); ENGINE_VAR_name is read from here, and env() too
	WorkDir   string            // for abspath(); the pipeline's folder if empty
	GoRoot    string            // for goroot(); found by running `go env GOROOT` when first needed if empty
	NoExpense bool              // leave out checks that read the disk (editors)

	// Partial makes variables without a value unknown instead of an error, to look at a pipeline whose inputs are still
	// to come.
	Partial bool
	// Pipeline is the zero value of a struct, in the words of [Fields], whose fields the pipeline block may hold besides
	// those of the language; nil: none.
	Pipeline any
}

// A Program is a pipeline that has passed every check that can be made before a run.
type Program struct {
	Name        string // label of the pipeline block, or the file's base name
	Description string
	Seed        uint64
	Dir         string   // absolute folder of the pipeline; relative paths in it start here
	Files       []string // the .hcl files read
	Steps       []*Step  // in order of declaration, for_each expanded
	Outputs     []*OutputBlock
	Unset       []string // variables without a value, sorted; only with [Options].Partial
	// Pipeline is what the pipeline block holds of [Options].Pipeline, as [MarshalConfig] writes it. A field that waits
	// for a variable is left out.
	Pipeline json.RawMessage

	pipelineRanges map[string]hcl.Range // of what stands in the pipeline block
	pipelineHeader hcl.Range

	source         *Source
	types          map[string]*stepType
	functions      map[string]function.Function
	variables      map[string]*variable
	variableObject cty.Value
	locals         map[string]*localValue
	blocks         map[Address]*stepBlock
	ordered        []*stepBlock    // the blocks in order of declaration
	mistyped       map[string]bool // names of the blocks whose type is unknown: references to them are not reported again
	steps          map[Address]*Step
}

// Path is where the pipeline is written, absolute: its file, or its folder if it has several.
func (p *Program) Path() string {
	if len(p.Files) == 1 {
		return filepath.Join(p.Dir, filepath.Base(p.Files[0]))
	}
	return p.Dir
}

// An Address names a step: TYPE.NAME, or TYPE.NAME["key"] under for_each.
type Address struct {
	Type, Name string
	Key        string
	Keyed      bool   // for_each; distinguishes the key "" from none
	Child      string // a part of a composite step; "" for what is written in the recipe
}

// A Step is one step block, or one instance of a block with for_each.
type Step struct {
	Address Address
	Type    *Type
	Range   hcl.Range // of the block's header
	Needs   []Address // the steps that its expressions refer to and those in depends_on; sorted, no duplicates

	program *Program
	block   *stepBlock
	each    *eachValue // nil without for_each
	unknown cty.Value  // its value before it has run
}

// Known holds the outputs of steps that have run, by Address.String(): an object with one attribute per output of the
// type. A step that was skipped has null. An absent step has not run.
type Known map[string]cty.Value

// An Instance is a step's block evaluated with what is known.
type Instance struct {
	Step *Step

	When cty.Value // bool, perhaps unknown

	// Config holds every attribute and block of the configuration struct under its name, converted to the declared
	// type, defaults filled in: an object; repeated blocks are tuples. Artifacts are [Artifact] capsules. Parts that
	// depend on steps which have not run are unknown.
	Config cty.Value

	// Waits lists the steps whose outputs the configuration or the condition still waits for, sorted.
	Waits []Address
	// Unset lists the variables without a value that the configuration or the condition needs, sorted.
	Unset []string

	Seed    *uint64 // nil unless the block sets one
	Timeout time.Duration
	Retry   Retry

	ranges   map[string]hcl.Range
	place    string // of a derived instance: the path that asks for it
	upstream map[string]Artifact
	sources  map[string]Address
}

// Retry says how often a failed step is tried again.
type Retry struct {
	Attempts int // in all; 1 without a retry block
	Backoff  time.Duration
}

// An OutputBlock is an output of the pipeline.
type OutputBlock struct {
	Name        string
	Description string
	Range       hcl.Range
	Needs       []Address

	program *Program
	expr    hclsyntax.Expression
	refs    []ref
}

// An Artifact is the value of an artifact output.
type Artifact struct {
	Kind   string
	Digest string
	Step   string // address of the step that made it, for messages; not part of its identity
	Output string // name of the output
	Place  string // set by [Instance.Placed] alone: the path of the attribute that holds it
}
