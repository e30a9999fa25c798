package dpo

import (
	"context"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A training is one run of the step.
type training struct {
	config    Config
	settings  finetune.Settings
	base      *finetune.Base
	data      *finetune.Split
	heldOut   *finetune.Split
	objective *preference // of training
	evaluator *preference // the same with the references of the pairs that are evaluated
	model     *llm.Model
	micro     int
	summary   train.Summary
	observer  *finetune.Observer
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
	if t.config.Variant != simpo {
		refs, err := t.references(ctx, rt, dev)
		if err != nil {
			return t.settings.Blame(err, t.micro)
		}
		t.objective.reference, t.evaluator.reference = refs.Train, refs.HeldOut
		if len(t.heldOut.Examples) == 0 {
			t.evaluator.reference = refs.Train
		}
	}
	if t.model, err = llm.Load(dev, t.base.Dir); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	defer t.model.Close()
	if err := t.config.Numerics.Apply(t.model); err != nil {
		return err
	}
	t.observer = &finetune.Observer{Runtime: rt, Measure: func(ctx context.Context) (map[string]float64, error) { return t.measure(ctx, rt) }}
	t.observer.Sampling(t.base, t.model, t.config.Sample)
	loop := t.settings.Loop(t.model, t.objective, "pairs", t.data.Examples, t.micro, rt.Seed())
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
	if t.base, err = finetune.Open(rt, c.Model, nil, c.Context); err != nil {
		return err
	}
	if !c.Reference.IsZero() {
		if err := t.base.SameTokenizer("reference", c.Reference); err != nil {
			return err
		}
	}
	if t.data, err = t.base.Pairs(ctx, rt, c.Data, corpus.Train); err != nil {
		return err
	}
	if err := t.data.Report(rt); err != nil {
		return err
	}
	if t.heldOut, err = t.base.Pairs(ctx, rt, c.Data, corpus.Holdout); err != nil {
		return err
	}
	t.objective, t.evaluator = c.preference(t.base.Tokenizer.IsSpecial), c.preference(t.base.Tokenizer.IsSpecial)
	t.micro, err = t.settings.Micro(slices.Concat(t.data.Examples, t.heldOut.Examples))
	return err
}

// preference is the block's loss, without the reference.
func (c *Config) preference(control func(int32) bool) *preference {
	o := &preference{
		variant: c.Variant, beta: c.beta(), smoothing: c.LabelSmoothing, margin: c.Margin, nll: c.NLL,
		normalized: c.LengthNorm || c.Variant == ipo || c.Variant == simpo,
	}
	if c.MaskEnd {
		o.control = control
	}
	return o
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context, rt *steps.Runtime) (map[string]float64, error) {
	pairs, o := t.heldOut.OrElse(t.data), t.evaluator
	var means finetune.Means
	for _, b := range finetune.Pack(pairs, finetune.Evenly(len(pairs), t.config.Eval.Examples), t.micro) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		logp, err := finetune.LogProbs(t.model, &b.Stream)
		if err != nil {
			return nil, err
		}
		for pair, number := range b.Extra.([]int) {
			loss, _, figures := o.judge(number, o.answer(&b.Stream, 2*pair, logp), o.answer(&b.Stream, 2*pair+1, logp))
			figures["loss"] = loss
			means.Add(1, figures)
		}
	}
	out := map[string]float64{}
	for name, v := range means.Take() {
		out["eval_"+name] = v
	}
	if drop := out["eval_chosen_drop"]; drop > t.config.ChosenDrop {
		rt.Warn("the better answers have become less likely than under the reference, by %.2f nats per token (warn_chosen_drop = %g): raise nll or beta, or lower the learning rate",
			drop, t.config.ChosenDrop)
	}
	return out, nil
}

// settle sets the value outputs.
func (t *training) settle(rt *steps.Runtime) {
	if len(t.heldOut.Examples) == 0 {
		rt.Warn("the data holds no pairs back: accuracy and margin are those of training pairs. Set holdout in its dataset")
	}
	f := t.observer.Figures()
	for _, name := range []string{"accuracy", "margin", "chosen_logp", "loss"} {
		rt.Set(name, f["eval_"+name])
	}
	rt.Set("train_loss", t.summary.Loss)
	rt.Set("pairs", len(t.data.Examples))
	rt.Set("dropped", t.data.Counts.Values())
	rt.Set("parameters", t.model.Config.Parameters())
}

func (t *training) report(rt *steps.Runtime) error {
	r := finetune.Report{Title: "Direct preference optimisation", Unit: "pairs", Samples: t.observer.Samples()}
	r.Row("parameters", "%d", t.model.Config.Parameters())
	r.Row("run", "%d pairs in %d steps, %d epochs", t.summary.Tokens, t.summary.Steps, t.config.Epochs)
	r.Row("loss", "%s, beta %g", t.config.Variant, t.config.beta())
	r.Row("context", "%d tokens", t.base.Context)
	r.Counted("training pairs", &t.data.Counts)
	r.Counted("held-out pairs", &t.heldOut.Counts)
	of := "held-out"
	if len(t.heldOut.Examples) == 0 {
		of = "training"
	}
	f := t.observer.Figures()
	r.Row(of+" accuracy", "%.4f", f["eval_accuracy"])
	r.Row(of+" reward of chosen, rejected", "%.4f, %.4f", f["eval_chosen_reward"], f["eval_rejected_reward"])
	r.Row(of+" log-probability of chosen, rejected", "%.3f, %.3f", f["eval_chosen_logp"], f["eval_rejected_logp"])
	if drop, ok := f["eval_chosen_drop"]; ok {
		r.Row("fall of the chosen answers", "%.4f nats per token below the reference", drop)
	}
	r.Row("training loss, last tenth", "%.4f", t.summary.Loss)
	return r.Write(rt,
		finetune.Chart{File: "loss.svg", Title: "Loss", YLabel: "loss per pair", Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		finetune.Chart{File: "rewards.svg", Title: "Implicit rewards", YLabel: "reward", Lines: []string{"chosen_reward", "rejected_reward"}, Points: []string{"eval_chosen_reward", "eval_rejected_reward"}},
		finetune.Chart{File: "logp.svg", Title: "Log-probability of answers", YLabel: "nats per answer", Points: []string{"eval_chosen_logp", "eval_rejected_logp"}})
}
