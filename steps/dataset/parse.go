package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/steps/internal/corpus"
)

// parse makes a document of a JSON object, and says of which shape.
func (src *source) parse(data []byte) (corpus.Document, corpus.Shape, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return corpus.Document{}, "", fmt.Errorf("it is a JSON %s, not an object", kind.Value)
		}
		return corpus.Document{}, "", fmt.Errorf("it is not JSON: %w", err)
	}
	p := parser{object: object}
	c := &src.columns
	shape := src.shape
	if shape == "" {
		shape = p.shape(c)
	}
	var d corpus.Document
	switch shape {
	case corpus.MessagesShape:
		d.Messages = p.dialogue(c)
	case corpus.LabelledShape:
		d.Messages, d.Label = p.dialogue(c), p.label(c)
	case corpus.PreferenceShape:
		if d = p.preference(c); len(d.Messages) > 0 {
			shape = corpus.DialoguePreferenceShape
		}
	case corpus.PromptShape:
		d.Prompt = p.prompt(c)
	default:
		d.Text = p.text(c.Text, "text")
	}
	if shape == corpus.TextShape {
		return d, shape, p.err
	}
	switch tools := p.functions("tools"); {
	case len(d.Messages) > 0:
		d.Messages[0].Tools = tools
	case tools != "":
		p.fail("its tools belong to a dialogue: write the prompt as a list of messages")
	}
	return d, shape, p.err
}

// shape is the first kind of document that the record has the columns of; text if it has none.
func (p *parser) shape(c *Columns) corpus.Shape {
	switch {
	case p.has(c.Chosen, "chosen") && p.has(c.Rejected, "rejected") && !p.has(c.Messages, "messages"):
		return corpus.PreferenceShape
	case (p.has(c.Messages, "messages") || p.has(nil, "conversations") || p.answered(c)) && p.isBool(column(c.Label, "label")):
		return corpus.LabelledShape
	case p.has(c.Messages, "messages"), p.has(nil, "conversations"), p.answered(c):
		return corpus.MessagesShape
	case !p.has(c.Text, "text") && p.has(c.Prompt, "prompt"):
		return corpus.PromptShape
	}
	return corpus.TextShape
}

// A parser reads columns and keeps the first error.
type parser struct {
	object map[string]json.RawMessage
	err    error
}

func column(mapped *string, name string) string {
	if mapped != nil {
		return *mapped
	}
	return name
}

func (p *parser) has(mapped *string, name string) bool {
	_, ok := p.object[column(mapped, name)]
	return ok
}

// text reads a string; null is the empty one.
func (p *parser) text(mapped *string, name string) string {
	name = column(mapped, name)
	raw, ok := p.object[name]
	if !ok {
		p.fail("it has no column %q; it has %s", name, p.names())
		return ""
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil {
		p.fail("its column %q is %s, not a string", name, describe(raw))
	}
	if s == nil {
		return ""
	}
	return *s
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

// names lists the columns of a record.
func (p *parser) names() string {
	if len(p.object) == 0 {
		return "none"
	}
	var names []string
	for name := range p.object {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	return strings.Join(names, ", ")
}

// describe says what kind of JSON value it is.
func describe(raw json.RawMessage) string {
	switch raw = bytes.TrimSpace(raw); raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a truth value"
	}
	return "a number"
}
