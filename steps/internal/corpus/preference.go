package corpus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Compared is what a published preference holds, in whichever of the usual ways: the answers as lists of messages, of
// which the last is the answer and those before it are the dialogue so far, if they are there; and the prompt as a list,
// as a text, or not at all.
type Compared struct {
	Prompt           []Message
	Text             string
	Named            bool // the recipe names the column of Text
	Chosen, Rejected []Message
}

// Preference makes a document of it. Both answers must answer one and the same dialogue.
func (c *Compared) Preference() (Document, error) {
	for _, answer := range [][]Message{c.Chosen, c.Rejected} {
		switch last := answer[len(answer)-1]; {
		case last.ToolCalls != "":
			return Document{}, errors.New("an answer calls a tool: only answers in words are compared")
		case last.Role == "user" || last.Role == "system":
			return Document{}, fmt.Errorf("an answer ends with a message of the %s, not of the assistant", last.Role)
		}
	}
	a, b := c.Chosen[:len(c.Chosen)-1], c.Rejected[:len(c.Rejected)-1]
	d := Document{Chosen: c.Chosen[len(a)].Content, Rejected: c.Rejected[len(b)].Content}
	same := slices.Equal(a, b)
	switch {
	case len(c.Prompt) > 0 && c.follows(a) && c.follows(b):
		d.Messages = c.Prompt
	case len(c.Prompt) > 0 && same && len(a) > len(c.Prompt) && slices.Equal(a[:len(c.Prompt)], c.Prompt):
		d.Messages = a // the prompt is how the dialogue begins
	case len(c.Prompt) == 0 && same && (len(a) > 1 || len(a) == 1 && !c.Named):
		d.Messages = a // a text beside it may be its first turn alone
	case len(c.Prompt) == 0 && c.Text != "" && c.asks(a) && c.asks(b):
		d.Prompt = c.Text
	case len(c.Prompt) == 0 && c.Text == "" && len(a)+len(b) == 0:
		return d, errNoPrompt
	default:
		return d, errors.New("its answers follow different dialogues: a preference compares answers to one")
	}
	return d, nil
}

// errNoPrompt says that nothing is there that the answers could answer.
var errNoPrompt = errors.New("its answers have no prompt: it has no such column, and the answers are no dialogues that begin alike")

// follows reports whether an answer after such messages can be one to Prompt.
func (c *Compared) follows(before []Message) bool {
	return len(before) == 0 || slices.Equal(before, c.Prompt)
}

// asks reports whether an answer after such messages can be one to Text.
func (c *Compared) asks(before []Message) bool {
	return len(before) == 0 ||
		len(before) == 1 && (c.Named || before[0].Role == "user" && strings.TrimSpace(before[0].Content) == strings.TrimSpace(c.Text))
}

// Transcript reads the format of HH-RLHF, "\n\nHuman: …\n\nAssistant: …"; nil if the text is none.
func Transcript(text string) []Message {
	const human, assistant = "\n\nHuman:", "\n\nAssistant:"
	if !strings.HasPrefix(text, human) || !strings.Contains(text, assistant) {
		return nil
	}
	var messages []Message
	for text != "" {
		role, rest := "user", strings.TrimPrefix(text, human)
		if strings.HasPrefix(text, assistant) {
			role, rest = "assistant", strings.TrimPrefix(text, assistant)
		}
		end := len(rest)
		for _, mark := range []string{human, assistant} {
			if i := strings.Index(rest, mark); i >= 0 {
				end = min(end, i)
			}
		}
		messages = append(messages, Message{Role: role, Content: strings.TrimSpace(rest[:end])})
		text = rest[end:]
	}
	return messages
}
