package dpo

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

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
	objective objective // of training
	evaluator objective // the same for the examples that are evaluated
	unit      string    // of an example: pairs, or answers
	model     *llm.Model
	micro     int
	summary   train.Summary
	observer  *finetune.Observer

	mismatched, heldOutMismatched []finetune.Example // of kto: prompts with the answers of others
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
	if t.config.compares() {
		refs, err := t.references(ctx, rt, dev)
		if err != nil {
			return t.settings.Blame(err, t.micro)
		}
		t.objective.compare(refs.Train, refs.TrainMismatched)
		t.evaluator.compare(refs.HeldOut, refs.HeldOutMismatched)
		if len(t.heldOut.Examples) == 0 {
			t.evaluator.compare(refs.Train, refs.TrainMismatched)
		}
	}
	if t.model, err = llm.Load(dev, t.base.Dir); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	defer t.model.Close()
	if err := t.settings.Prepare(t.model, rt.Seed()); err != nil {
		return t.settings.Blame(err, t.micro)
	}
	if err := rt.Curves(t.curves()); err != nil {
		return err
	}
	t.observer = &finetune.Observer{Runtime: rt, Measure: func(ctx context.Context) (map[string]float64, error) { return t.measure(ctx, rt) }}
	t.observer.Sampling(t.base, t.model, t.config.Sample)
	loop := t.settings.Loop(t.model, t.objective, t.unit, t.data.Examples, t.micro, rt.Seed())
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
	if c.Variant == kto {
		err = t.openAnswers(ctx, rt)
	} else {
		err = t.openPairs(ctx, rt)
	}
	if err != nil {
		return err
	}
	t.micro, err = t.settings.Micro(slices.Concat(t.data.Examples, t.heldOut.Examples, t.mismatched, t.heldOutMismatched))
	if o, ok := t.objective.(*prospect); ok {
		o.micro, t.evaluator.(*prospect).micro = t.micro, t.micro
	}
	return err
}

// openPairs reads the data for the losses of pairs.
func (t *training) openPairs(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	var err error
	t.data, t.heldOut, err = finetune.Splits(rt, func(split string) (*finetune.Split, error) {
		return t.base.Pairs(ctx, rt, c.Data, split)
	})
	if err != nil {
		return err
	}
	own := func() *preference {
		return &preference{
			counting: t.counting(), variant: c.Variant, beta: c.beta(), smoothing: c.LabelSmoothing, margin: c.Margin, nll: c.nll(),
			normalized: c.LengthNorm || c.Variant == ipo || c.Variant == simpo || c.Variant == orpo,
		}
	}
	t.objective, t.evaluator, t.unit = own(), own(), "pairs"
	return nil
}

// openAnswers reads the data for kto.
func (t *training) openAnswers(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	data, err := t.base.Labelled(ctx, rt, c.Data, corpus.Train)
	if err != nil {
		return err
	}
	if err := data.Report(rt); err != nil {
		return err
	}
	heldOut, err := t.base.Labelled(ctx, rt, c.Data, corpus.Holdout)
	if err != nil {
		return err
	}
	own := func(l *finetune.Labelled, mismatched []finetune.Example) *prospect {
		return &prospect{
			counting: t.counting(), beta: c.beta(), goodWeight: c.GoodWeight, badWeight: c.BadWeight, good: l.Good, mismatched: mismatched,
		}
	}
	t.mismatched, t.heldOutMismatched = data.Mismatched(t.base.Context), heldOut.Mismatched(t.base.Context)
	t.objective, t.evaluator = own(data, t.mismatched), own(heldOut, t.heldOutMismatched)
	if len(heldOut.Examples) == 0 {
		t.evaluator = own(data, t.mismatched)
	}
	t.data, t.heldOut, t.unit = &data.Split, &heldOut.Split, "answers"
	return nil
}

// counting is which tokens count.
func (t *training) counting() counting {
	if t.config.MaskEnd {
		return counting{t.base.Tokenizer.IsSpecial}
	}
	return counting{}
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context, rt *steps.Runtime) (map[string]float64, error) {
	examples := t.heldOut.OrElse(t.data)
	chosen := finetune.Evenly(len(examples), t.config.Eval.Examples)
	if t.config.Variant == kto { // good and bad answers may take turns, and every second one would be of one kind
		chosen = rand.New(rand.NewPCG(0, 0)).Perm(len(examples))[:len(chosen)]
		slices.Sort(chosen)
	}
	figures, err := t.evaluator.measure(ctx, t.model, examples, chosen, t.micro)
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for name, v := range figures {
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
		rt.Warn("the data holds no %s back: accuracy and margin are those of training %s. Set holdout in its dataset", t.unit, t.unit)
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
	r := finetune.Report{Title: "Direct preference optimisation", Unit: t.unit, Samples: t.observer.Samples()}
	r.Trained(&t.settings, t.model.Config)
	r.Row("run", "%d %s in %d steps, %d epochs", t.summary.Tokens, t.unit, t.summary.Steps, t.config.Epochs)
	r.Row("loss", "%s, beta %g", t.config.Variant, t.config.beta())
	r.Row("context", "%d tokens", t.base.Context)
	records := t.unit
	if t.config.Variant == kto {
		records = "records" // a pair is one, and two answers
	}
	r.Counted("training "+records, &t.data.Counts)
	r.Counted("held-out "+records, &t.heldOut.Counts)
	of := t.heldOut.Name()
	f := t.observer.Figures()
	r.Row(of+" accuracy", "%.4f", f["eval_accuracy"])
	r.Row(of+" reward of chosen, rejected", "%.4f, %.4f", f["eval_chosen_reward"], f["eval_rejected_reward"])
	r.Row(of+" log-probability of chosen, rejected", "%.3f, %.3f", f["eval_chosen_logp"], f["eval_rejected_logp"])
	if drop, ok := f["eval_chosen_drop"]; ok {
		r.Row("fall of the chosen answers", "%.4f nats per token below the reference", drop)
	}
	if kl, ok := f["eval_kl"]; ok {
		r.Row(of+" KL term", "%.4f nats per answer", kl)
	}
	r.Row("training loss, last tenth", "%.4f", t.summary.Loss)
	return r.Write(rt, t.curves())
}

// curves say what a run records and how to draw it.
func (t *training) curves() []steps.Curves {
	return finetune.Curves(t.unit,
		steps.Curves{File: "loss.svg", Title: "Loss", YLabel: "loss per " + strings.TrimSuffix(t.unit, "s"), Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		steps.Curves{File: "rewards.svg", Title: "Implicit rewards", YLabel: "reward", Lines: []string{"chosen_reward", "rejected_reward"}, Points: []string{"eval_chosen_reward", "eval_rejected_reward"}},
		steps.Curves{File: "logp.svg", Title: "Log-probability of answers", YLabel: "nats per answer", Points: []string{"eval_chosen_logp", "eval_rejected_logp"}})
}
