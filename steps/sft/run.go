package sft

import (
	"context"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A training is one run of the step.
type training struct {
	config   Config
	settings finetune.Settings
	base     *finetune.Base
	data     *finetune.Split
	heldOut  *finetune.Split
	model    *llm.Model
	micro    int
	summary  train.Summary
	observer *finetune.Observer
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
	if t.model, err = llm.Load(dev, t.base.Dir); err != nil {
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
	t.observer.Sampling(t.base, t.model, t.config.Sample)
	loop := t.settings.Loop(t.model, train.CrossEntropy{ZLoss: t.config.ZLoss}, "conversations", t.data.Examples, t.micro, rt.Seed())
	loop.Observer = t.observer
	if t.summary, err = loop.Run(ctx, rt); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	if err := t.base.Save(rt, t.model); err != nil {
		return err
	}
	t.settle(rt)
	return t.report(rt)
}

// open reads all but the weights.
func (t *training) open(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	if err := rt.Config(c); err != nil {
		return err
	}
	t.settings = c.settings()
	var err error
	if t.base, err = finetune.Open(rt, c.Model, c.ChatTemplate, c.Context); err != nil {
		return err
	}
	cut := c.TooLong == "truncate"
	t.data, t.heldOut, err = finetune.Splits(rt, func(split string) (*finetune.Split, error) {
		return t.base.Dialogues(ctx, rt, c.Data, split, cut)
	})
	if err != nil {
		return err
	}
	t.micro, err = t.settings.Micro(slices.Concat(t.data.Examples, t.heldOut.Examples))
	return err
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context) (map[string]float64, error) {
	examples := t.heldOut.OrElse(t.data)
	score, err := finetune.Predict(ctx, t.model, finetune.Pack(examples, finetune.Evenly(len(examples), t.config.Eval.Examples), t.micro))
	if err != nil {
		return nil, err
	}
	return map[string]float64{"eval_loss": score.Loss, "eval_accuracy": score.Accuracy}, nil
}

// settle sets the value outputs.
func (t *training) settle(rt *steps.Runtime) {
	if len(t.heldOut.Examples) == 0 {
		rt.Warn("the data holds no dialogues back: loss and accuracy are those of training dialogues. Set holdout in its dataset")
	}
	figures := t.observer.Figures()
	rt.Set("loss", figures["eval_loss"])
	rt.Set("accuracy", figures["eval_accuracy"])
	rt.Set("train_loss", t.summary.Loss)
	rt.Set("conversations", len(t.data.Examples))
	rt.Set("truncated", t.data.Counts.Truncated)
	rt.Set("dropped", t.data.Counts.Values())
	rt.Set("parameters", t.model.Config.Parameters())
}

func (t *training) report(rt *steps.Runtime) error {
	r := finetune.Report{Title: "Supervised fine-tuning", Unit: "conversations", Samples: t.observer.Samples()}
	r.Trained(&t.settings, t.model.Config)
	r.Row("run", "%d conversations in %d steps, %d epochs", t.summary.Tokens, t.summary.Steps, t.config.Epochs)
	r.Row("context", "%d tokens", t.base.Context)
	r.Counted("training conversations", &t.data.Counts)
	r.Counted("held-out conversations", &t.heldOut.Counts)
	of := t.heldOut.Name()
	figures := t.observer.Figures()
	r.Row(of+" loss", "%.4f nats per token of the assistant", figures["eval_loss"])
	r.Row(of+" token accuracy", "%.4f", figures["eval_accuracy"])
	r.Row("training loss, last tenth", "%.4f nats per token of the assistant", t.summary.Loss)
	return r.Write(rt, curves())
}

// curves say what a run records and how to draw it.
func curves() []steps.Curves {
	return finetune.Curves("conversations",
		steps.Curves{File: "loss.svg", Title: "Loss", YLabel: "nats per token", Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		steps.Curves{File: "accuracy.svg", Title: "Token accuracy", YLabel: "share", Points: []string{"eval_accuracy"}})
}

// estimate says what the training will need, as soon as the model's shape is known.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) { return finetune.Estimate(in, false) }
