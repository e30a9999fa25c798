package dataset

import (
	"encoding/json"
	"fmt"
	"strings"

	"athanor/steps/internal/corpus"
)

// shareGPT are the roles of ShareGPT's conversations under Hugging Face's names.
var shareGPT = map[string]string{
	"human": "user", "gpt": "assistant", "function_call": "assistant", "observation": "tool", "function_response": "tool",
}

// answered reports a prompt with its answer: prompt and completion, or Alpaca's instruction and output.
func (p *parser) answered(c *Columns) bool {
	return p.has(c.Prompt, "prompt") && p.has(c.Answer, "completion") || p.alpaca(c)
}

// alpaca reports a record that has Alpaca's columns and no prompt.
func (p *parser) alpaca(c *Columns) bool {
	return c.Prompt == nil && !p.has(nil, "prompt") && p.has(nil, "instruction") &&
		(p.has(c.Answer, "output") || p.has(c.Chosen, "chosen"))
}

// dialogue reads the messages of a record, in whichever way it holds them.
func (p *parser) dialogue(c *Columns) []corpus.Message {
	switch {
	case c.Messages != nil || p.has(nil, "messages"):
		return p.messages(c, column(c.Messages, "messages"))
	case c.Answer == nil && p.has(nil, "conversations"):
		return p.messages(c, "conversations")
	}
	answer := "completion"
	if p.alpaca(c) {
		answer = "output"
	}
	prompt, text := p.prompt(c), p.text(c.Answer, answer)
	switch {
	case p.err != nil:
	case strings.TrimSpace(prompt) == "":
		p.fail("its prompt is empty")
	case strings.TrimSpace(text) == "":
		p.fail("its answer is empty")
	}
	return []corpus.Message{{Role: "user", Content: prompt}, {Role: "assistant", Content: text}}
}

// prompt reads a prompt that is a text, with its input.
func (p *parser) prompt(c *Columns) string {
	name, input := "prompt", p.has(nil, "input") && c.Prompt == nil && !p.has(nil, "prompt")
	if p.alpaca(c) {
		name = "instruction"
	}
	text := p.text(c.Prompt, name)
	if c.Input != nil || input {
		if about := p.text(c.Input, "input"); about != "" {
			text += "\n\n" + about
		}
	}
	return text
}

// preference reads two answers and what they answer: a text, or a dialogue. Unless the recipe or the record has a column
// for it, it is what both answers begin with, if they are lists of messages or transcripts "\n\nHuman: …\n\nAssistant: …".
func (p *parser) preference(c *Columns) corpus.Document {
	pair := corpus.Compared{
		Named: c.Prompt != nil, Chosen: p.answer(c, column(c.Chosen, "chosen")), Rejected: p.answer(c, column(c.Rejected, "rejected")),
	}
	switch {
	case p.err != nil:
	case c.Prompt == nil && p.has(nil, "conversations"):
		pair.Prompt = p.messages(c, "conversations")
	case p.isList(column(c.Prompt, "prompt")):
		pair.Prompt = p.messages(c, column(c.Prompt, "prompt"))
	case c.Prompt != nil || p.has(nil, "prompt") || p.alpaca(c):
		pair.Text = p.prompt(c)
	}
	if p.err != nil {
		return corpus.Document{}
	}
	d, err := pair.Preference()
	if err != nil {
		p.fail("%w; it has %s", err, p.names())
	}
	return d
}

// answer reads an answer that is a text, a message, a list of messages or a transcript; it is the last of the messages.
func (p *parser) answer(c *Columns, name string) []corpus.Message {
	raw, ok := p.object[name]
	switch {
	case ok && len(raw) > 0 && raw[0] == '[':
		return p.messages(c, name)
	case ok && len(raw) > 0 && raw[0] == '{':
		m, err := message(c, raw)
		if err != nil {
			p.fail("its column %q: %w", name, err)
		}
		return []corpus.Message{m}
	}
	text := p.text(&name, name)
	if messages := corpus.Transcript(text); messages != nil && c.Prompt == nil && !p.has(nil, "prompt") {
		return messages
	}
	return []corpus.Message{{Role: "assistant", Content: text}}
}

func (p *parser) isList(name string) bool {
	raw := p.object[name]
	return len(raw) > 0 && raw[0] == '['
}

// messages reads a list of messages.
func (p *parser) messages(c *Columns, name string) []corpus.Message {
	raw, ok := p.object[name]
	if !ok {
		p.fail("it has no column %q; it has %s", name, p.names())
		return nil
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		p.fail("its column %q is not a list of objects", name)
		return nil
	}
	out := make([]corpus.Message, len(list))
	for i, object := range list {
		var err error
		if out[i], err = message(c, object); err != nil {
			p.fail("message %d of its column %q: %w", i+1, name, err)
			return nil
		}
	}
	if len(out) == 0 {
		p.fail("its column %q is empty", name)
	}
	return out
}

// message reads one message: role and content, or ShareGPT's from and value.
func message(c *Columns, raw json.RawMessage) (corpus.Message, error) {
	m := parser{}
	if err := json.Unmarshal(raw, &m.object); err != nil {
		return corpus.Message{}, fmt.Errorf("it is not an object")
	}
	if c.Role == nil && c.Content == nil && !m.has(nil, "role") && m.has(nil, "from") {
		out := corpus.Message{Role: m.text(nil, "from"), Content: m.text(nil, "value")}
		called := out.Role == "function_call"
		if role, ok := shareGPT[out.Role]; ok && c.Roles == nil {
			out.Role = role
		}
		if calls, err := functions(json.RawMessage(out.Content)); called && err == nil {
			out.Content, out.ToolCalls = "", calls
		}
		return out, m.err
	}
	out := corpus.Message{Role: m.text(c.Role, "role"), ToolCalls: m.functions("tool_calls")}
	if m.has(c.Content, "content") || out.ToolCalls == "" { // a call needs no words
		out.Content = m.text(c.Content, "content")
	}
	return out, m.err
}

func (p *parser) isBool(name string) bool {
	raw := string(p.object[name])
	return raw == "true" || raw == "false"
}

// label reads whether an answer is a good one.
func (p *parser) label(c *Columns) *bool {
	name := column(c.Label, "label")
	if !p.isBool(name) {
		p.fail("its column %q is neither true nor false; it has %s", name, p.names())
		return nil
	}
	good := string(p.object[name]) == "true"
	return &good
}
