package pretraining

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// An Outcome is what a run came to, beside the values that it has set.
type Outcome struct {
	LastLoss float64 // held-out loss of the last weights; without an average, that of the model
	FinalLR  float64 // learning rate of the last step

	HeldOut map[string]float64 // held-out loss of each part that has held-out documents
}

// Outputs are what Do writes and sets, and before the counts those that a step adds. model says what its model is.
func Outputs(model string, own ...steps.Output) []steps.Output {
	return slices.Concat([]steps.Output{
		{Name: "model", Type: "model", Doc: model},
		{Name: "report", Type: "report", Doc: "metrics.jsonl and its curves, samples.jsonl, summary.md."},
		{Name: "loss", Type: "number", Doc: "Held-out loss of the model in nats per token; without held-out documents, train_loss."},
		{Name: "bits_per_byte", Type: "number", Doc: "The same per byte of text, in bits: comparable between tokenizers."},
	}, own, []steps.Output{
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run, in nats per token."},
		{Name: "tokens", Type: "number", Doc: "Tokens trained on."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	})
}

// Do trains, writes the artifacts model and report, and sets the values of Outputs but the step's own.
func (r *Run) Do(ctx context.Context, rt *steps.Runtime) (Outcome, error) {
	if r.Context == 0 {
		config, err := llm.ReadConfig(r.Model.Path)
		if err != nil {
			return Outcome{}, err
		}
		r.Context = config.MaxPositionEmbeddings
	}
	batches, schedule, err := r.plan()
	if err != nil {
		return Outcome{}, err
	}
	set, err := tokens.Open(r.Data.Path)
	if err != nil {
		return Outcome{}, err
	}
	defer func() { _ = set.Close() }() // it was only read
	if r.Weights != nil {
		set.Reweigh(r.Weights)
	}
	tokenizer, err := bpe.Load(set.TokenizerDir())
	if err != nil {
		return Outcome{}, fmt.Errorf("the tokenizer of the data: %w", err)
	}
	if err := r.agrees(set, tokenizer); err != nil {
		return Outcome{}, err
	}
	dev, err := rt.Device()
	if err != nil {
		return Outcome{}, err
	}
	m, err := llm.Load(dev, r.Model.Path)
	if err != nil {
		return Outcome{}, r.blame(err, r.micro(batches))
	}
	defer m.Close()
	if err := r.Numerics.Apply(m); err != nil {
		return Outcome{}, r.blame(err, r.micro(batches))
	}
	if r.Prepare != nil {
		if err := r.Prepare(m); err != nil {
			return Outcome{}, err
		}
	}
	if err := rt.Curves(r.curves()); err != nil {
		return Outcome{}, err
	}
	observer, err := newObserver(rt, m, tokenizer, set, r, r.micro(batches))
	if err != nil {
		return Outcome{}, err
	}
	loop, err := r.loop(rt, m, batches, schedule)
	if err != nil {
		return Outcome{}, err
	}
	loader := set.Loader(rt.Seed(), r.Context)
	loop.Source = &train.Packed{Loader: loader, Context: r.Context, Micro: loop.Micro}
	loop.Observer, loop.BytesPerToken = observer, bytesPerToken(set)
	result, err := r.train(ctx, rt, loop, observer)
	if err != nil {
		return Outcome{}, r.blame(err, loop.Micro)
	}
	result.model, result.consumed = m.Config, loader.Consumed()
	result.settle(rt, loop.BytesPerToken)
	if r.Gate != nil && !r.Gate.Holds() {
		return Outcome{}, result.failed(rt)
	}
	if err := writeModel(rt, m, set, r.Context); err != nil {
		return Outcome{}, fmt.Errorf("writing the model: %w", err)
	}
	dir, err := rt.Output("report")
	if err == nil {
		err = result.report(rt, dir)
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("writing the report: %w", err)
	}
	return Outcome{LastLoss: result.lastLoss, FinalLR: result.summary.LR, HeldOut: observer.losses()}, nil
}

// loop is the training loop of the run, but for its data.
func (r *Run) loop(rt *steps.Runtime, m *llm.Model, b train.Batches, s train.Schedule) (*train.Loop, error) {
	every := max(1, r.Tokens/10)
	if r.Eval.Every != nil {
		every = *r.Eval.Every
	}
	l := &train.Loop{
		Device: m.Device(), Model: m, Objective: train.CrossEntropy{ZLoss: r.ZLoss}, AdamW: r.adamW(),
		Schedule: s, Batches: b, Micro: r.micro(b), Average: r.Average,
		CheckpointEvery: time.Duration(r.CheckpointEvery * float64(time.Second)),
		FLOPsPerToken:   m.Config.FLOPsPerToken(r.Context),
		ObserveEvery:    every,
	}
	if r.Gate != nil {
		l.Until = r.Gate.Holds
	}
	if r.Spike != nil {
		l.Spikes = train.Spikes{Sigma: r.Spike.Sigma, Window: r.Spike.Window}
	}
	if i, err := l.AdamW.Unmatched(m.Params()); err != nil {
		return nil, steps.Blame(fmt.Sprintf("optimizer.group[%d].match", i), "%w", err)
	}
	if r.MuP == nil {
		return l, nil
	}
	l.AdamW.MuP = &llm.MuP{Base: r.MuP.BaseDim, Dim: m.Config.HiddenSize}
	if one, err := m.NormIsOne(); err != nil {
		return nil, err
	} else if one && r.MuP.BaseDim != m.Config.HiddenSize {
		rt.Warn("the model's initial weights are not those of mup: only the learning rates are scaled. Write mup { base_dim = %d } into its model block as well", r.MuP.BaseDim)
	}
	return l, nil
}

// train runs the loop and, if the weights are averaged, makes the average the model.
func (r *Run) train(ctx context.Context, rt *steps.Runtime, loop *train.Loop, observer *observer) (*result, error) {
	summary, err := loop.Run(ctx, rt)
	if err != nil {
		return nil, err
	}
	result := &result{run: r, summary: summary, observer: observer, last: maps.Clone(observer.Scores)}
	if r.Average.Kind == "" {
		return result, nil
	}
	if result.samples, err = loop.UseAverage(); err != nil {
		return nil, err
	}
	figures, err := observer.observeAverage(ctx, summary.Steps, summary.Tokens)
	if err != nil {
		return nil, fmt.Errorf("the average of the weights: %w", err)
	}
	return result, rt.Metric(summary.Steps, figures)
}

// failed says that the gate does not hold, and leaves the report of what was trained: its grids say why.
func (r *result) failed(rt *steps.Runtime) error {
	dir, err := rt.Unfinished()
	if err == nil {
		err = r.report(rt, dir)
	}
	return errors.Join(r.run.Gate.Failed(), err)
}

// agrees checks that the model, the data and the block belong together before any weight is read.
func (r *Run) agrees(set *tokens.Set, t *bpe.Tokenizer) error {
	config, err := llm.ReadConfig(r.Model.Path)
	if err != nil {
		return err
	}
	if err := r.fits(config, set); err != nil {
		return err
	}
	own, err := bpe.Load(r.Model.Path)
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
func (r *Run) blame(err error, micro int) error {
	var diverged *train.DivergedError
	switch {
	case errors.As(err, &diverged):
		return steps.Blame("optimizer.lr", "%w. Lower optimizer.lr (now %g), lengthen schedule.warmup, or set z_loss; the last checkpoint is kept",
			err, r.Optimizer.LR)
	case errors.Is(err, gpu.ErrOutOfMemory):
		return steps.Blame("batch.micro_tokens", "%w. Lower batch.micro_tokens (now %d, and at least the context's %d), or train a smaller model",
			err, micro, r.Context)
	case errors.Is(err, llm.ErrScore):
		return steps.Blame("model", "%w", err)
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
