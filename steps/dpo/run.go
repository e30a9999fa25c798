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
)

// A training is one run of the step.
type training struct {
	finetune.Run
	config    Config
	objective objective // of training
	evaluator objective // the same for the examples that are evaluated

	mismatched, heldOutMismatched []finetune.Example // of kto: prompts with the answers of others
}

func run(ctx context.Context, rt *steps.Runtime) error {
	var t training
	if err := t.open(ctx, rt); err != nil {
		return err
	}
	if t.config.compares() {
		if err := t.compare(ctx, rt); err != nil {
			return err
		}
	}
	if err := t.Train(ctx, rt, &finetune.Task{
		Load: llm.Load, Objective: t.objective, Sample: t.config.Sample, Curves: t.curves(),
		Measure: func(ctx context.Context) (map[string]float64, error) { return t.measure(ctx, rt) },
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
	t.Settings = c.settings()
	var err error
	if t.Base, err = finetune.Open(rt, c.Model, nil, c.Context); err != nil {
		return err
	}
	if !c.Reference.IsZero() {
		if err := t.Base.SameTokenizer("reference", c.Reference); err != nil {
			return err
		}
	}
	if c.Variant == kto {
		return t.openAnswers(ctx, rt)
	}
	return t.openPairs(ctx, rt)
}

// openPairs reads the data for the losses of pairs.
func (t *training) openPairs(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	own := func() *preference {
		return &preference{
			counting: t.counting(), variant: c.Variant, beta: c.beta(), smoothing: c.LabelSmoothing, margin: c.Margin, nll: c.nll(),
			normalized: c.LengthNorm || c.Variant == ipo || c.Variant == simpo || c.Variant == orpo,
		}
	}
	t.objective, t.evaluator, t.Unit = own(), own(), "pairs"
	return t.Read(rt, func(split string) (*finetune.Split, error) { return t.Base.Pairs(ctx, rt, c.Data, split) })
}

// openAnswers reads the data for kto.
func (t *training) openAnswers(ctx context.Context, rt *steps.Runtime) error {
	c := &t.config
	t.Unit = "answers"
	read := map[string]*finetune.Labelled{}
	err := t.Read(rt, func(split string) (*finetune.Split, error) {
		l, err := t.Base.Labelled(ctx, rt, c.Data, split)
		if err != nil {
			return nil, err
		}
		read[split] = l
		return &l.Split, nil
	})
	if err != nil {
		return err
	}
	data, heldOut := read[corpus.Train], read[corpus.Holdout]
	t.mismatched, t.heldOutMismatched = data.Mismatched(t.Base.Context), heldOut.Mismatched(t.Base.Context)
	if err := t.Fit(t.mismatched, t.heldOutMismatched); err != nil {
		return err
	}
	own := func(l *finetune.Labelled, mismatched []finetune.Example) *prospect {
		return &prospect{
			counting: t.counting(), beta: c.beta(), goodWeight: c.GoodWeight, badWeight: c.BadWeight, good: l.Good, mismatched: mismatched, micro: t.Micro,
		}
	}
	t.objective, t.evaluator = own(data, t.mismatched), own(heldOut, t.heldOutMismatched)
	if len(heldOut.Examples) == 0 {
		t.evaluator = own(data, t.mismatched)
	}
	return nil
}

// compare tells the objectives what the reference model says.
func (t *training) compare(ctx context.Context, rt *steps.Runtime) error {
	dev, err := rt.Device()
	if err != nil {
		return err
	}
	refs, err := t.references(ctx, rt, dev)
	if err != nil {
		return t.Settings.Blame(err, t.Micro)
	}
	t.objective.compare(refs.Train, refs.TrainMismatched)
	t.evaluator.compare(refs.HeldOut, refs.HeldOutMismatched)
	if len(t.HeldOut.Examples) == 0 {
		t.evaluator.compare(refs.Train, refs.TrainMismatched)
	}
	return nil
}

// counting is which tokens count.
func (t *training) counting() counting {
	if t.config.MaskEnd {
		return counting{t.Base.Tokenizer.IsSpecial}
	}
	return counting{}
}

// measure evaluates the model as it is.
func (t *training) measure(ctx context.Context, rt *steps.Runtime) (map[string]float64, error) {
	examples := t.Evaluated()
	chosen := finetune.Evenly(len(examples), t.config.Eval.Examples)
	if t.config.Variant == kto { // good and bad answers may take turns, and every second one would be of one kind
		chosen = rand.New(rand.NewPCG(0, 0)).Perm(len(examples))[:len(chosen)]
		slices.Sort(chosen)
	}
	figures, err := t.evaluator.measure(ctx, t.Model, examples, chosen, t.Micro)
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
	t.Settle(rt)
	f := t.Figures()
	for _, name := range []string{"accuracy", "margin", "chosen_logp", "loss"} {
		rt.Set(name, f["eval_"+name])
	}
	rt.Set("pairs", len(t.Data.Examples))
}

func (t *training) report(rt *steps.Runtime) error {
	r := t.Report("Direct preference optimisation")
	r.Row("loss", "%s, beta %g", t.config.Variant, t.config.beta())
	records := t.Unit
	if t.config.Variant == kto {
		records = "records" // a pair is one, and two answers
	}
	t.Counted(r, records)
	of, f := t.Of(), t.Figures()
	r.Row(of+" accuracy", "%.4f", f["eval_accuracy"])
	r.Row(of+" reward of chosen, rejected", "%.4f, %.4f", f["eval_chosen_reward"], f["eval_rejected_reward"])
	r.Row(of+" log-probability of chosen, rejected", "%.3f, %.3f", f["eval_chosen_logp"], f["eval_rejected_logp"])
	if drop, ok := f["eval_chosen_drop"]; ok {
		r.Row("fall of the chosen answers", "%.4f nats per token below the reference", drop)
	}
	if kl, ok := f["eval_kl"]; ok {
		r.Row(of+" KL term", "%.4f nats per answer", kl)
	}
	r.Row("training loss, last tenth", "%.4f", t.Summary.Loss)
	return t.Write(rt, r)
}

// curves say what a run records and how to draw it.
func (t *training) curves() []steps.Curves {
	return []steps.Curves{
		{File: "loss.svg", Title: "Loss", YLabel: "loss per " + strings.TrimSuffix(t.Unit, "s"), Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		{File: "rewards.svg", Title: "Implicit rewards", YLabel: "reward", Lines: []string{"chosen_reward", "rejected_reward"}, Points: []string{"eval_chosen_reward", "eval_rejected_reward"}},
		{File: "logp.svg", Title: "Log-probability of answers", YLabel: "nats per answer", Points: []string{"eval_chosen_logp", "eval_rejected_logp"}},
	}
}
