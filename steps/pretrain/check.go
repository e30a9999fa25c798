package pretrain

import (
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// check looks at what the block alone can tell.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	_, _, err := c.plan()
	return err
}

// plan turns the block into batches and a learning rate.
func (c *Config) plan() (train.Batches, train.Schedule, error) {
	b := train.Batches{Tokens: c.Batch.Tokens, Total: c.Tokens}
	var s train.Schedule
	switch {
	case len(c.Optimizer.Betas) != 2 || !inUnit(c.Optimizer.Betas[0]) || !inUnit(c.Optimizer.Betas[1]):
		return b, s, steps.Blame("optimizer.betas", "betas are %v: two numbers of at least 0 and below 1, like [0.9, 0.95]", c.Optimizer.Betas)
	case c.Batch.Tokens < int64(c.Context):
		return b, s, steps.Blame("batch.tokens", "a batch of %d tokens cannot hold a document of the context's %d tokens: raise batch.tokens or lower context",
			c.Batch.Tokens, c.Context)
	case c.Batch.MicroTokens != nil && *c.Batch.MicroTokens < c.Context:
		return b, s, steps.Blame("batch.micro_tokens", "micro-batches of %d tokens cannot hold a document of the context's %d tokens: raise batch.micro_tokens or lower context",
			*c.Batch.MicroTokens, c.Context)
	}
	for i, r := range c.Batch.Ramp {
		path := fmt.Sprintf("batch.ramp[%d]", i)
		switch {
		case i > 0 && r.At <= c.Batch.Ramp[i-1].At:
			return b, s, steps.Blame(path+".at", "the batch grows at %g of the tokens, after it grew at %g: write the ramps in order", r.At, c.Batch.Ramp[i-1].At)
		case r.Tokens < int64(c.Context):
			return b, s, steps.Blame(path+".tokens", "a batch of %d tokens cannot hold a document of the context's %d tokens", r.Tokens, c.Context)
		}
		b.Ramp = append(b.Ramp, train.Ramp{At: r.At, Tokens: r.Tokens})
	}
	if err := b.Validate(); err != nil {
		return b, s, steps.Blame("batch", "%w", err)
	}
	s, err := c.schedule(b)
	return b, s, err
}

func inUnit(beta float64) bool { return beta >= 0 && beta < 1 }

// schedule turns the block's schedule into tokens.
func (c *Config) schedule(b train.Batches) (train.Schedule, error) {
	s := train.Schedule{Peak: c.Optimizer.LR, Total: c.Tokens, Shape: train.Shape(c.Schedule.Shape), Final: c.Schedule.Final}
	if s.Shape == train.WSD {
		s.Decay = c.Schedule.Decay
		if c.Schedule.DecayShape == "1-sqrt" {
			s.Shape = train.WSDSqrt
		}
	}
	switch w := c.Schedule.Warmup; {
	case w < 1:
		s.Warmup = int64(w * float64(c.Tokens))
	case w != float64(int(w)):
		return s, steps.Blame("schedule.warmup", "the warm-up is %g: below 1 it is a share of the tokens, from 1 on a whole number of steps", w)
	default:
		if s.Warmup = b.TokensOf(int(w)); s.Warmup == c.Tokens {
			return s, steps.Blame("schedule.warmup", "a warm-up of %g steps covers the whole run of %d tokens: lower it, or raise tokens", w, c.Tokens)
		}
	}
	if err := s.Validate(); err != nil {
		return s, steps.Blame("schedule", "%w: lower warmup or decay", err)
	}
	return s, nil
}

// fits checks that the model, the data and the block belong together.
func (c *Config) fits(m llm.Config, set *tokens.Set) error {
	switch {
	case set.VocabSize() > m.VocabSize:
		return steps.Blame("data", "the data has token ids up to %d, the model a vocabulary of %d: make the model with the tokenizer of the data, or the data with that of the model",
			set.VocabSize()-1, m.VocabSize)
	case set.Available() < c.Tokens:
		return steps.Blame("tokens", "%d tokens are wanted, but the data can give %d: %s. Raise max_epochs, add data, or lower tokens",
			c.Tokens, set.Available(), supply(set))
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
