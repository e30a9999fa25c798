package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	format "athanor/steps/internal/chat"
	"athanor/steps/internal/llm"
)

// ErrNoChat says that a model was not trained for conversations.
var ErrNoChat = errors.New("the model was not trained for conversations; it can continue texts")

// Talks reports whether the model was trained for conversations.
func (s *Session) Talks() bool { return s.format != nil }

// A Dialogue is a conversation with a model.
type Dialogue struct {
	session  *Session
	messages []format.Message
	system   int // 1 if there is a system message, which is never forgotten
}

// Talk begins a conversation. system may be empty.
func (s *Session) Talk(system string) (*Dialogue, error) {
	if !s.Talks() {
		return nil, fmt.Errorf("%w: %w", ErrNoChat, s.mute)
	}
	d := &Dialogue{session: s}
	if system != "" {
		d.messages, d.system = []format.Message{{Role: format.System, Content: system}}, 1
	}
	return d, nil
}

// Reset forgets all but the system message.
func (d *Dialogue) Reset() { d.messages = d.messages[:d.system] }

// Say lets the model answer and gives emit the text as it comes. What does not fit into the model's context any more is
// forgotten from the beginning, an exchange at a time; forgotten counts them. An answer that ctx cuts short stays as far
// as it came; one that is empty, or an error, leaves the conversation as it was.
func (d *Dialogue) Say(ctx context.Context, text string, o Options, emit func(text string)) (forgotten int, err error) {
	messages := append(slices.Clone(d.messages), format.Message{Role: format.User, Content: text})
	ids, forgotten, err := d.fit(&messages, o.MaxTokens)
	if err != nil {
		return 0, err
	}
	s := d.session
	room := s.model.Config.MaxPositionEmbeddings - len(ids)
	if o.MaxTokens > 0 {
		room = min(room, o.MaxTokens)
	}
	var answer strings.Builder
	stream := s.tokenizer.Stream()
	say := func(part string) {
		if part != "" {
			part = strings.ToValidUTF8(part, "\uFFFD")
			answer.WriteString(part)
			emit(part)
		}
	}
	stop := s.format.Stop()
	_, err = s.model.Generate(ctx, [][]int32{ids}, llm.Sampling{
		MaxTokens: room, Temperature: o.Temperature, TopK: o.TopK, TopP: o.TopP, Stop: stop, Seed: o.Seed,
	}, func(_ int, id int32, _ float64) error {
		if !s.tokenizer.IsSpecial(id) { // one that is no end has no place in an answer
			say(stream.Next(id))
		}
		return nil
	})
	say(stream.Flush())
	if said := strings.TrimSpace(answer.String()); said != "" && (err == nil || ctx.Err() != nil) {
		d.messages = append(messages, format.Message{Role: format.Assistant, Content: said})
	}
	return forgotten, err
}

// fit encodes the messages and takes away the oldest exchanges until there is room for an answer.
func (d *Dialogue) fit(messages *[]format.Message, answer int) (ids []int32, forgotten int, err error) {
	context := d.session.model.Config.MaxPositionEmbeddings
	want := context / 4
	if answer > 0 {
		want = min(want, answer)
	}
	for ; ; forgotten++ {
		if ids, err = d.session.format.Prompt(*messages); err != nil {
			return nil, 0, err
		}
		if context-len(ids) >= want || len(*messages) == d.system+1 {
			break
		}
		*messages = slices.Delete(*messages, d.system, d.system+2)
	}
	if len(ids) >= context {
		return nil, 0, fmt.Errorf("the message has %d tokens with what is around it, the model's context is %d: shorten it", len(ids), context)
	}
	return ids, forgotten, nil
}
