package rewardmodel

import (
	"context"
	"errors"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/figure"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A training is one run of the step.
type training struct {
	config     Config
	settings   finetune.Settings
	base       *finetune.Base
	data       *finetune.Split
	heldOut    *finetune.Split
	references []finetune.Example // nil: the chosen answers
	model      *llm.Model
	micro      int
	summary    train.Summary
	observer   *finetune.Observer
	verdicts   []verdict // of the last evaluation
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var t training
	if err := t.open(ctx, rt); err != nil {
		return err
	}
	dev, err := rt.Device()
	if err != nil {
		return err
	}
	if t.model, err = llm.LoadScore(dev, t.base.Dir, rt.Seed()); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	defer t.model.Close()
	if err := t.settings.Prepare(t.model, rt.Seed()); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	if err := rt.Curves(curves()); err != nil {
		return err
	}
	t.observer = &finetune.Observer{Runtime: rt, Measure: t.measure}
	objective := &bradleyTerry{margin: t.config.Margin, centring: t.config.Centring}
	loop := t.settings.Loop(t.model, objective, "pairs", t.data.Examples, t.micro, rt.Seed())
	loop.Observer = t.observer
	if t.summary, err = loop.Run(ctx, rt); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	if t.verdicts, err = t.judge(ctx, t.heldOut.OrElse(t.data)); err != nil { // a resume may have come after the last evaluation
		return err
	}
	if t.model.Config.ScoreShift, err = t.shift(ctx); err != nil {
		return err
	}
	if err := t.base.Save(rt, t.model); err != nil {
		return err
	}
	calibration := calibrate(t.verdicts)
	t.settle(rt, calibration)
	return t.report(rt, calibration)
}

// open reads all but the weights.
func (t *training) open(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	if err := rt.Config(c); err != nil {
		return err
	}
	t.settings = c.settings()
	var err error
	if t.base, err = finetune.Open(rt, c.Model, nil, c.Context); err != nil {
		return err
	}
	t.data, t.heldOut, err = finetune.Splits(rt, func(split string) (*finetune.Split, error) {
		return t.base.Pairs(ctx, rt, c.Data, split)
	})
	if err != nil {
		return err
	}
	t.data.Examples, t.heldOut.Examples = finetune.Last(t.data.Examples), finetune.Last(t.heldOut.Examples)
	all := slices.Concat(t.data.Examples, t.heldOut.Examples)
	if !c.References.IsZero() {
		split, err := t.base.Dialogues(ctx, rt, c.References, corpus.Train, true)
		if err == nil {
			err = split.Report(rt)
		}
		if attr := (*steps.AttributeError)(nil); errors.As(err, &attr) { // it blames data, as if it were for training
			return &steps.AttributeError{Path: "references", Err: attr.Err}
		}
		if err != nil {
			return err
		}
		t.references = finetune.Last(split.Examples)
		all = append(all, t.references...)
	}
	t.micro, err = t.settings.Micro(all)
	return err
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context) (map[string]float64, error) {
	verdicts, err := t.judge(ctx, t.heldOut.OrElse(t.data))
	return figures(verdicts, t.config.Margin), err
}

// judge scores pairs, as many as an evaluation reads.
func (t *training) judge(ctx context.Context, pairs []finetune.Example) ([]verdict, error) {
	scores, err := t.scores(ctx, pairs)
	if err != nil {
		return nil, err
	}
	var verdicts []verdict
	for i := 0; i+1 < len(scores); i += 2 {
		verdicts = append(verdicts, verdict{scores[i], scores[i+1]})
	}
	return verdicts, nil
}

// scores reads the score of each conversation of some examples, as many as an evaluation reads.
func (t *training) scores(ctx context.Context, examples []finetune.Example) ([]float64, error) {
	var all []float64
	for _, b := range finetune.Pack(examples, finetune.Evenly(len(examples), t.config.Eval.Examples), t.micro) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scores, err := finetune.LogProbs(t.model, &b.Stream)
		if err != nil {
			return nil, err
		}
		for _, end := range b.Stream.Starts[1:] {
			all = append(all, scores[end-1])
		}
	}
	return all, nil
}

// shift is the mean score of the answers of reference.
func (t *training) shift(ctx context.Context) (float64, error) {
	references := t.references
	if references == nil {
		for _, pair := range t.data.Examples {
			references = append(references, finetune.Example{Segments: pair.Segments[:1]})
		}
	}
	scores, err := t.scores(ctx, references)
	sum := 0.0
	for _, s := range scores {
		sum += s
	}
	return sum / float64(max(1, len(scores))), err
}

// settle sets the value outputs.
func (t *training) settle(rt *steps.Runtime, c calibration) {
	if len(t.heldOut.Examples) == 0 {
		rt.Warn("the data holds no pairs back: accuracy and loss are those of training pairs. Set holdout in its dataset")
	}
	f := t.observer.Figures()
	rt.Set("accuracy", f["eval_accuracy"])
	rt.Set("loss", f["eval_loss"])
	rt.Set("calibration_error", c.err)
	rt.Set("train_loss", t.summary.Loss)
	rt.Set("shift", t.model.Config.ScoreShift)
	rt.Set("pairs", len(t.data.Examples))
	rt.Set("dropped", t.data.Counts.Values())
	rt.Set("parameters", t.model.Config.Parameters())
}

func (t *training) report(rt *steps.Runtime, c calibration) error {
	r := finetune.Report{Title: "Reward model", Unit: "pairs"}
	r.Trained(&t.settings, t.model.Config)
	r.Row("run", "%d pairs in %d steps, %d epochs", t.summary.Tokens, t.summary.Steps, t.config.Epochs)
	r.Row("context", "%d tokens", t.base.Context)
	r.Counted("training pairs", &t.data.Counts)
	r.Counted("held-out pairs", &t.heldOut.Counts)
	of := t.heldOut.Name()
	f := t.observer.Figures()
	r.Row(of+" accuracy", "%.4f of %d pairs", f["eval_accuracy"], len(t.verdicts))
	r.Row(of+" loss", "%.4f", f["eval_loss"])
	r.Row(of+" score of chosen, rejected", "%.4f, %.4f", f["eval_chosen_score"], f["eval_rejected_score"])
	r.Row("calibration error", "%.4f", c.err)
	r.Row("training loss, last tenth", "%.4f", t.summary.Loss)
	r.Row("shift", "%.4f", t.model.Config.ScoreShift)
	r.Files = map[string][]byte{"calibration.svg": (&figure.Chart{
		Title: "Calibration", XLabel: "confidence in the preferred answer", YLabel: "share right",
		Series: []figure.Series{
			{Name: "pairs", X: c.confidence, Y: c.accuracy, Points: true},
			{Name: "ideal", X: []float64{0.5, 1}, Y: []float64{0.5, 1}},
		},
	}).SVG()}
	return r.Write(rt, curves())
}

// curves say what a run records and how to draw it.
func curves() []steps.Curves {
	return finetune.Curves("pairs",
		steps.Curves{File: "loss.svg", Title: "Loss", YLabel: "nats per pair", Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		steps.Curves{File: "accuracy.svg", Title: "Accuracy", YLabel: "share of pairs", Lines: []string{"accuracy"}, Points: []string{"eval_accuracy"}})
}
