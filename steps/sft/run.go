package sft

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A training is one run of the step.
type training struct {
	finetune.Run
	config Config
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var t training
	if err := t.open(ctx, rt); err != nil {
		return err
	}
	if err := t.Train(ctx, rt, &finetune.Task{
		Load: llm.Load, Objective: train.CrossEntropy{ZLoss: t.config.ZLoss}, Measure: t.measure, Sample: t.config.Sample, Curves: curves,
	}); err != nil {
		return err
	}
	defer t.Close()
	if err := t.Base.Save(rt, t.Model); err != nil {
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
	t.Settings, t.Unit = c.settings(), "conversations"
	var err error
	if t.Base, err = finetune.Open(rt, c.Model, c.ChatTemplate, c.Context); err != nil {
		return err
	}
	return t.Read(rt, func(split string) (*finetune.Split, error) {
		return t.Base.Dialogues(ctx, rt, c.Data, split, c.TooLong == "truncate")
	})
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context) (map[string]float64, error) {
	examples := t.Evaluated()
	score, err := finetune.Predict(ctx, t.Model, finetune.Pack(examples, finetune.Evenly(len(examples), t.config.Eval.Examples), t.Micro))
	if err != nil {
		return nil, err
	}
	return map[string]float64{"eval_loss": score.Loss, "eval_accuracy": score.Accuracy}, nil
}

// settle sets the value outputs.
func (t *training) settle(rt *steps.Runtime) {
	t.Settle(rt)
	figures := t.Figures()
	rt.Set("loss", figures["eval_loss"])
	rt.Set("accuracy", figures["eval_accuracy"])
	rt.Set("conversations", len(t.Data.Examples))
	rt.Set("truncated", t.Data.Counts.Truncated)
}

func (t *training) report(rt *steps.Runtime) error {
	r := t.Report("Supervised fine-tuning")
	t.Counted(r, t.Unit)
	figures := t.Figures()
	r.Row(t.Of()+" loss", "%.4f nats per token of the assistant", figures["eval_loss"])
	r.Row(t.Of()+" token accuracy", "%.4f", figures["eval_accuracy"])
	r.Row("training loss, last tenth", "%.4f nats per token of the assistant", t.Summary.Loss)
	return t.Write(rt, r)
}

// curves say what a run records and how to draw it.
var curves = []steps.Curves{
	{File: "loss.svg", Title: "Loss", YLabel: "nats per token", Lines: []string{"loss"}, Points: []string{"eval_loss"}},
	{File: "accuracy.svg", Title: "Token accuracy", YLabel: "share", Points: []string{"eval_accuracy"}},
}

// estimate says what the training will need, as soon as the model's shape is known.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	return finetune.Estimate(in, finetune.Work{})
}
