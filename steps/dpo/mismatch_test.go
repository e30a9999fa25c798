package dpo

import (
	"slices"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/train/traintest"
)

// TestMismatched: every prompt gets the answer of another prompt, a better answer that of a better one, and no token more
// than the context.
func TestMismatched(t *testing.T) {
	c := recipe(t)
	docs := traintest.Documents(0, 6, rude)
	docs = append(docs, docs[5]) // the same prompt twice in a row
	docs[6].Chosen = "The wren."
	c.Data = traintest.DocumentSet(t, docs, nil)
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 2}, &traintest.Listener{})
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	base, err := finetune.Open(rt, c.Model, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := base.Labelled(t.Context(), rt, c.Data, corpus.Train)
	if err != nil || len(all.Examples) != 14 || all.Counts.Kept != 7 {
		t.Fatalf("%d answers: %v", len(all.Examples), err)
	}
	texts := func(s finetune.Segment) (prompt, answer string) {
		for i, id := range s.IDs {
			if i > 0 && s.Targets[i-1] >= 0 {
				answer += string(base.Tokenizer.Bytes(id))
			} else {
				prompt += string(base.Tokenizer.Bytes(id))
			}
		}
		return prompt, answer
	}
	for i, m := range all.Mismatched(1000) {
		prompt, answer := texts(m.Segments[0])
		own, _ := texts(all.Examples[i].Segments[0])
		from := []int{6, 0, 1, 2, 3, 4, 4}[i/2]
		want := docs[from].Chosen
		if i%2 == 1 {
			want = docs[from].Rejected
		}
		if prompt != own || answer != want+"<|eot_id|>" || all.Good[i] != (i%2 == 0) {
			t.Errorf("answer %d: %q to %q, want %q to %q", i, answer, prompt, want, own)
		}
		if n := len(m.Segments[0].IDs); n != len(m.Segments[0].Targets) {
			t.Errorf("%d targets of %d tokens", len(m.Segments[0].Targets), n)
		}
	}
	short := len(all.Examples[0].Segments[0].IDs) - 2
	cut := all.Mismatched(short)[2].Segments[0]
	if len(cut.IDs) > short || cut.Targets[len(cut.Targets)-1] >= 0 || !slices.Equal(cut.IDs, all.Mismatched(1000)[2].Segments[0].IDs[:len(cut.IDs)]) {
		t.Errorf("cut to %d tokens: %v", short, cut)
	}
	c.Data = traintest.DocumentSet(t, docs[5:], nil)
	if all, err = base.Labelled(t.Context(), rt, c.Data, corpus.Train); err != nil {
		t.Fatal(err)
	}
	for i, m := range all.Mismatched(1000) {
		if len(m.Segments) != 0 {
			t.Errorf("answer %d of one prompt has a mismatched one", i)
		}
	}
}
