package finetune

import (
	"context"
	"fmt"
	"slices"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
)

// Labelled is the answers of one split of a dataset, each an example of one conversation, good or bad.
type Labelled struct {
	Split
	Good []bool // of each example

	each int // examples of a record: 2 of a pair
}

// Labelled reads dialogues with a label, or preferences, whose better answer is a good one and whose worse is a bad one.
// The tokens of the last answer are targets. What is longer than the context is dropped.
func (b *Base) Labelled(ctx context.Context, rt *steps.Runtime, data steps.Artifact, split string) (*Labelled, error) {
	set, err := corpus.Open(data.Path)
	if err != nil {
		return nil, err
	}
	switch set.Shape() {
	case corpus.LabelledShape, corpus.PreferenceShape, corpus.DialoguePreferenceShape:
	default:
		return nil, steps.Blame("data", "the dataset holds %s: dialogues with a column label are wanted, or preferences, with the columns prompt, chosen and rejected", describe(set.Shape()))
	}
	out := &Labelled{each: 1}
	if set.Shape() != corpus.LabelledShape {
		pairs, err := b.Pairs(ctx, rt, data, split)
		if err != nil {
			return nil, err
		}
		out.Counts, out.each = pairs.Counts, 2
		for _, pair := range pairs.Examples {
			for side, s := range pair.Segments {
				out.add(Example{[]Segment{s}}, side == 0)
			}
		}
		return out, nil
	}
	type labelled struct {
		example Example
		good    bool
	}
	all, counts, err := read(ctx, rt, set, split, func(d *corpus.Document) (labelled, bool, error) {
		c, cut, err := b.Format.Fit(d.Messages, b.Context)
		if err == nil && cut {
			err = &chat.Problem{Kind: chat.TooLong, Detail: fmt.Sprintf("its answer ends beyond the context of %d tokens", b.Context)}
		}
		if err != nil {
			return labelled{}, false, err
		}
		lastAnswer(c)
		return labelled{Example{[]Segment{{c.IDs, targets(c.IDs, c.Answer)}}}, *d.Label}, false, nil
	})
	out.Counts = counts
	for _, l := range all {
		out.add(l.example, l.good)
	}
	return out, err
}

func (l *Labelled) add(e Example, good bool) {
	l.Examples, l.Good = append(l.Examples, e), append(l.Good, good)
}

// Mismatched gives each example's prompt the answer of an earlier record, cut at context tokens: of the record before it,
// or, where that has the same prompt, of the one before that, and so on around. A better answer of a pair gets a better
// one. An example is left without a segment if all prompts are the same.
func (l *Labelled) Mismatched(context int) []Example {
	n := len(l.Examples)
	out := make([]Example, n)
	first := make([]int, n) // the answer's first token
	for i, e := range l.Examples {
		first[i] = 1 + slices.IndexFunc(e.Segments[0].Targets, func(t int32) bool { return t != gpu.NoTarget })
	}
	for i, e := range l.Examples {
		prompt := e.Segments[0].IDs[:first[i]]
		for back := l.each; back < n; back += l.each {
			j := (i - back + n) % n
			other := l.Examples[j].Segments[0]
			if slices.Equal(other.IDs[:first[j]], prompt) {
				continue
			}
			ids := slices.Concat(prompt, other.IDs[first[j]:])
			targets := slices.Concat(e.Segments[0].Targets[:first[i]-1], other.Targets[first[j]-1:])
			if len(ids) > context {
				ids, targets = ids[:context], targets[:context]
				targets[context-1] = gpu.NoTarget
			}
			out[i].Segments = []Segment{{ids, targets}}
			break
		}
	}
	return out
}
