package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"athanor/steps/internal/bpe"
	format "athanor/steps/internal/chat"
	"athanor/steps/internal/llm"
)

const template = "{{ bos_token }}{% for m in messages %}{{ m.role + ':' + m.content + '<|eot_id|>' }}{% endfor %}" +
	"{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"

// talker opens a small model with random weights that counts as trained for conversations.
func talker(t *testing.T) *Session {
	t.Helper()
	dir := folder(t)
	tokenizer, err := bpe.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tokenizer, err = tokenizer.WithChatTemplate(template); err != nil {
		t.Fatal(err)
	}
	if err := tokenizer.Save(dir); err != nil {
		t.Fatal(err)
	}
	c, err := llm.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	eot, _ := tokenizer.EOT()
	c.EOSTokenIDs, c.MaxPositionEmbeddings = []int32{eot}, 96
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, "cpu", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func say(t *testing.T, d *Dialogue, text string, o Options) (string, int) {
	t.Helper()
	var b strings.Builder
	forgotten, err := d.Say(t.Context(), text, o, func(part string) { b.WriteString(part) })
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), forgotten
}

// TestDialogue: the model reads what was said before, and a conversation that is too long loses its oldest exchanges.
func TestDialogue(t *testing.T) {
	s := talker(t)
	if !s.Talks() {
		t.Fatal("the model does not talk")
	}
	d, err := s.Talk("brief")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{MaxTokens: 6, Temperature: 1, Seed: 5}
	first, _ := say(t, d, "one", o)
	if strings.TrimSpace(first) == "" {
		t.Fatalf("the answer is %q", first)
	}
	want := []format.Message{{Role: format.System, Content: "brief"}, {Role: format.User, Content: "one"}, {Role: format.Assistant, Content: strings.TrimSpace(first)}}
	if !slices.Equal(d.messages, want) {
		t.Errorf("the conversation is %v, want %v", d.messages, want)
	}
	lost := 0
	for range 6 {
		_, forgotten := say(t, d, "and more", o)
		lost += forgotten
	}
	if lost == 0 || d.messages[0].Content != "brief" || d.messages[1].Role != format.User {
		t.Errorf("%d exchanges forgotten, left %v", lost, d.messages)
	}
	d.Reset()
	if again, _ := say(t, d, "one", o); again != first {
		t.Errorf("after a reset the answer is %q, at the start it was %q", again, first)
	}
}

// TestPitfall06Dialogue: the ids of a conversation are those of training, with one beginning-of-text token.
func TestPitfall06Dialogue(t *testing.T) {
	s := talker(t)
	d, err := s.Talk("")
	if err != nil {
		t.Fatal(err)
	}
	messages := []format.Message{{Role: format.User, Content: "one"}, {Role: format.Assistant, Content: "two"}, {Role: format.User, Content: "three"}}
	ids, _, err := d.fit(&messages, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := s.tokenizer.EncodeSpecial("<|begin_of_text|>user:one<|eot_id|>assistant:two<|eot_id|>user:three<|eot_id|>assistant:")
	if !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
}

func TestDialogueErrors(t *testing.T) {
	if _, err := open(t).Talk(""); !errors.Is(err, ErrNoChat) {
		t.Errorf("a model without a template: %v", err)
	}
	s := talker(t)
	d, err := s.Talk("")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		strings.Repeat("x", 200): "context is 96", "a<|eot_id|>": "control token",
	} {
		if _, err := d.Say(t.Context(), text, Options{}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := d.Say(ended, "one", Options{}, nil); !errors.Is(err, context.Canceled) || len(d.messages) != 0 {
		t.Errorf("a context that has ended: %v, %v", err, d.messages)
	}
}
