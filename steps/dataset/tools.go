package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"athanor/steps/internal/corpus"
)

// functions reads a column of tools or of calls of them, or a string that holds such JSON; "" if it is not there, null or
// empty.
func (p *parser) functions(name string) corpus.JSON {
	raw, ok := p.object[name]
	if !ok {
		return ""
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if raw = json.RawMessage(text); strings.TrimSpace(text) == "" {
			return "" // null, or nothing
		}
	}
	out, err := functions(raw)
	if err != nil {
		p.fail("its column %q: %w", name, err)
	}
	return out
}

// functions brings tools, or calls of them, into the form that chat templates expect, {"type": "function", "function": …}.
// A single one is a list of one, and one that is not wrapped gets its wrapping.
func functions(raw json.RawMessage) (corpus.JSON, error) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		list = []json.RawMessage{raw}
	}
	var b bytes.Buffer
	for i, one := range list {
		var object map[string]json.RawMessage
		err := json.Unmarshal(one, &object)
		switch {
		case err != nil || object["function"] == nil && object["name"] == nil:
			return "", errors.New(`it is no list of objects that have a "function" or a "name"`)
		case i == 0:
			b.WriteByte('[')
		default:
			b.WriteByte(',')
		}
		wrapped := object["function"] == nil
		if wrapped {
			b.WriteString(`{"type":"function","function":`)
		}
		if err := json.Compact(&b, one); err != nil {
			return "", err
		}
		if wrapped {
			b.WriteByte('}')
		}
	}
	if len(list) == 0 {
		return "", nil
	}
	b.WriteByte(']')
	return corpus.JSON(strings.ToValidUTF8(b.String(), "\uFFFD")), nil
}
