package pretraining

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// An observer reads held-out documents and draws samples while the model trains.
type observer struct {
	rt        *steps.Runtime
	model     *llm.Model
	tokenizer *bpe.Tokenizer
	sample    *sampling.Config
	scorer    train.Scorer
	parts     []heldOut
	gate      Gate         // may be nil
	needles   *needle.Test // may be nil

	observed
}

// observed is what an observer has seen: its part of a checkpoint.
type observed struct {
	Scores  map[string]train.Score `json:"scores"` // of the last observation, by part
	Samples []sampling.Sample      `json:"samples"`
	Gate    json.RawMessage        `json:"gate,omitempty"`
}

// heldOut is what is read of a part.
type heldOut struct {
	name      string
	documents []train.Document
}

func newObserver(rt *steps.Runtime, m *llm.Model, t *bpe.Tokenizer, set *tokens.Set, r *Run, micro int) (*observer, error) {
	o := &observer{
		rt: rt, model: m, tokenizer: t, sample: r.Sample, gate: r.Gate,
		scorer: train.Scorer{Model: m, Context: r.Context, Micro: micro},
	}
	var err error
	if o.needles, err = needles(set, t, r, rt.Seed()); err != nil {
		return nil, err
	}
	o.parts, err = heldOutOf(set, r.Eval.Tokens, r.Context, t)
	return o, err
}

// heldOutOf chooses held-out documents of every part that has any, at most most tokens of each.
func heldOutOf(set *tokens.Set, most int64, context int, t *bpe.Tokenizer) ([]heldOut, error) {
	var parts []heldOut
	for _, p := range set.Parts() {
		if p.HoldoutDocuments == 0 {
			continue
		}
		docs, err := choose(set.Holdout(p.Name), p.HoldoutTokens, most, int64(4*context), t)
		if err != nil {
			return nil, err
		}
		parts = append(parts, heldOut{p.Name, docs})
	}
	return parts, nil
}

// HeldOut chooses the held-out documents of a set that are read at every evaluation: at most most tokens of each part,
// evenly spread, for a model with a context.
func HeldOut(set *tokens.Set, most int64, context int, t *bpe.Tokenizer) ([]train.Document, error) {
	parts, err := heldOutOf(set, most, context, t)
	var all []train.Document
	for _, p := range parts {
		all = append(all, p.documents...)
	}
	return all, err
}

// choose takes held-out documents of at most most tokens in all out of have.
func choose(documents iter.Seq2[tokens.Doc, error], have, most, piece int64, t *bpe.Tokenizer) ([]train.Document, error) {
	spread := train.Spread{Have: have, Most: most, Piece: piece}
	var chosen []train.Document
	for d, err := range documents {
		if err != nil {
			return nil, err
		}
		switch n := spread.Take(int64(len(d.IDs))); {
		case n == int64(len(d.IDs)):
			chosen = append(chosen, train.Document{IDs: d.IDs, Bytes: d.Bytes})
		case n > 1:
			chosen = append(chosen, beginning(d.IDs[:n], t))
		}
	}
	return chosen, nil
}

// beginning is a document cut short: its bytes are those of the tokens that are left.
func beginning(ids []int32, t *bpe.Tokenizer) train.Document {
	d := train.Document{IDs: ids}
	for _, id := range ids[1:] {
		if !t.IsSpecial(id) {
			d.Bytes += len(t.Bytes(id))
		}
	}
	return d
}

// Observe implements train.Observer.
func (o *observer) Observe(ctx context.Context, step, tokens int64) (map[string]float64, error) {
	if o.gate == nil {
		return o.observe(ctx, step, tokens, "")
	}
	before := o.observed
	figures, err := o.observe(ctx, step, tokens, "")
	if err != nil {
		return nil, err
	}
	checked, err := o.gate.Check(ctx, o.model, tokens)
	if err != nil {
		o.observed = before
		return nil, err
	}
	maps.Copy(figures, checked)
	return figures, nil
}

// observe does the work of Observe; of is put before the names of the figures.
func (o *observer) observe(ctx context.Context, step, tokens int64, of string) (map[string]float64, error) {
	seen := observed{Scores: map[string]train.Score{}, Samples: o.Samples}
	for _, p := range o.parts {
		score, err := o.scorer.Score(ctx, each(p.documents))
		if err != nil {
			return nil, fmt.Errorf("held-out documents of part %s: %w", p.name, err)
		}
		seen.Scores[p.name] = score
	}
	if o.sample != nil {
		samples, err := sampling.Draw(ctx, o.model, o.tokenizer, *o.sample, o.rt.Seed())
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			s.Step, s.Tokens = step, tokens
			seen.Samples = append(seen.Samples, s)
			o.rt.Log("sample at step %d: %q → %q", step, s.Prompt, s.Text)
		}
	}
	figures := map[string]float64{}
	if o.needles != nil {
		if err := o.lookForNeedles(ctx, o.model, step, of, figures); err != nil {
			return nil, err
		}
	}
	o.observed = seen
	subject := ""
	if of != "" {
		subject = ", the average of the weights,"
	}
	if total := o.total(); total.Tokens > 0 {
		figures[of+"eval_loss"], figures[of+"eval_bits_per_byte"] = total.Loss(), total.BitsPerByte()
		o.rt.Log("held-out%s at step %d, %d tokens: loss %.4f, %.4f bits per byte", subject, step, tokens, total.Loss(), total.BitsPerByte())
		for _, p := range o.parts {
			if s := o.Scores[p.name]; s.Tokens > 0 {
				figures[of+"eval_loss/"+p.name], figures[of+"eval_bits_per_byte/"+p.name] = s.Loss(), s.BitsPerByte()
			}
		}
	}
	return figures, nil
}

// observeAverage looks once more, at the average of the weights, whose samples take the place of those of the last
// weights.
func (o *observer) observeAverage(ctx context.Context, step, tokens int64) (map[string]float64, error) {
	o.Samples = slices.DeleteFunc(slices.Clone(o.Samples), func(s sampling.Sample) bool { return s.Step == step })
	return o.observe(ctx, step, tokens, "average_")
}

// total is the score of all parts together.
func (o *observer) total() train.Score { return o.totalOf(o.Scores) }

// totalOf adds up scores in the order of the parts.
func (o *observer) totalOf(scores map[string]train.Score) train.Score {
	var total train.Score
	for _, p := range o.parts {
		total.Add(scores[p.name])
	}
	return total
}

// losses are those of the parts with tokens to score.
func (o *observer) losses() map[string]float64 {
	all := map[string]float64{}
	for name, s := range o.Scores {
		if s.Tokens > 0 {
			all[name] = s.Loss()
		}
	}
	return all
}

// State implements train.Observer.
func (o *observer) State() ([]byte, error) {
	seen := o.observed
	if o.gate != nil {
		var err error
		if seen.Gate, err = o.gate.State(); err != nil {
			return nil, err
		}
	}
	return json.Marshal(seen)
}

// Restore implements train.Observer.
func (o *observer) Restore(state []byte) error {
	o.observed = observed{}
	if err := json.Unmarshal(state, &o.observed); err != nil || o.gate == nil {
		return err
	}
	return o.gate.Restore(o.Gate)
}

func each(documents []train.Document) iter.Seq2[train.Document, error] {
	return func(yield func(train.Document, error) bool) {
		for _, d := range documents {
			if !yield(d, nil) {
				return
			}
		}
	}
}
