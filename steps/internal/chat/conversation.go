package chat

import (
	"fmt"
	"strings"

	"athanor/steps/internal/corpus"
)

// A Message is one turn: who speaks, and what is said.
type Message = corpus.Message

// The roles of a conversation, under Hugging Face's names.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
	Tool      = "tool" // what a tool gave back
)

// A Problem says why a conversation cannot be used. Its Kind is a word to count by.
type Problem struct{ Kind, Detail string }

func (p *Problem) Error() string { return p.Detail }

// The kinds of problems.
const (
	Empty         = "empty"          // it has no messages
	Roles         = "roles"          // an unknown role, or an order that no conversation has
	NoAnswer      = "no_answer"      // there is nothing that the assistant says
	ControlTokens = "control_tokens" // its text spells a control token
	TooLong       = "too_long"       // not even its first answer fits into the context
	Refused       = "template"       // the chat template refuses it
)

func problem(kind, format string, args ...any) error {
	return &Problem{kind, fmt.Sprintf(format, args...)}
}

// check says what is wrong with the messages, whatever the template.
func (f *Format) check(messages []Message) error {
	if len(messages) == 0 {
		return problem(Empty, "a conversation without messages")
	}
	for i, m := range messages {
		switch m.Role {
		case User, Tool:
		case System:
			if i > 0 {
				return problem(Roles, "message %d is of the role system, which comes first or not at all", i+1)
			}
		case Assistant:
			if i > 0 && messages[i-1].Role == Assistant {
				return problem(Roles, "messages %d and %d are both of the assistant: join them into one", i, i+1)
			}
			if strings.TrimSpace(m.Content) == "" && m.ToolCalls == "" {
				return problem(NoAnswer, "message %d, of the assistant, is empty", i+1)
			}
		default:
			return problem(Roles, "message %d has the role %q: use system, user, assistant or tool (the columns block of a dataset renames roles)", i+1, m.Role)
		}
		switch {
		case m.ToolCalls != "" && m.Role != Assistant:
			return problem(Roles, "message %d, of the %s, calls a tool, which the assistant does", i+1, m.Role)
		case m.ToolCalls != "" && !f.template.calls:
			return problem(Refused, "message %d calls a tool, and the chat template knows no tool_calls: use another template", i+1)
		case m.Tools != "" && !f.template.tools:
			return problem(Refused, "the conversation has tools, and the chat template knows none: use another template")
		}
		for _, text := range []string{m.Content, string(m.ToolCalls), string(m.Tools)} {
			for _, name := range f.controls {
				if strings.Contains(text, name) {
					return problem(ControlTokens, "message %d spells the control token %s, which would be read as one", i+1, name)
				}
			}
		}
	}
	return nil
}
