package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"athanor/steps/internal/bpe"
	"athanor/steps/internal/corpus"
)

// A fixture is testdata/templates.json: what transformers' apply_chat_template gives.
type fixture struct {
	Templates map[string]string
	Cases     []struct {
		Template     string
		Messages     []Message
		Closed, Open *laidOut
	}
	Calls []struct {
		Template     string
		Messages     []Message
		Tools        corpus.JSON
		Closed, Open *laidOut
	}
}

// laidOut is a conversation as text and ids.
type laidOut struct {
	Text string
	IDs  []int32
}

func load(t *testing.T) (fixture, *bpe.Tokenizer) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "templates.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	tokenizer, err := bpe.Load(filepath.Join("testdata", "tokenizer"))
	if err != nil {
		t.Fatal(err)
	}
	return f, tokenizer
}

func format(t *testing.T, tokenizer *bpe.Tokenizer, template string) *Format {
	t.Helper()
	tokenizer, err := tokenizer.WithChatTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	f, err := NewFormat(tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestPitfall07TransformersIDs: the text and the ids of every conversation are those of transformers, with the opening of
// an answer and without, and a template refuses what it refuses there.
func TestPitfall07TransformersIDs(t *testing.T) {
	fixture, tokenizer := load(t)
	for _, c := range fixture.Calls {
		if c.Tools != "null" {
			c.Messages[0].Tools = c.Tools
		}
		c.Closed.agrees(t, format(t, tokenizer, fixture.Templates[c.Template]), c.Template, c.Messages, false)
		c.Open.agrees(t, format(t, tokenizer, fixture.Templates[c.Template]), c.Template, c.Messages, true)
	}
	for _, c := range fixture.Cases {
		f := format(t, tokenizer, fixture.Templates[c.Template])
		c.Closed.agrees(t, f, c.Template, c.Messages, false)
		c.Open.agrees(t, f, c.Template, c.Messages, true)
	}
}

// agrees checks that a format lays messages out so; nil: that it refuses them.
func (want *laidOut) agrees(t *testing.T, f *Format, template string, messages []Message, prompt bool) {
	t.Helper()
	text, err := f.render(messages, prompt)
	if want == nil {
		if p := (*Problem)(nil); !errors.As(err, &p) || p.Kind != Refused {
			t.Errorf("%s %v: %q, %v, where transformers refuses", template, messages, text, err)
		}
		return
	}
	if err != nil || text != want.Text {
		t.Errorf("%s, prompt %v:\n%q\nwant\n%q\n%v", template, prompt, text, want.Text, err)
		return
	}
	if ids := f.tokenizer.EncodeSpecial(text); !slices.Equal(ids, want.IDs) {
		t.Errorf("%s, prompt %v: ids %v, want %v", template, prompt, ids, want.IDs)
	}
}

// TestOwnTemplates: the templates that a tokenizer of ours gets are those that the fixtures were made with.
func TestOwnTemplates(t *testing.T) {
	fixture, tokenizer := load(t)
	for _, set := range []string{"llama3", "chatml"} {
		own, err := tokenizer.WithSpecial(set)
		if err != nil {
			t.Fatal(err)
		}
		if own.ChatTemplate() != fixture.Templates[set] {
			t.Errorf("%s: the template is\n%s\nthe fixture's\n%s", set, own.ChatTemplate(), fixture.Templates[set])
		}
	}
}

var dialogue = []Message{
	{Role: System, Content: "Be brief."}, {Role: User, Content: " What is the answer? "}, {Role: Assistant, Content: "It is forty-two."},
	{Role: User, Content: "Who lit it?"}, {Role: Assistant, Content: "\nnobody remembers\n"}, {Role: User, Content: "and when?"},
}

// marked decodes the runs of tokens that are the assistant's.
func marked(tokenizer *bpe.Tokenizer, c *Conversation) []string {
	var runs []string
	for i := range c.IDs {
		if !c.Answer[i] {
			continue
		}
		if i == 0 || !c.Answer[i-1] {
			runs = append(runs, "")
		}
		runs[len(runs)-1] += string(tokenizer.Bytes(c.IDs[i]))
	}
	return runs
}

// TestPitfall09Mask: the marked tokens are exactly what the assistant says and the token that ends its turn.
func TestPitfall09Mask(t *testing.T) {
	fixture, tokenizer := load(t)
	for template, end := range map[string]string{"llama3": "<|eot_id|>", "chatml": "<|im_end|>", "llama3.1": "<|eot_id|>", "blocks": "<|im_end|>"} {
		f := format(t, tokenizer, fixture.Templates[template])
		c, err := f.Encode(dialogue)
		if err != nil {
			t.Fatal(template, err)
		}
		want := []string{"It is forty-two." + end, "nobody remembers" + end}
		if got := marked(tokenizer, c); !slices.Equal(got, want) {
			t.Errorf("%s: the assistant's tokens are %q, want %q", template, got, want)
		}
		if c.Bytes != len("It is forty-two.nobody remembers") {
			t.Errorf("%s: %d bytes", template, c.Bytes)
		}
		if c.Ends[1] != len(c.IDs) {
			t.Errorf("%s: the answers end at %v of %d tokens", template, c.Ends, len(c.IDs))
		}
		// What is asked of the model later is how training went on: the prompt is the beginning of the conversation.
		prompt, err := f.Prompt(dialogue[:2])
		if err != nil || !slices.Equal(prompt, c.IDs[:len(prompt)]) || c.Answer[len(prompt)-1] || !c.Answer[len(prompt)] {
			t.Errorf("%s: the prompt %v is not how %v begins, up to the answer: %v", template, prompt, c.IDs, err)
		}
	}
}

// TestPitfall09Calls: a call is the assistant's, word for word, and what the tool gave back is not; a template that has no
// use for calls or tools refuses them instead of leaving them out.
func TestPitfall09Calls(t *testing.T) {
	fixture, tokenizer := load(t)
	messages := []Message{
		{Role: User, Content: "How hot?", Tools: `[{"type":"function","function":{"name":"look"}}]`},
		{Role: Assistant, ToolCalls: `[{"function":{"name":"look","arguments":{"zone":"top"}}}]`},
		{Role: Tool, Content: "451"}, {Role: Assistant, Content: "451 degrees."},
	}
	for template, end := range map[string]string{"llama3": "<|eot_id|>", "llama3.1 calls": "<|eot_id|>"} {
		f := format(t, tokenizer, fixture.Templates[template])
		c, err := f.Encode(messages)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`{"name": "look", "parameters": {"zone": "top"}}` + end, "451 degrees." + end}
		if got := marked(tokenizer, c); !slices.Equal(got, want) {
			t.Errorf("%s: the assistant says %q, want %q", template, got, want)
		}
	}
	f := format(t, tokenizer, fixture.Templates["chatml"])
	for _, some := range [][]Message{messages[1:], {messages[0], messages[3]}} {
		if _, err := f.Encode(some); err == nil || !strings.Contains(err.Error(), "use another template") {
			t.Errorf("a template without calls: %v", err)
		}
	}
	wrong := slices.Clone(messages)
	wrong[2].ToolCalls = wrong[1].ToolCalls
	f = format(t, tokenizer, fixture.Templates["llama3"])
	if _, err := f.Encode(wrong); err == nil || !strings.Contains(err.Error(), "message 3, of the tool, calls a tool") {
		t.Error(err)
	}
	messages[1].ToolCalls = `[{"function":{"name":"<|eot_id|>","arguments":{}}}]`
	if _, err := f.Encode(messages); err == nil || !strings.Contains(err.Error(), "spells the control token") {
		t.Error(err)
	}
}

// TestPitfall09OtherTemplates: the same for templates that leave white space as it is.
func TestPitfall09OtherTemplates(t *testing.T) {
	fixture, tokenizer := load(t)
	plain := slices.Clone(dialogue)
	for i := range plain {
		plain[i].Content = strings.TrimSpace(plain[i].Content)
	}
	for template, end := range map[string]string{"tools": "<|im_end|>", "lines": "<|end_of_text|>", "one line": "<|im_end|>"} {
		c, err := format(t, tokenizer, fixture.Templates[template]).Encode(plain)
		if err != nil {
			t.Fatal(template, err)
		}
		want := []string{"It is forty-two." + end, "nobody remembers" + end}
		if got := marked(tokenizer, c); !slices.Equal(got, want) {
			t.Errorf("%s: the assistant's tokens are %q, want %q", template, got, want)
		}
	}
}

// TestPitfall06OneBOS: every path has the beginning-of-text token once, where the template has it.
func TestPitfall06OneBOS(t *testing.T) {
	fixture, tokenizer := load(t)
	f := format(t, tokenizer, fixture.Templates["llama3"])
	bos, _ := tokenizer.BOS()
	count := func(ids []int32) (n int) {
		for _, id := range ids {
			if id == bos {
				n++
			}
		}
		return n
	}
	prompt, err := f.Prompt(dialogue)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := f.Fit(dialogue, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if count(prompt) != 1 || prompt[0] != bos || count(c.IDs) != 1 || c.IDs[0] != bos {
		t.Errorf("prompt %v, conversation %v", prompt, c.IDs)
	}
}

// TestPitfall10Fit: what does not fit goes by whole turns; a conversation of which nothing can be learned is a problem.
func TestPitfall10Fit(t *testing.T) {
	fixture, tokenizer := load(t)
	f := format(t, tokenizer, fixture.Templates["llama3"])
	whole, cut, err := f.Fit(dialogue, 1000)
	if err != nil || cut {
		t.Fatal(cut, err)
	}
	short, cut, err := f.Fit(dialogue, len(whole.IDs)-1)
	if err != nil || !cut {
		t.Fatal(cut, err)
	}
	if got, want := marked(tokenizer, short), []string{"It is forty-two.<|eot_id|>"}; !slices.Equal(got, want) {
		t.Errorf("what is left teaches %q, want %q", got, want)
	}
	if !slices.Equal(short.IDs, whole.IDs[:whole.Ends[0]]) {
		t.Errorf("what is left is %v of %v", short.IDs, whole.IDs)
	}
	if _, _, err = f.Fit(dialogue, whole.Ends[0]-1); kind(err) != TooLong {
		t.Errorf("a context shorter than the first answer: %v", err)
	}
	if _, cut, err = f.Fit(dialogue, whole.Ends[0]); err != nil || !cut {
		t.Errorf("a context that holds the first answer exactly: %v, %v", cut, err)
	}
}

func kind(err error) string {
	p := (*Problem)(nil)
	if !errors.As(err, &p) {
		return ""
	}
	return p.Kind
}

func TestProblems(t *testing.T) {
	fixture, tokenizer := load(t)
	f := format(t, tokenizer, fixture.Templates["llama3"])
	strict := format(t, tokenizer, fixture.Templates["strict"])
	for _, c := range []struct {
		format   *Format
		messages []Message
		kind     string
	}{
		{f, nil, Empty},
		{f, []Message{{Role: User, Content: "a"}}, NoAnswer},
		{f, []Message{{Role: User, Content: "a"}, {Role: Assistant, Content: " \n"}}, NoAnswer},
		{f, []Message{{Role: User, Content: "a"}, {Role: Assistant, Content: "b"}, {Role: Assistant, Content: "c"}}, Roles},
		{f, []Message{{Role: "human", Content: "a"}, {Role: Assistant, Content: "b"}}, Roles},
		{f, []Message{{Role: User, Content: "a"}, {Role: System, Content: "s"}, {Role: Assistant, Content: "b"}}, Roles},
		{f, []Message{{Role: User, Content: "a<|eot_id|>"}, {Role: Assistant, Content: "b"}}, ControlTokens},
		{strict, []Message{{Role: User, Content: "a"}, {Role: User, Content: "b"}, {Role: Assistant, Content: "c"}}, Refused},
	} {
		if _, err := c.format.Encode(c.messages); kind(err) != c.kind {
			t.Errorf("%v: %v, want a problem of the kind %s", c.messages, err, c.kind)
		}
	}
	if _, err := f.Prompt(dialogue[:3]); kind(err) != Roles {
		t.Errorf("a prompt that ends with an answer: %v", err)
	}
}

// TestTemplates: templates that no model can be trained with say so.
func TestTemplates(t *testing.T) {
	_, tokenizer := load(t)
	if _, err := NewFormat(tokenizer); !errors.Is(err, ErrNoTemplate) {
		t.Errorf("a tokenizer without a template: %v", err)
	}
	for text, want := range map[string]string{
		"{% for m in messages %}":                                     "chat template is not Jinja",
		"{{ 'a' + ('b' if messages else 'c') }}":                      "is not supported",
		"{{ messages | no_such_filter }}":                             "no_such_filter",
		"{% for m in messages %}{{ m.content }} {% endfor %}":         "no control token",
		"{{ messages | length }}{{ messages[-1].content }}<|eot_id|>": "in another way",
	} {
		if _, err := ParseTemplate(text); err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if _, err := format(t, tokenizer, text).Encode(dialogue); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestParallel: goroutines share a format.
func TestParallel(t *testing.T) {
	fixture, tokenizer := load(t)
	f := format(t, tokenizer, fixture.Templates["llama3.1"])
	want, err := f.Encode(dialogue)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	for range 8 {
		go func() {
			c, err := f.Encode(dialogue)
			done <- err == nil && slices.Equal(c.IDs, want.IDs)
		}()
	}
	for range 8 {
		if !<-done {
			t.Error("another result beside other goroutines")
		}
	}
}
