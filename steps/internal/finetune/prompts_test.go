package finetune_test

import (
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train/traintest"
)

// TestPrompts: what is asked, and what the dataset itself answers, of every shape; what cannot be asked is counted.
func TestPrompts(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	base, err := finetune.Open(rt, traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize())), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	system := "The wren."
	user := func(text string) corpus.Message { return corpus.Message{Role: "user", Content: text} }
	says := func(text string) corpus.Message { return corpus.Message{Role: "assistant", Content: text} }
	long := strings.Repeat("The old crow. ", 60)
	for name, c := range map[string]struct {
		docs      []corpus.Document
		roles     string // of the one that is kept, by their first letters
		last      string // what it says at the end
		reference string
		dropped   string // why the others are not
	}{
		"prompts":     {[]corpus.Document{{Prompt: "The?"}, {Prompt: " "}, {Prompt: "<|eot_id|>"}}, "su", "The?", "", "empty control_tokens"},
		"dialogues":   {[]corpus.Document{{Messages: []corpus.Message{user("a"), says("b"), user("c?"), says("d")}}, {Messages: []corpus.Message{user(long), says("b")}}}, "suau", "c?", "d", "too_long"},
		"open ones":   {[]corpus.Document{{Messages: []corpus.Message{{Role: "system", Content: "own"}, user("c?")}}}, "su", "c?", "", ""},
		"preferences": {[]corpus.Document{{Prompt: "p?", Chosen: "c", Rejected: "r"}}, "su", "p?", "c", ""},
		"about dialogues": {[]corpus.Document{{Messages: []corpus.Message{user("a"), says("b"), user("p?")}, Chosen: "c", Rejected: "r"},
			{Messages: []corpus.Message{says("a"), says("b"), user("p?")}, Chosen: "c", Rejected: "r"}}, "suau", "p?", "c", "roles"},
	} {
		t.Run(name, func(t *testing.T) {
			prompts, counts, err := base.Prompts(t.Context(), rt, traintest.DocumentSet(t, c.docs, nil), corpus.Train, &system, 20)
			if err != nil || len(prompts) != 1 || counts.Kept != 1 {
				t.Fatalf("%d prompts, %v", len(prompts), err)
			}
			p, roles := prompts[0], ""
			for _, m := range p.Messages {
				roles += m.Role[:1]
			}
			if last := p.Messages[len(p.Messages)-1].Content; roles != c.roles || last != c.last || p.Reference != c.reference {
				t.Errorf("roles %s, the last says %q, the reference %q", roles, last, p.Reference)
			}
			if want := map[bool]string{true: "own", false: system}[name == "open ones"]; p.Messages[0].Content != want {
				t.Errorf("the system message is %q", p.Messages[0].Content)
			}
			if ids, err := base.Format.Prompt(p.Messages); err != nil || !slices.Equal(ids, p.IDs) {
				t.Errorf("ids %v, %v", p.IDs, err)
			}
			for _, kind := range strings.Fields(c.dropped) {
				if counts.Dropped[kind] != 1 {
					t.Errorf("dropped %v", counts.Dropped)
				}
			}
		})
	}
}
