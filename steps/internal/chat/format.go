package chat

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/steps/internal/bpe"
)

// A Format is a chat template together with the tokenizer that it belongs to. Several goroutines may use it.
type Format struct {
	tokenizer *bpe.Tokenizer
	template  *Template
	specials  map[string]string // the template's variables: bos_token, eos_token, pad_token
	controls  []string          // the names of all control tokens
}

// ErrNoTemplate says that a tokenizer has no chat template.
var ErrNoTemplate = errors.New("the tokenizer has no chat template")

// NewFormat reads the chat template of a tokenizer.
func NewFormat(t *bpe.Tokenizer) (*Format, error) {
	if t.ChatTemplate() == "" {
		return nil, ErrNoTemplate
	}
	template, err := ParseTemplate(t.ChatTemplate())
	if err != nil {
		return nil, err
	}
	f := &Format{tokenizer: t, template: template, specials: map[string]string{}}
	for name, token := range map[string]func() (int32, bool){"bos_token": t.BOS, "eos_token": t.EOS, "pad_token": t.PAD} {
		if id, ok := token(); ok {
			f.specials[name] = string(t.Bytes(id))
		}
	}
	for id := range t.VocabSize() {
		if t.IsSpecial(int32(id)) {
			f.controls = append(f.controls, string(t.Bytes(int32(id))))
		}
	}
	return f, nil
}

// Prompt returns the ids of a conversation that is the assistant's to continue: they end with the opening of its answer.
func (f *Format) Prompt(messages []Message) ([]int32, error) {
	if err := f.check(messages); err != nil {
		return nil, err
	}
	if messages[len(messages)-1].Role == Assistant {
		return nil, problem(Roles, "the last message is already the assistant's: there is nothing for it to answer")
	}
	text, err := f.render(messages, true)
	if err != nil {
		return nil, err
	}
	return f.tokenizer.EncodeSpecial(text), nil
}

// A Conversation is what a model is trained on.
type Conversation struct {
	IDs    []int32
	Answer []bool // of each token: the assistant wrote it; the token that ends its turn is among them
	Ends   []int  // tokens up to the end of each answer, what stands between two turns included
	Bytes  int    // of text that the assistant's tokens stand for; control tokens stand for none
}

// Encode lays out a conversation up to its last answer. Turns after that teach nothing and are left out.
//
// The mark on the assistant's tokens does not come from the template, which would have to be written for it: the
// conversation is rendered once more up to the opening of each answer, and up to its end. What lies between the two, up
// to and with the last control token, is what the model has to write.
func (f *Format) Encode(messages []Message) (*Conversation, error) {
	if err := f.check(messages); err != nil {
		return nil, err
	}
	last := len(messages) - 1
	for ; last >= 0 && messages[last].Role != Assistant; last-- {
	}
	if last < 0 {
		return nil, problem(NoAnswer, "the assistant says nothing in a conversation of %d messages", len(messages))
	}
	messages = messages[:last+1]
	text, err := f.render(messages, false)
	if err != nil {
		return nil, err
	}
	c := &Conversation{IDs: f.tokenizer.EncodeSpecial(text)}
	c.Answer = make([]bool, len(c.IDs))
	ends := make([]int, len(c.IDs)+1) // in bytes of text, of the first i tokens
	for i, id := range c.IDs {
		ends[i+1] = ends[i] + len(f.tokenizer.Bytes(id))
	}
	if ends[len(c.IDs)] != len(text) {
		return nil, errors.New("the tokenizer changes text before it encodes it (it has a normalizer or strips white space), so the assistant's tokens cannot be told from the others")
	}
	for i, m := range messages {
		if m.Role != Assistant {
			continue
		}
		from, to, err := f.span(messages, i, text)
		if err != nil {
			return nil, err
		}
		if err := f.mark(c, ends, from, to); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// span is where answer i lies in the text of the whole conversation, in bytes.
func (f *Format) span(messages []Message, i int, text string) (from, to int, err error) {
	before, err := f.render(messages[:i], true)
	if err != nil {
		return 0, 0, err
	}
	through := text
	if i+1 < len(messages) {
		if through, err = f.render(messages[:i+1], false); err != nil {
			return 0, 0, err
		}
	}
	if !strings.HasPrefix(through, before) || !strings.HasPrefix(text, through) {
		return 0, 0, fmt.Errorf("the chat template writes the beginning of a conversation in another way when there is more of it (message %d), so a model could not be trained on several turns at once: cut the dialogues to one answer, or use another template", i+1)
	}
	return len(before), len(through), nil
}

// mark marks the tokens of an answer, which lies in the text from byte from to byte to.
func (f *Format) mark(c *Conversation, ends []int, from, to int) error {
	first := 0
	for ends[first+1] <= from {
		first++
	}
	after, last := first, -1
	for ; after < len(c.IDs) && ends[after+1] <= to; after++ {
		if f.tokenizer.IsSpecial(c.IDs[after]) {
			last = after
		}
	}
	if last < 0 {
		return errors.New("the chat template puts no control token after an answer of the assistant, so the model would never learn to stop: end its turns with a special token of the tokenizer")
	}
	for n := first; n <= last; n++ {
		c.Answer[n] = true
		if !f.tokenizer.IsSpecial(c.IDs[n]) {
			c.Bytes += len(f.tokenizer.Bytes(c.IDs[n]))
		}
	}
	c.Ends = append(c.Ends, after)
	return nil
}

// Fit is Encode for a context of so many tokens: a conversation that is longer loses whole turns at its end, so that it
// ends with an answer that is whole. cut says that it lost some.
func (f *Format) Fit(messages []Message, context int) (c *Conversation, cut bool, err error) {
	if c, err = f.Encode(messages); err != nil || len(c.IDs) <= context {
		return c, false, err
	}
	answers := 0
	for _, end := range c.Ends {
		if end <= context {
			answers++
		}
	}
	if answers == 0 {
		return nil, false, problem(TooLong, "its first answer ends at token %d, the context is %d", c.Ends[0], context)
	}
	for i, m := range messages {
		if m.Role != Assistant {
			continue
		}
		if answers--; answers == 0 {
			c, err = f.Encode(messages[:i+1])
			break
		}
	}
	return c, true, err
}

// End is the token that the template puts after an answer.
func (f *Format) End() (int32, error) {
	c, err := f.Encode([]Message{{Role: User, Content: "a"}, {Role: Assistant, Content: "b"}})
	if err != nil {
		return 0, err
	}
	last := len(c.IDs) - 1
	for !c.Answer[last] {
		last--
	}
	return c.IDs[last], nil
}

// Stop lists the tokens after which an answer has ended: that which the template puts there, and those of the tokenizer.
func (f *Format) Stop() []int32 {
	var stop []int32
	if id, err := f.End(); err == nil { // a template that refuses so short a conversation shows its end in others alone
		stop = append(stop, id)
	}
	for _, end := range []func() (int32, bool){f.tokenizer.EOT, f.tokenizer.EOS} {
		if id, ok := end(); ok && !slices.Contains(stop, id) {
			stop = append(stop, id)
		}
	}
	return stop
}

// render lays out messages as text; a conversation that the template refuses is a Problem.
func (f *Format) render(messages []Message, prompt bool) (string, error) {
	text, err := f.template.render(messages, f.specials, prompt)
	if err != nil {
		return "", &Problem{Refused, err.Error()}
	}
	return text, nil
}
