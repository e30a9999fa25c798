package preferences

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/reward"
)

// A prompt is a dialogue that has answers.
type prompt struct {
	messages  []chat.Message
	held      bool   // in the held-out split of any source
	reference string // the answer of a dataset, the first that there is; "" if there is none
	answers   []candidate
}

// A candidate is one answer to a prompt.
type candidate struct {
	text      string
	source    int // the answers block
	reference string
	score     float64
	dropped   bool
}

// gather reads all answers and brings those to one prompt together. Prompts are in the order in which they first come
// up, and so are the answers to each.
func (p *pairing) gather(ctx context.Context) error {
	at := map[string]int{}
	for i, source := range p.config.Answers {
		set, err := corpus.Open(source.Data.Path)
		if err != nil {
			return err
		}
		path := fmt.Sprintf("answers[%d].data", i)
		if set.Shape() != corpus.MessagesShape {
			return steps.Blame(path, "the dataset has the columns of a %s: dialogues are wanted that end with an answer, like the data of a generate step", set.Shape())
		}
		for _, split := range []string{corpus.Train, corpus.Holdout} {
			record := 0
			for d, err := range set.Documents(split) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return err
				}
				record++
				if err := p.add(at, &d, i, split == corpus.Holdout); err != nil {
					return steps.Blame(path, "record %d of the split %s: %w", record, split, err)
				}
			}
		}
	}
	return nil
}

// add enters a dialogue; at finds the prompts that are there already.
func (p *pairing) add(at map[string]int, d *corpus.Document, source int, held bool) error {
	last := len(d.Messages) - 1
	if last < 1 || d.Messages[last].Role != chat.Assistant || strings.TrimSpace(d.Messages[last].Content) == "" {
		p.dropped[chat.NoAnswer]++
		return nil
	}
	c := candidate{text: d.Messages[last].Content, source: source, reference: d.Reference}
	if !d.Sampled { // it is the dataset's own
		c.reference = c.text
	}
	if p.config.Config.IsZero() {
		switch {
		case d.Score == nil:
			return fmt.Errorf("it has no score, and nothing here gives one: let the generate step score its answers, or set reward or add a rule block")
		case math.IsNaN(*d.Score) || math.IsInf(*d.Score, 0):
			return fmt.Errorf("its score is %v", *d.Score)
		}
		c.score = *d.Score
	}
	asked, err := json.Marshal(d.Messages[:last])
	if err != nil {
		return err
	}
	i, ok := at[string(asked)]
	if !ok {
		i = len(p.prompts)
		at[string(asked)] = i
		p.prompts = append(p.prompts, prompt{messages: d.Messages[:last]})
	}
	own := &p.prompts[i]
	own.held = own.held || held
	if own.reference == "" {
		own.reference = c.reference
	}
	for _, other := range own.answers {
		if other.text == c.text {
			p.dropped[duplicate]++
			return nil
		}
	}
	own.answers = append(own.answers, c)
	return nil
}

// refer gives every answer something to compare it with: what its own record has, or else what another record of the same
// prompt has. Rules with exact cannot do without.
func (p *pairing) refer() error {
	for i := range p.prompts {
		own := &p.prompts[i]
		for j := range own.answers {
			if a := &own.answers[j]; a.reference == "" {
				a.reference = own.reference
			}
		}
		if own.reference != "" {
			continue
		}
		for r, rule := range p.config.Rules {
			if rule.Exact {
				return steps.Blame(fmt.Sprintf("rule[%d].exact", r), "exact compares with the answer of a dataset, and nothing here has one to the prompt %s. "+
					"Let the generate step of answers %q answer dialogues, or preferences, instead of lone prompts: their own answers are kept. Or add an answers block with a dataset of dialogues that answers the same prompts",
					reward.Quote(own.messages), p.config.Answers[own.answers[0].source].Name)
			}
		}
	}
	return nil
}
