package steps

import (
	"encoding/json"
	"errors"
	"fmt"
)

// A Child is one part of a composite step: a step of its own, which no recipe can name but which has its own key, cache
// entry, checkpoints, log and line in the plan.
//
// Expand turns a configuration into children; the engine runs them, side by side as far as they do not need each other;
// then Run of the composite step reads what they made from Spec.Children and makes the outputs that the recipe sees. So
// a sweep is a list of children that know nothing of each other, and a sequence of stages is a list in which each refers
// to an output of the one before.
type Child struct {
	Name string // unique among its siblings; the child of TYPE.NAME is TYPE.NAME["Name"]
	Type *Type  // one of the composite type's Children
	// Config is a value of Type.Config's type. An artifact in it is one of the composite step's own, as its configuration
	// has it, or an earlier child's Output. Nothing is filled in: every value must be there. All of it is in the key, but
	// for what the tags leave out, so what the child does not depend on has no place in it.
	Config any
	Path   string // the attribute or block that asks for this child, to show where its errors belong: "stage[1]"
}

// Output stands for an artifact that the child will have made, in the configuration of a later child.
func (c *Child) Output(name string) Artifact {
	for _, o := range c.Type.Outputs {
		if o.Name == name {
			return Artifact{Kind: o.Type, From: fmt.Sprintf("[%q].%s", c.Name, name)}
		}
	}
	panic(fmt.Sprintf("step type %s has no output %q", c.Type.Name, name))
}

// A ChildResult is what a child has made.
type ChildResult struct {
	Name      string              `json:"name"`
	Artifacts map[string]Artifact `json:"artifacts"` // by output
	Values    json.RawMessage     `json:"values"`    // a JSON object: the value outputs
}

// Decode fills the struct that dst points to with the values.
func (r *ChildResult) Decode(dst any) error { return json.Unmarshal(r.Values, dst) }

// ErrNotYet says that Expand needs to know more of the steps above. The engine asks again when they have run.
var ErrNotYet = errors.New("this is not known yet")
