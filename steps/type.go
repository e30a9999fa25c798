package steps

import (
	"context"
	"encoding/json"
	"os"

	"athanor/gpu"
	"athanor/steps/disk"
)

// A Type is one word of the recipe language.
type Type struct {
	Name    string // the block type: "pretrain"
	Doc     string // one sentence
	Version int    // part of the cache key; raise it when the same configuration gives other results

	// Config is the zero value of the configuration struct. Its exported fields say what may be written:
	//
	//	Layers int      `json:"n_layer" doc:"Number of layers."`                 // required
	//	Eps    float64  `json:"rms_norm_eps" default:"1e-5" doc:"…"`             // default: an HCL expression
	//	Theta  *float64 `json:"rope_theta" doc:"…"`                              // pointer, slice or map: optional, null when absent
	//	Data   Artifact `json:"data" kind:"tokens" doc:"…"`                      // an artifact of that kind
	//	Parts  []Part   `json:"part" hcl:"block" doc:"…"`                        // any number of blocks; min:"1" to require one
	//	Opt    AdamW    `json:"optimizer" hcl:"block" doc:"…"`                   // one block, its defaults when absent
	//	Eval   *Eval    `json:"eval" hcl:"block" doc:"…"`                        // one block or none
	//	Name   string   `json:"name" hcl:"label"`                                // the label of the enclosing block
	//	Paths  []string `json:"include" hcl:"path" doc:"…"`                      // file names: their content is in the key, they are not
	//	Every  int      `json:"checkpoint_every" hcl:"free" doc:"…"`             // does not change the result: not in the key
	//	How    string   `json:"precision" hcl:"machine" doc:"…"`                 // "auto" stands for the best of what the device Offers
	//
	// Also: one_of:"a,b" for strings; min:"…" and max:"…" for numbers and lengths; optional:"true" for an artifact
	// or a list that may be absent.
	Config any

	Outputs []Output

	// Files lists the files outside the recipe that the step will read, in the order in which it reads them, perhaps with
	// a GroupEnd after each group. Their contents are part of the key. Optional.
	Files func(s *Spec) ([]string, error)

	// Check looks at a configuration that is wholly known for what single attributes cannot say. Optional.
	Check func(s *Spec) error

	// Estimate says, before anything runs, what the step will need. An error says that it cannot tell yet, an
	// ImpossibleError that the step would fail. Optional.
	Estimate func(in *EstimateInput) (Estimate, error)

	// Run does the work. It is called in its own process, and again with the last checkpoint after any interruption.
	// It stops soon after ctx ends: saves a checkpoint if it can and returns ctx.Err().
	Run func(ctx context.Context, rt *Runtime) error

	// Expand makes the type composite: it says which children a step has, in an order in which each comes after those
	// whose outputs it refers to. It is called while planning, as soon as everything but artifacts is known, and again
	// while running; the same configuration and facts must give the same children. An error that it returns is shown
	// before anything runs; one that wraps ErrNotYet puts the expansion off. Optional.
	Expand func(in *EstimateInput) ([]Child, error)

	// Children are the types of the children that Expand may return. They are no words of the language: their names hold
	// a dot ("scaling_law.proxy"). They cannot be composite themselves.
	Children []*Type
}

// GroupEnd stands in what Type.Files returns where one group of files ends: without it a file could move from one group to
// the next, with other settings, and the key would stay. It is an empty file on every machine, and is not counted or named
// among the files that a step reads.
const GroupEnd = os.DevNull

// An Output is an artifact or a value that other blocks may refer to as TYPE.NAME.OUTPUT.
type Output struct {
	Name string
	Type string // an artifact kind ("model"), or "number", "string", "bool", "list(number)", "list(string)", "map(number)"
	Doc  string
}

// Kinds lists every kind of artifact. DESIGN of the formats: ARCHITECTURE.md.
var Kinds = []string{"dataset", "tokenizer", "tokens", "model", "report"}

// IsKind reports whether an output's type names an artifact.
func (o Output) IsKind() bool {
	for _, k := range Kinds {
		if o.Type == k {
			return true
		}
	}
	return false
}

// An Artifact is a folder that one step made and others read.
type Artifact struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`         // SHA-256 of its content, in hexadecimal
	Path   string `json:"path,omitempty"` // absolute; empty while planning
	From   string `json:"from,omitempty"` // only in Expand and in what it returns: where the artifact comes from
}

// IsZero reports whether an optional artifact was left out.
func (a Artifact) IsZero() bool { return a.Kind == "" }

// A Spec is all that the work needs: it can be carried to another process or another machine.
type Spec struct {
	Address  string          `json:"address"` // "pretrain.base", for messages only
	Type     string          `json:"type"`
	Version  int             `json:"version"`
	Key      string          `json:"key"`
	Config   json.RawMessage `json:"config"` // the evaluated configuration, every default filled in
	Seed     uint64          `json:"seed"`
	Files    []string        `json:"files,omitempty"`    // what Type.Files returned
	Dir      string          `json:"dir"`                // folder of the pipeline: relative paths start here
	WorkDir  string          `json:"work_dir"`           // folder of this step's work in flight
	Device   string          `json:"device"`             // "auto", "cpu", "cuda", "cuda:1"
	Threads  int             `json:"threads"`            // 0: as many as there are
	Revision string          `json:"revision"`           // of the engine, for records only
	Children []ChildResult   `json:"children,omitempty"` // of a composite step that runs, in the order of Expand

	// Look is what Files and Estimate look at the disk with, so that a plan looks once however many steps ask. Nil where no
	// plan is made.
	Look *disk.Look `json:"-"`
}

// Decode fills the configuration struct that dst points to.
func (s *Spec) Decode(dst any) error { return json.Unmarshal(s.Config, dst) }

// An Estimate is what a step is expected to need and to yield, before it runs.
type Estimate struct {
	Parameters int64              `json:"parameters,omitempty"`
	Tokens     int64              `json:"tokens,omitempty"`
	FLOPs      float64            `json:"flops,omitempty"`  // of training or inference, as RECIPE counts them
	Memory     int64              `json:"memory,omitempty"` // bytes at the peak, on the device
	Bytes      int64              `json:"bytes,omitempty"`  // of input data
	Facts      map[string]float64 `json:"facts,omitempty"`  // what steps below may use in their own estimates: "vocab_size"
	Training   *Training          `json:"training,omitempty"`
}

// A Training says how a step trains models of the shape that the facts of its estimate tell, so that the engine can say
// what that would need on other machines, and how long it takes on this one.
type Training struct {
	Context     int     `json:"context"`                // most tokens of a segment
	Segment     int     `json:"segment,omitempty"`      // tokens of a segment as they usually are; 0: Context
	BatchTokens int64   `json:"batch_tokens,omitempty"` // of an optimizer step, in the mean over the run; 0: not known
	MicroTokens int     `json:"micro_tokens"`           // most tokens that go through the model at once
	Trained     int     `json:"trained"`                // models that are trained at once
	Frozen      int     `json:"frozen,omitempty"`       // models that are only read meanwhile
	Adapters    int64   `json:"adapters,omitempty"`     // weights beside those of a model that are trained in their stead; 0: its own are
	Score       bool    `json:"score,omitempty"`        // the model's head gives a number for the last token of a segment
	ReadFLOPs   float64 `json:"read_flops,omitempty"`   // of passes beside the training, forward alone: evaluations, a reference

	Precision gpu.Precision `json:"precision,omitempty"` // of the large products
}

// Typical is how many tokens a segment usually has.
func (t *Training) Typical() int {
	if t.Segment > 0 {
		return t.Segment
	}
	return t.Context
}

// EstimateInput is what the planner knows. The configuration may have holes: attributes that depend on steps which have
// not run are absent from Config, while those that the recipe leaves out are null. An artifact that does not exist yet
// has its kind and no digest. One that does has a Path for the estimate of a step that will run, which may look into it for
// a few milliseconds.
type EstimateInput struct {
	Spec     *Spec
	Upstream map[string]Estimate // by the attribute that holds the artifact: "model", "part[0].data"
}
