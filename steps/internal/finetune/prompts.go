package finetune

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/llm"
)

// A Prompt is a dialogue that waits for the assistant.
type Prompt struct {
	Messages  []chat.Message
	IDs       []int32 // as the chat template lays it out, with the opening of the answer
	Reference string  // the answer that the dataset has; "" if it has none
}

// Prompts reads what a model shall answer from any dataset that has questions: its column prompt, dialogues up to their
// last answer, or what preferences are about. The last answer, or the better one, is the prompt's Reference. system, if
// not nil, is put before a dialogue without a system message. A prompt that leaves no room for an answer of so many
// tokens is dropped.
func (b *Base) Prompts(ctx context.Context, rt *steps.Runtime, data steps.Artifact, split string, system *string, answer int) ([]Prompt, Counts, error) {
	set, err := corpus.Open(data.Path)
	if err != nil {
		return nil, Counts{}, err
	}
	if set.Shape() == corpus.TextShape {
		return nil, Counts{}, steps.Blame("data", "the dataset holds plain texts: prompts are wanted, in a column prompt, or dialogues or preferences")
	}
	return read(ctx, rt, set, split, func(d *corpus.Document) (Prompt, bool, error) {
		p := ask(d)
		if n := len(p.Messages); n > 0 && strings.TrimSpace(p.Messages[n-1].Content) == "" {
			return p, false, &chat.Problem{Kind: chat.Empty, Detail: "its prompt is empty"}
		}
		if system != nil && (len(p.Messages) == 0 || p.Messages[0].Role != chat.System) {
			p.Messages = slices.Insert(p.Messages, 0, chat.Message{Role: chat.System, Content: *system})
		}
		var err error
		if p.IDs, err = b.Format.Prompt(p.Messages); err != nil {
			return p, false, err
		}
		if n := len(p.IDs); n+answer > b.Context {
			return p, false, &chat.Problem{Kind: chat.TooLong, Detail: fmt.Sprintf(
				"its prompt of %d tokens leaves no room for an answer of %d in the context of %d: ask for shorter answers", n, answer, b.Context)}
		}
		return p, false, nil
	})
}

// ask is the dialogue of a document that an answer is wanted to, and the answer that it has.
func ask(d *corpus.Document) Prompt {
	switch d.Shape() {
	case corpus.DialoguePreferenceShape:
		return Prompt{Messages: slices.Clone(d.Messages), Reference: d.Chosen}
	case corpus.MessagesShape, corpus.LabelledShape:
		last := len(d.Messages)
		for i, m := range d.Messages {
			if m.Role == chat.Assistant {
				last = i
			}
		}
		if last == len(d.Messages) {
			return Prompt{Messages: slices.Clone(d.Messages)}
		}
		p := Prompt{Messages: slices.Clone(d.Messages[:last])}
		if d.Label == nil || *d.Label {
			p.Reference = d.Messages[last].Content
		}
		return p
	}
	return Prompt{Messages: []chat.Message{{Role: chat.User, Content: d.Prompt}}, Reference: d.Chosen}
}

// An Answer is what a model gave to a prompt.
type Answer struct {
	IDs   []int32   `json:"ids"`   // sampled, the token that ended it included
	Logp  []float64 `json:"logp"`  // of each, as the sampler drew it
	Ended bool      `json:"ended"` // it ended by itself
	Text  string    `json:"text"`  // without the token that ended it
}

// Draw lets a model answer: answer i is to prompts[i]. The tokens that end an answer are those of the chat format.
func (b *Base) Draw(ctx context.Context, m *llm.Model, prompts []Prompt, s llm.Sampling) ([]Answer, error) {
	ids := make([][]int32, len(prompts))
	for i := range prompts {
		ids[i] = prompts[i].IDs
	}
	s.Stop = b.Format.Stop()
	out := make([]Answer, len(prompts))
	answers, err := m.Generate(ctx, ids, s, func(seq int, _ int32, logp float64) error {
		out[seq].Logp = append(out[seq].Logp, logp)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sampling answers: %w", err)
	}
	for i, ids := range answers {
		a := &out[i]
		a.IDs = ids
		said := ids
		if n := len(ids); slices.Contains(s.Stop, ids[n-1]) {
			a.Ended, said = true, ids[:n-1]
		}
		a.Text = strings.ToValidUTF8(b.Tokenizer.Decode(said), "\uFFFD")
	}
	return out, nil
}
