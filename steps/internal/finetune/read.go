package finetune

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
)

// Counts say what became of the records of a dataset.
type Counts struct {
	Kept      int              `json:"kept"`
	Truncated int              `json:"truncated"` // of those kept, dialogues that lost turns
	Dropped   map[string]int64 `json:"dropped"`   // by the kind of problem
	Examples  []string         `json:"examples,omitempty"`
}

// Equal is the kind of problem of a pair whose answers do not differ, once they are tokens.
const Equal = "equal"

// DropKinds are all kinds of problems for which records are dropped.
var DropKinds = []string{chat.Empty, chat.Roles, chat.NoAnswer, chat.ControlTokens, chat.TooLong, chat.Refused, Equal}

// shown is how many dropped records are explained.
const shown = 5

// A Split is the examples of one split of a dataset.
type Split struct {
	Examples []Example
	Counts   Counts
}

// Dialogues reads the conversations of a dataset. The assistant's tokens are targets, its end token among them. cut says
// what to do with one that is longer than the context: leave turns off at its end, or drop it.
func (b *Base) Dialogues(ctx context.Context, rt *steps.Runtime, data steps.Artifact, split string, cut bool) (*Split, error) {
	set, err := corpus.Open(data.Path)
	if err != nil {
		return nil, err
	}
	if set.Shape() != corpus.MessagesShape {
		return nil, steps.Blame("data", "the dataset holds %s: dialogues are wanted, in a column messages, or as prompt and completion", describe(set.Shape()))
	}
	return readSplit(ctx, rt, set, split, func(d *corpus.Document) (Example, bool, error) {
		e, short, err := b.dialogue(d)
		if err == nil && short && !cut {
			err = &chat.Problem{Kind: chat.TooLong, Detail: fmt.Sprintf("it is longer than the context of %d tokens", b.Context)}
		}
		return e, short, err
	})
}

// dialogue is the example of a document with messages; short says that it has lost turns at its end.
func (b *Base) dialogue(d *corpus.Document) (e Example, short bool, err error) {
	c, short, err := b.Format.Fit(d.Messages, b.Context)
	if err != nil {
		return Example{}, false, err
	}
	return Example{[]Segment{{c.IDs, targets(c.IDs, c.Answer)}}}, short, nil
}

// Pairs reads the preferences of a dataset: the dialogue with the better answer, then with the worse. The tokens of the
// two answers are targets, those of earlier answers are not. A pair that is longer than the context is dropped whole.
func (b *Base) Pairs(ctx context.Context, rt *steps.Runtime, data steps.Artifact, split string) (*Split, error) {
	set, err := corpus.Open(data.Path)
	if err != nil {
		return nil, err
	}
	if set.Shape() != corpus.PreferenceShape && set.Shape() != corpus.DialoguePreferenceShape {
		return nil, steps.Blame("data", "the dataset holds %s: preferences are wanted, with the columns prompt, chosen and rejected", describe(set.Shape()))
	}
	return readSplit(ctx, rt, set, split, func(d *corpus.Document) (Example, bool, error) {
		pair, err := b.pair(d)
		return pair, false, err
	})
}

// pair is the example of a document with preferences.
func (b *Base) pair(d *corpus.Document) (Example, error) {
	prompt := d.Messages
	if len(prompt) == 0 {
		prompt = []chat.Message{{Role: chat.User, Content: d.Prompt}}
		if strings.TrimSpace(d.Prompt) == "" {
			return Example{}, &chat.Problem{Kind: chat.Empty, Detail: "its prompt is empty"}
		}
	}
	var pair Example
	for _, answer := range []string{d.Chosen, d.Rejected} {
		messages := append(slices.Clone(prompt), chat.Message{Role: chat.Assistant, Content: answer})
		c, cut, err := b.Format.Fit(messages, b.Context)
		if err == nil && cut {
			err = &chat.Problem{Kind: chat.TooLong, Detail: fmt.Sprintf("one of its answers ends beyond the context of %d tokens", b.Context)}
		}
		if err != nil {
			return Example{}, err
		}
		lastAnswer(c)
		pair.Segments = append(pair.Segments, Segment{c.IDs, targets(c.IDs, c.Answer)})
	}
	if slices.Equal(pair.Segments[0].IDs, pair.Segments[1].IDs) {
		return Example{}, &chat.Problem{Kind: Equal, Detail: "chosen and rejected are equal: neither is the better"}
	}
	return pair, nil
}

// lastAnswer leaves the marks of a conversation's last answer alone.
func lastAnswer(c *chat.Conversation) {
	if n := len(c.Ends); n > 1 {
		clear(c.Answer[:c.Ends[n-2]])
	}
}

func describe(s corpus.Shape) string {
	switch s {
	case corpus.MessagesShape:
		return "dialogues"
	case corpus.LabelledShape:
		return "dialogues with labels, some of which are bad"
	case corpus.PreferenceShape, corpus.DialoguePreferenceShape:
		return "preferences"
	case corpus.PromptShape:
		return "prompts without answers"
	}
	return "plain texts"
}

// chunk is how many documents are encoded at a time.
const chunk = 4096

// readSplit is read for examples.
func readSplit(ctx context.Context, rt *steps.Runtime, set *corpus.Dataset, name string, encode func(*corpus.Document) (Example, bool, error)) (*Split, error) {
	examples, counts, err := read(ctx, rt, set, name, encode)
	if err != nil {
		return nil, err
	}
	return &Split{Examples: examples, Counts: counts}, nil
}

// read encodes a split, on all threads, in the order of the records.
func read[T any](ctx context.Context, rt *steps.Runtime, set *corpus.Dataset, name string, encode func(*corpus.Document) (T, bool, error)) ([]T, Counts, error) {
	counts := Counts{Dropped: map[string]int64{}}
	var all []T
	var docs []corpus.Document
	at := 0
	flush := func() error {
		results, err := encodeAll(ctx, rt, docs, encode)
		if err != nil {
			return err
		}
		for i, r := range results {
			kept, err := counts.count(at+i+1, r.cut, r.err)
			if err != nil {
				return err
			}
			if kept {
				all = append(all, r.value)
			}
		}
		at += len(docs)
		docs = docs[:0]
		return nil
	}
	for d, err := range set.Documents(name) {
		if err != nil {
			return nil, counts, err
		}
		if docs = append(docs, d); len(docs) == chunk {
			if err := flush(); err != nil {
				return nil, counts, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, counts, err
	}
	counts.Kept = len(all)
	return all, counts, nil
}

// An encoded is what became of one record.
type encoded[T any] struct {
	value T
	cut   bool
	err   error
}

func encodeAll[T any](ctx context.Context, rt *steps.Runtime, docs []corpus.Document, encode func(*corpus.Document) (T, bool, error)) ([]encoded[T], error) {
	results := make([]encoded[T], len(docs))
	g, ctx := errgroup.WithContext(ctx)
	threads := rt.Spec().Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	for worker := range threads {
		g.Go(func() error {
			for i := worker; i < len(docs) && ctx.Err() == nil; i += threads {
				r := &results[i]
				r.value, r.cut, r.err = encode(&docs[i])
			}
			return ctx.Err()
		})
	}
	return results, g.Wait()
}

// count notes what became of a record; record counts from 1. It reports whether the record is kept.
func (c *Counts) count(record int, cut bool, err error) (bool, error) {
	var problem *chat.Problem
	switch {
	case errors.As(err, &problem):
		c.Dropped[problem.Kind]++
		if len(c.Examples) < shown {
			c.Examples = append(c.Examples, fmt.Sprintf("record %d: %s", record, problem.Detail))
		}
		return false, nil
	case err != nil:
		return false, steps.Blame("data", "record %d: %w", record, err)
	}
	if cut {
		c.Truncated++
	}
	return true, nil
}

// Report tells the user what was dropped or cut of records that shall be used as purpose says: "trained on". Nothing
// left is an error.
func (c *Counts) Report(rt *steps.Runtime, purpose string) error {
	dropped, total := c.describe()
	if c.Kept == 0 {
		if total == 0 {
			return steps.Blame("data", "the dataset has no documents that could be %s", purpose)
		}
		return steps.Blame("data", "none of the %d records can be %s: %s. %s", total, purpose, dropped, c.Examples[0])
	}
	if total > 0 {
		rt.Warn("%d of %d records are dropped: %s. %s", total, total+int64(c.Kept), dropped, c.Examples[0])
	}
	if c.Truncated > 0 {
		rt.Warn("%d of %d dialogues are longer than the context and lose turns at their end", c.Truncated, c.Kept)
	}
	return nil
}

// describe lists what was dropped.
func (c *Counts) describe() (string, int64) {
	var parts []string
	total := int64(0)
	for _, kind := range DropKinds {
		if n := c.Dropped[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
			total += n
		}
	}
	return strings.Join(parts, ", "), total
}

// Values are the counts as a map that has every kind.
func (c *Counts) Values() map[string]float64 {
	out := map[string]float64{}
	for _, kind := range DropKinds {
		out[kind] = float64(c.Dropped[kind])
	}
	return out
}

// Last returns copies of pairs in which the last token of each conversation, and no other, has a target: that is where a
// scalar head is read.
func Last(pairs []Example) []Example {
	out := make([]Example, len(pairs))
	for i, pair := range pairs {
		for _, s := range pair.Segments {
			t := make([]int32, len(s.IDs))
			for j := range t {
				t[j] = gpu.NoTarget
			}
			t[len(t)-1] = s.IDs[len(t)-1]
			out[i].Segments = append(out[i].Segments, Segment{s.IDs, t})
		}
	}
	return out
}
