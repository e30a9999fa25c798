package pretraining

import (
	"fmt"
	"path"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// Check finds out whether the run can be, as far as the block alone can tell.
func (r *Run) Check() error {
	_, _, err := r.plan()
	return err
}

// plan turns the block into batches and a learning rate.
func (r *Run) plan() (train.Batches, train.Schedule, error) {
	b := train.Batches{Tokens: r.Batch.Tokens, Total: r.Tokens}
	var s train.Schedule
	switch {
	case len(r.Optimizer.Betas) != 2 || !inUnit(r.Optimizer.Betas[0]) || !inUnit(r.Optimizer.Betas[1]):
		return b, s, steps.Blame("optimizer.betas", "betas are %v: two numbers of at least 0 and below 1, like [0.9, 0.95]", r.Optimizer.Betas)
	case r.Batch.Tokens < int64(r.Context):
		return b, s, steps.Blame("batch.tokens", "a batch of %d tokens cannot hold a document of the context's %d tokens: raise batch.tokens or lower context",
			r.Batch.Tokens, r.Context)
	case r.Batch.MicroTokens != nil && *r.Batch.MicroTokens < r.Context:
		return b, s, steps.Blame("batch.micro_tokens", "micro-batches of %d tokens cannot hold a document of the context's %d tokens: raise batch.micro_tokens or lower context",
			*r.Batch.MicroTokens, r.Context)
	}
	for i, ramp := range r.Batch.Ramp {
		at := fmt.Sprintf("batch.ramp[%d]", i)
		switch {
		case i > 0 && ramp.At <= r.Batch.Ramp[i-1].At:
			return b, s, steps.Blame(at+".at", "the batch grows at %g of the tokens, after it grew at %g: write the ramps in order", ramp.At, r.Batch.Ramp[i-1].At)
		case ramp.Tokens < int64(r.Context):
			return b, s, steps.Blame(at+".tokens", "a batch of %d tokens cannot hold a document of the context's %d tokens", ramp.Tokens, r.Context)
		}
		b.Ramp = append(b.Ramp, train.Ramp{At: ramp.At, Tokens: ramp.Tokens})
	}
	if err := b.Validate(); err != nil {
		return b, s, steps.Blame("batch", "%w", err)
	}
	if err := r.Average.Validate(); err != nil {
		return b, s, steps.Blame("average", "%w", err)
	}
	if r.Eval.Needle != nil {
		if err := r.Eval.Needle.Fits(r.Context); err != nil {
			return b, s, steps.Within("eval.needle", err)
		}
	}
	for i, g := range r.Optimizer.Groups {
		for j, pattern := range g.Match {
			if _, err := path.Match(pattern, ""); err != nil {
				return b, s, steps.Blame(fmt.Sprintf("optimizer.group[%d].match[%d]", i, j), "%q is no pattern of names: %w", pattern, err)
			}
		}
	}
	s, err := r.schedule(b)
	return b, s, err
}

func inUnit(beta float64) bool { return beta >= 0 && beta < 1 }

// schedule turns the block's schedule into tokens.
func (r *Run) schedule(b train.Batches) (train.Schedule, error) {
	s := train.Schedule{Peak: r.Optimizer.LR, Total: r.Tokens, Shape: train.Shape(r.Schedule.Shape), Final: r.Schedule.Final}
	if r.Horizon > 0 {
		s.Total = r.Horizon
	}
	if s.Shape == train.WSD {
		s.Decay = r.Schedule.Decay
		if r.Schedule.DecayShape == "1-sqrt" {
			s.Shape = train.WSDSqrt
		}
	}
	switch w := r.Schedule.Warmup; {
	case w < 1:
		s.Warmup = int64(w * float64(r.Tokens))
	case w != float64(int(w)):
		return s, steps.Blame("schedule.warmup", "the warm-up is %g: below 1 it is a share of the tokens, from 1 on a whole number of steps", w)
	default:
		if s.Warmup = b.TokensOf(int(w)); s.Warmup == r.Tokens {
			return s, steps.Blame("schedule.warmup", "a warm-up of %g steps covers the whole run of %d tokens: lower it, or raise tokens", w, r.Tokens)
		}
	}
	if err := s.Validate(); err != nil {
		return s, steps.Blame("schedule", "%w: lower warmup or decay", err)
	}
	return s, nil
}

// fits checks that the model, the data and the block belong together.
func (r *Run) fits(m llm.Config, set *tokens.Set) error {
	switch {
	case set.VocabSize() > m.VocabSize:
		return steps.Blame("data", "the data has token ids up to %d, the model a vocabulary of %d: make the model with the tokenizer of the data, or the data with that of the model",
			set.VocabSize()-1, m.VocabSize)
	case set.Available() < r.Tokens:
		return steps.Blame("tokens", "%d tokens are wanted, but the data can give %d: %s. Raise max_epochs, add data, or lower tokens",
			r.Tokens, set.Available(), supply(set))
	}
	return nil
}

// supply says what each part can give.
func supply(set *tokens.Set) string {
	text := ""
	for i, p := range set.Parts() {
		if i > 0 {
			text += ", "
		}
		switch {
		case p.Weight == 0:
			text += fmt.Sprintf("%s has weight 0", p.Name)
		case p.MaxEpochs == nil:
			text += fmt.Sprintf("%s has %d tokens without a cap", p.Name, p.Tokens)
		default:
			text += fmt.Sprintf("%s %d tokens × %d epochs", p.Name, p.Tokens, *p.MaxEpochs)
		}
	}
	return text
}
