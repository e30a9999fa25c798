package finetune

import (
	"math"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/train/traintest"
)

// near reports whether an expectation is within a share of what there is.
func near(got, want, share float64) bool { return math.Abs(got-want) <= share*want }

// TestExpect: what is foretold from the first documents is about what reading all of the data comes to.
func TestExpect(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
	pair := func(i int) corpus.Document {
		question, answer := traintest.Question(i)
		return corpus.Document{Prompt: question, Chosen: answer, Rejected: strings.TrimSuffix(answer, ".") + ", crow!"}
	}
	said := func(i int) corpus.Document {
		question, answer := traintest.Question(i)
		return corpus.Document{Messages: []corpus.Message{{Role: "user", Content: question}, {Role: "assistant", Content: answer}}}
	}
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: t.TempDir(), Threads: 1}, &strings.Builder{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(rt, model, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, one := range map[string]func(int) corpus.Document{"dialogues": said, "pairs": pair} {
		data := traintest.DocumentSet(t, traintest.Documents(0, 1500, one), traintest.Documents(1500, 40, one))
		read := func() (*Split, error) { return b.Pairs(t.Context(), rt, data, corpus.Train) }
		conversations := 2.0
		if name == "dialogues" {
			read = func() (*Split, error) { return b.Dialogues(t.Context(), rt, data, corpus.Train, true) }
			conversations = 1
		}
		split, err := read()
		if err != nil {
			t.Fatal(err)
		}
		sum, squares, text := 0.0, 0.0, 0
		for i := range split.Examples {
			for _, s := range split.Examples[i].Segments {
				sum += float64(len(s.IDs))
				squares += float64(len(s.IDs)) * float64(len(s.IDs))
			}
		}
		set, err := corpus.Open(data.Path)
		if err != nil {
			t.Fatal(err)
		}
		for d := range set.Documents(corpus.Train) {
			for s := range d.Strings {
				text += len(tokenizer.Encode(s))
			}
		}
		perToken := map[string]float64{"bytes_per_token": float64(set.Stats().Splits[corpus.Train].Bytes) / float64(text)}
		for measure, share := range map[string]float64{"exactly": 0.05, "roughly": 0.3} {
			from := model
			if measure == "roughly" {
				from.Path = ""
			}
			e := expect(data, 0, nil, ruler(from, nil, b.Context, perToken))
			if e.examples != float64(len(split.Examples)) || e.heldOut != 40 || e.conversations != conversations {
				t.Errorf("%s, %s: %v examples of %v conversations, %v held out", name, measure, e.examples, e.conversations, e.heldOut)
			}
			if !near(e.tokens, sum, share) || !near(e.segment, squares/sum, share) {
				t.Errorf("%s, %s: %v tokens in conversations of %v, want %v in %v", name, measure, e.tokens, e.segment, sum, squares/sum)
			}
		}
	}
	// Data that is still to come is foretold by its size.
	if e := expect(steps.Artifact{Kind: "dataset"}, 1000, map[string]float64{"bytes_per_token": 4}, nil); e.tokens != 250 || e.each() != 0 || e.length(128) != 128 {
		t.Errorf("%+v", e)
	}
}

// TestExpectedReading: evaluations and passes of a reference are tokens that are only read.
func TestExpectedReading(t *testing.T) {
	often := int64(30)
	for _, c := range []struct {
		e      expected
		every  *int64
		most   int
		epochs float64
		work   Work
		want   float64
	}{
		{expected{examples: 100, heldOut: 8, tokens: 1000}, nil, 256, 2, Work{}, 10 * 8 * 10},      // ten times all that is held back
		{expected{examples: 100, tokens: 1000}, nil, 5, 2, Work{}, 10 * 5 * 10},                    // some of those trained on
		{expected{examples: 100, heldOut: 8, tokens: 1000}, &often, 2, 1, Work{}, 4 * 2 * 10},      // at 30, 60, 90, 100
		{expected{examples: 100, heldOut: 8, tokens: 1000}, &often, 0, 1, Work{Once: 1}, 108 * 10}, // a reference
		{expected{examples: 100, heldOut: 8, tokens: 1000}, &often, 0, 3, Work{EachEpoch: 1}, 3 * 100 * 10},
		{expected{tokens: 1000}, nil, 256, 2, Work{Once: 1}, 0}, // of data that is not there
	} {
		got := c.e.read(&Training{Eval: Eval{Every: c.every, Examples: c.most}}, c.epochs, c.work)
		if got != c.want {
			t.Errorf("%+v for %v epochs: %v tokens, want %v", c.e, c.epochs, got, c.want)
		}
	}
}
