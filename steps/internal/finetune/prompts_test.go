package finetune

import (
	"testing"

	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
)

// TestAsk: what waits for an answer in documents of every shape, and which answer of theirs is one to compare with.
func TestAsk(t *testing.T) {
	good, bad := true, false
	user, answer := chat.Message{Role: chat.User, Content: "Q"}, chat.Message{Role: chat.Assistant, Content: "A"}
	for name, c := range map[string]struct {
		document  corpus.Document
		asked     int // messages
		reference string
	}{
		"a prompt":                      {corpus.Document{Prompt: "Q"}, 1, ""},
		"a pair":                        {corpus.Document{Prompt: "Q", Chosen: "A", Rejected: "B"}, 1, "A"},
		"a pair about a dialogue":       {corpus.Document{Messages: []chat.Message{user, answer, user}, Chosen: "C", Rejected: "B"}, 3, "C"},
		"a dialogue":                    {corpus.Document{Messages: []chat.Message{user, answer, user, answer}}, 3, "A"},
		"a dialogue that waits":         {corpus.Document{Messages: []chat.Message{user}}, 1, ""},
		"a good answer":                 {corpus.Document{Messages: []chat.Message{user, answer}, Label: &good}, 1, "A"},
		"a bad answer is no one's goal": {corpus.Document{Messages: []chat.Message{user, answer}, Label: &bad}, 1, ""},
	} {
		p := ask(&c.document)
		if len(p.Messages) != c.asked || p.Messages[0].Content != "Q" || p.Reference != c.reference {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
