package pretrain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	batches, schedule, err := c.plan()
	if err != nil {
		return err
	}
	micro := c.micro(batches)
	set, err := tokens.Open(c.Data.Path)
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }() // it was only read
	tokenizer, err := bpe.Load(set.TokenizerDir())
	if err != nil {
		return fmt.Errorf("the tokenizer of the data: %w", err)
	}
	if err := c.agrees(set, tokenizer); err != nil {
		return err
	}
	dev, err := rt.Device()
	if err != nil {
		return err
	}
	m, err := llm.Load(dev, c.Model.Path)
	if err != nil {
		return blame(err, &c, micro)
	}
	defer m.Close()
	observer, err := newObserver(rt, m, tokenizer, set, &c, micro)
	if err != nil {
		return err
	}
	loader := set.Loader(rt.Seed(), c.Context)
	loop := c.loop(m, batches, schedule)
	loop.Source = &train.Packed{Loader: loader, Context: c.Context, Micro: micro}
	loop.Observer, loop.BytesPerToken = observer, bytesPerToken(set)
	summary, err := loop.Run(ctx, rt)
	if err != nil {
		return blame(err, &c, micro)
	}
	r := &result{config: &c, model: m.Config, summary: summary, observer: observer, consumed: loader.Consumed()}
	r.settle(rt, loop.BytesPerToken)
	if err := writeModel(rt, m, set, c.Context); err != nil {
		return fmt.Errorf("writing the model: %w", err)
	}
	if err := r.report(rt); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// loop is the training loop of the block, but for its data.
func (c *Config) loop(m *llm.Model, b train.Batches, s train.Schedule) *train.Loop {
	every := max(1, c.Tokens/10)
	if c.Eval.Every != nil {
		every = *c.Eval.Every
	}
	return &train.Loop{
		Device: m.Device(), Model: m, Objective: train.CrossEntropy{ZLoss: c.ZLoss},
		AdamW: train.AdamW{
			Beta1: c.Optimizer.Betas[0], Beta2: c.Optimizer.Betas[1], Eps: c.Optimizer.Eps,
			WeightDecay: c.Optimizer.WeightDecay, Clip: c.Optimizer.GradClip,
		},
		Schedule: s, Batches: b, Micro: c.micro(b),
		CheckpointEvery: time.Duration(c.CheckpointEvery * float64(time.Second)),
		FLOPsPerToken:   m.Config.FLOPsPerToken(c.Context),
		ObserveEvery:    every,
	}
}

// agrees checks that the model, the data and the block belong together before any weight is read.
func (c *Config) agrees(set *tokens.Set, t *bpe.Tokenizer) error {
	config, err := llm.ReadConfig(c.Model.Path)
	if err != nil {
		return err
	}
	if err := c.fits(config, set); err != nil {
		return err
	}
	own, err := bpe.Load(c.Model.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // a model without a tokenizer takes that of the data
	}
	if err != nil {
		return fmt.Errorf("the tokenizer of the model: %w", err)
	}
	if own.Digest() != t.Digest() {
		return steps.Blame("data", "the data was made with another tokenizer than the model's own: make both with the same")
	}
	return nil
}

// blame points an error of training at the attribute that can help.
func blame(err error, c *Config, micro int) error {
	var diverged *train.DivergedError
	switch {
	case errors.As(err, &diverged):
		return steps.Blame("optimizer.lr", "%w. Lower optimizer.lr (now %g), lengthen schedule.warmup, or set z_loss; the last checkpoint is kept",
			err, c.Optimizer.LR)
	case errors.Is(err, gpu.ErrOutOfMemory):
		return steps.Blame("batch.micro_tokens", "%w. Lower batch.micro_tokens (now %d, and at least the context's %d), or train a smaller model",
			err, micro, c.Context)
	case errors.Is(err, tokens.ErrUsedUp):
		return steps.Blame("tokens", "%w", err)
	case errors.Is(err, train.ErrNothingToLearn):
		return steps.Blame("data", "%w", err)
	}
	return err
}

// bytesPerToken is how much text a supervised token of the mixture stands for on average; 0 if that is not known.
func bytesPerToken(set *tokens.Set) float64 {
	mean := 0.0
	for _, p := range set.Parts() {
		if predicted := p.Tokens - p.Documents; predicted > 0 {
			mean += p.Weight * float64(p.Bytes) / float64(predicted)
		}
	}
	return mean
}

// writeModel writes the model, trained at a context, with the tokenizer of its data.
func writeModel(rt *steps.Runtime, m *llm.Model, set *tokens.Set, context int) error {
	dir, err := rt.Output("model")
	if err != nil {
		return err
	}
	manifest := set.Manifest()
	if m.Config.BOSTokenID == nil {
		m.Config.BOSTokenID = &manifest.BOS
	}
	if len(m.Config.EOSTokenIDs) == 0 {
		m.Config.EOSTokenIDs = []int32{manifest.EOS}
	}
	// The folder says what context the model has been trained on: what reads it, evaluation first of all, goes by that.
	// Scaled rotary embeddings are made for a longer context than any training in between.
	if m.Config.RopeScaling == nil || context > m.Config.MaxPositionEmbeddings {
		m.Config.MaxPositionEmbeddings = context
	}
	if err := m.Save(dir); err != nil {
		return err
	}
	return llm.CopyTokenizer(dir, set.TokenizerDir())
}
