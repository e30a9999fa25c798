package finetune

import (
	"context"
	"slices"
	"strings"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A Run is one training of a model on examples. A step sets Settings, Unit and Base, reads its data with [Run.Read], trains
// with [Run.Train], and saves and reports what has come of it.
type Run struct {
	Settings Settings
	Unit     string // of the examples: "conversations", "pairs", "answers"
	Base     *Base

	Data, HeldOut *Split
	Micro         int // most tokens of a micro-batch

	Model   *llm.Model
	Summary train.Summary

	observer observer
	curves   []steps.Curves
}

// Read reads both splits of the data, tells the user what was dropped of the one to train on, and sizes micro-batches.
func (r *Run) Read(rt *steps.Runtime, read func(split string) (*Split, error)) error {
	var err error
	if r.Data, err = read(corpus.Train); err != nil {
		return err
	}
	if err := r.Data.Counts.Report(rt, "trained on"); err != nil {
		return err
	}
	if r.HeldOut, err = read(corpus.Holdout); err != nil {
		return err
	}
	return r.Fit()
}

// Fit sizes micro-batches so that they hold every example of the data, and others that the model will read.
func (r *Run) Fit(others ...[]Example) error {
	var err error
	r.Micro, err = r.Settings.Micro(slices.Concat(append(others, r.Data.Examples, r.HeldOut.Examples)...))
	return err
}

// Evaluated are the examples that a step's figures are of: those held back, or those trained on where there are none.
func (r *Run) Evaluated() []Example {
	if len(r.HeldOut.Examples) > 0 {
		return r.HeldOut.Examples
	}
	return r.Data.Examples
}

// Of says which examples those are.
func (r *Run) Of() string {
	if len(r.HeldOut.Examples) > 0 {
		return "held-out"
	}
	return "training"
}

// A Task is what a step trains a model for.
type Task struct {
	Load      func(dev gpu.Device, dir string) (*llm.Model, error)
	Objective train.Objective
	Measure   func(ctx context.Context) (map[string]float64, error) // figures of the run's model as it is
	Sample    *Sample                                               // nil: no samples
	Curves    []steps.Curves                                        // beside those that every training has
}

// Train loads the model and trains it on the data, from where an earlier attempt has stopped. After an error there is no
// model; otherwise the caller closes the run.
func (r *Run) Train(ctx context.Context, rt *steps.Runtime, task *Task) error {
	dev, err := rt.Device()
	if err != nil {
		return err
	}
	if err := r.train(ctx, rt, dev, task); err != nil {
		r.Close()
		return r.Settings.Blame(err, r.Micro)
	}
	return nil
}

func (r *Run) train(ctx context.Context, rt *steps.Runtime, dev gpu.Device, task *Task) error {
	var err error
	if r.Model, err = task.Load(dev, r.Base.Dir); err != nil {
		return err
	}
	if err := r.Settings.Prepare(r.Model, rt.Seed()); err != nil {
		return err
	}
	r.curves = Curves(r.Unit, task.Curves...)
	if err := rt.Curves(r.curves); err != nil {
		return err
	}
	r.observer = observer{runtime: rt, measure: task.Measure}
	r.observer.sampling(r.Base, r.Model, task.Sample)
	loop := r.Settings.Loop(r.Model, task.Objective, r.Unit, r.Data.Examples, r.Micro, rt.Seed())
	loop.Observer = &r.observer
	r.Summary, err = loop.Run(ctx, rt)
	return err
}

// Close frees the model.
func (r *Run) Close() {
	if r.Model != nil {
		r.Model.Close()
		r.Model = nil
	}
}

// Figures are those of the last evaluation.
func (r *Run) Figures() map[string]float64 { return r.observer.seen.Figures }

// Settle sets the values that every such step has.
func (r *Run) Settle(rt *steps.Runtime) {
	if len(r.HeldOut.Examples) == 0 {
		rt.Warn("the data holds no %[1]s back: the step's figures are those of training %[1]s. Set holdout in its dataset", r.Unit)
	}
	rt.Set("train_loss", r.Summary.Loss)
	rt.Set("dropped", r.Data.Counts.Values())
	rt.Set("parameters", r.Model.Config.Parameters())
}

// Report begins the report of a run that has ended.
func (r *Run) Report(title string) *Report {
	report := &Report{Title: title, Unit: r.Unit, Samples: r.observer.seen.Samples}
	c := r.Model.Config
	report.Row("parameters", "%d", c.Parameters())
	if l := r.Settings.LoRA; l != nil {
		report.Row("trained", "%d in adapters of rank %d beside %s", l.config().Parameters(c), l.Rank, strings.Join(l.Targets, ", "))
	}
	report.Row("run", "%d %s in %d steps, %d epochs", r.Summary.Tokens, r.Unit, r.Summary.Steps, r.Settings.Epochs)
	return report
}

// Counted adds to a report what became of the data; records is what the dataset's are called.
func (r *Run) Counted(report *Report, records string) {
	report.Row("context", "%d tokens", r.Base.Context)
	report.Counted("training "+records, &r.Data.Counts)
	report.Counted("held-out "+records, &r.HeldOut.Counts)
}

// Write writes the report.
func (r *Run) Write(rt *steps.Runtime, report *Report) error { return report.Write(rt, r.curves) }
