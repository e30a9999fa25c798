package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"

	"athanor/steps"
)

// Material is everything that a step's result depends on. It is kept with the result and in the journal, so that a
// later plan can say what has changed.
type Material struct {
	Type    string          `json:"type"`
	Version int             `json:"version"`
	Config  json.RawMessage `json:"config"` // canonical: sorted names, artifacts as {"kind","digest"}, no paths, no free attributes
	Seed    uint64          `json:"seed"`
	Files   []File          `json:"files,omitempty"`

	Children []Child `json:"children,omitempty"` // of a composite step: what they made
}

// A Child is what a child of a composite step made, by content.
type Child struct {
	Name      string           `json:"name"`
	Artifacts map[string]input `json:"artifacts,omitempty"` // by output
	Values    json.RawMessage  `json:"values,omitempty"`
}

// A File is a file outside the recipe that a step reads. Its path is for messages and is not part of the key.
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

// Read returns the files that the step reads: those listed, without what stands between groups of them.
func (m *Material) Read() []File {
	return slices.DeleteFunc(slices.Clone(m.Files), func(f File) bool { return f.Path == steps.GroupEnd })
}

// Key is the name of the result that this material makes: the digest of an object in JSON with children, config, files,
// seed, type and version in this order.
func (m *Material) Key() (string, error) {
	head, err := json.Marshal(struct {
		Children []Child         `json:"children,omitempty"`
		Config   json.RawMessage `json:"config"`
	}{m.Children, m.Config})
	if err != nil {
		return "", err
	}
	tail, err := json.Marshal(struct {
		Seed    uint64 `json:"seed"`
		Type    string `json:"type"`
		Version int    `json:"version"`
	}{m.Seed, m.Type, m.Version})
	if err != nil {
		return "", err
	}
	// Digests need no escapes, and there may be ten thousand of them.
	text := append(head[:len(head)-1], `,"files":[`...)
	for i, f := range m.Files {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, '"'), f.Digest...), '"')
	}
	text = append(append(text, "],"...), tail[1:]...)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// input is how an artifact appears in Material.Config.
type input struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
}
