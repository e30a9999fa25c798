package rewardmodel

import (
	"context"
	"errors"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/figure"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
)

// A training is one run of the step.
type training struct {
	finetune.Run
	config     Config
	references []finetune.Example // nil: the chosen answers
	verdicts   []verdict          // of the last evaluation
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var t training
	if err := t.open(ctx, rt); err != nil {
		return err
	}
	if err := t.Train(ctx, rt, &finetune.Task{
		Load:      func(dev gpu.Device, dir string) (*llm.Model, error) { return llm.LoadScore(dev, dir, rt.Seed()) },
		Objective: &bradleyTerry{margin: t.config.Margin, centring: t.config.Centring},
		Measure:   t.measure, Curves: curves,
	}); err != nil {
		return err
	}
	defer t.Close()
	var err error
	if t.verdicts, err = t.judge(ctx, t.Evaluated()); err != nil { // a resume may have come after the last evaluation
		return err
	}
	if t.Model.Config.ScoreShift, err = t.shift(ctx); err != nil {
		return err
	}
	if err := t.Base.Save(rt, t.Model); err != nil {
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
	t.Settings, t.Unit = c.settings(), "pairs"
	var err error
	if t.Base, err = finetune.Open(rt, c.Model, nil, c.Context); err != nil {
		return err
	}
	err = t.Read(rt, func(split string) (*finetune.Split, error) {
		pairs, err := t.Base.Pairs(ctx, rt, c.Data, split)
		if err == nil {
			pairs.Examples = finetune.Last(pairs.Examples)
		}
		return pairs, err
	})
	if err != nil || c.References.IsZero() {
		return err
	}
	split, err := t.Base.Dialogues(ctx, rt, c.References, corpus.Train, true)
	if err == nil {
		err = split.Counts.Report(rt, "scored")
	}
	if attr := (*steps.AttributeError)(nil); errors.As(err, &attr) { // it blames data, as if it were for training
		return &steps.AttributeError{Path: "references", Err: attr.Err}
	}
	if err != nil {
		return err
	}
	t.references = finetune.Last(split.Examples)
	return t.Fit(t.references)
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context) (map[string]float64, error) {
	verdicts, err := t.judge(ctx, t.Evaluated())
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
	for _, b := range finetune.Pack(examples, finetune.Evenly(len(examples), t.config.Eval.Examples), t.Micro) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scores, err := finetune.LogProbs(t.Model, &b.Stream)
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
		for _, pair := range t.Data.Examples {
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
	t.Settle(rt)
	f := t.Figures()
	rt.Set("accuracy", f["eval_accuracy"])
	rt.Set("loss", f["eval_loss"])
	rt.Set("calibration_error", c.err)
	rt.Set("shift", t.Model.Config.ScoreShift)
	rt.Set("pairs", len(t.Data.Examples))
}

func (t *training) report(rt *steps.Runtime, c calibration) error {
	r := t.Report("Reward model")
	t.Counted(r, t.Unit)
	f := t.Figures()
	r.Row(t.Of()+" accuracy", "%.4f of %d pairs", f["eval_accuracy"], len(t.verdicts))
	r.Row(t.Of()+" loss", "%.4f", f["eval_loss"])
	r.Row(t.Of()+" score of chosen, rejected", "%.4f, %.4f", f["eval_chosen_score"], f["eval_rejected_score"])
	r.Row("calibration error", "%.4f", c.err)
	r.Row("training loss, last tenth", "%.4f", t.Summary.Loss)
	r.Row("shift", "%.4f", t.Model.Config.ScoreShift)
	r.Files = map[string][]byte{"calibration.svg": (&figure.Chart{
		Title: "Calibration", XLabel: "confidence in the preferred answer", YLabel: "share right",
		Series: []figure.Series{
			{Name: "pairs", X: c.confidence, Y: c.accuracy, Points: true},
			{Name: "ideal", X: []float64{0.5, 1}, Y: []float64{0.5, 1}},
		},
	}).SVG()}
	return t.Write(rt, r)
}

// curves say what a run records and how to draw it.
var curves = []steps.Curves{
	{File: "loss.svg", Title: "Loss", YLabel: "nats per pair", Lines: []string{"loss"}, Points: []string{"eval_loss"}},
	{File: "accuracy.svg", Title: "Accuracy", YLabel: "share of pairs", Lines: []string{"accuracy"}, Points: []string{"eval_accuracy"}},
}
