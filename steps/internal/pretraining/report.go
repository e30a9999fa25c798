package pretraining

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/recorded"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// A result is what is known when the last token is trained on.
type result struct {
	run      *Run
	model    llm.Config
	summary  train.Summary
	observer *observer
	consumed []tokens.Consumption
	last     map[string]train.Score // of the last weights, by part
	samples  int64                  // of the weights that the model is the average of; 0: it is the last weights

	loss, bitsPerByte float64
	lastLoss          float64 // of the last weights; without an average, loss
	heldOut           bool    // loss and bitsPerByte are of held-out documents
}

// settle sets the value outputs.
func (r *result) settle(rt *steps.Runtime, bytesPerToken float64) {
	if total := r.observer.total(); total.Tokens > 0 && total.Bytes > 0 {
		r.loss, r.bitsPerByte, r.heldOut = total.Loss(), total.BitsPerByte(), true
	} else {
		rt.Warn("the data has no held-out documents: loss and bits_per_byte are those of training. Set holdout in its datasets")
		r.loss, r.bitsPerByte = r.summary.Loss, train.BitsPerByte(r.summary.Loss, bytesPerToken)
	}
	if r.summary.Skipped > 0 {
		rt.Warn("%d of %d steps were spikes and were not taken: the log says which", r.summary.Skipped, r.summary.Steps)
	}
	if r.summary.Empty > 0 {
		rt.Warn("%d of %d steps had no token with a target and changed nothing", r.summary.Empty, r.summary.Steps)
	}
	rt.Set("loss", r.loss)
	rt.Set("bits_per_byte", r.bitsPerByte)
	if r.lastLoss = r.loss; r.heldOut {
		r.lastLoss = r.observer.totalOf(r.last).Loss()
	}
	rt.Set("train_loss", r.summary.Loss)
	rt.Set("tokens", r.summary.Tokens)
	rt.Set("parameters", r.model.Parameters())
}

// report writes the report into a folder. The same training gives the same bytes: nothing in it depends on the time or
// the machine.
func (r *result) report(rt *steps.Runtime, dir string) error {
	files, err := recorded.Report(rt, "tokens", r.run.curves())
	if err != nil {
		return err
	}
	samples, err := sampling.JSONL(r.observer.Samples)
	if err != nil {
		return err
	}
	section := ""
	if r.run.Gate != nil {
		var more map[string][]byte
		section, more = r.run.Gate.Report()
		maps.Copy(files, more)
	}
	files["samples.jsonl"] = samples
	files["summary.md"] = r.markdown(section)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// curves say what a run records and how to draw it.
func (r *Run) curves() []steps.Curves {
	all := []steps.Curves{
		{File: "loss.svg", Title: "Loss", YLabel: "nats per token", LogX: true, Lines: []string{"loss"}, Points: []string{"eval_loss"}},
		{File: "lr.svg", Title: "Learning rate", YLabel: "learning rate", Exact: true, Lines: []string{"lr"}},
		{File: "grad_norm.svg", Title: "Norm of the gradient, before clipping", YLabel: "norm", LogY: true, Lines: []string{"grad_norm"}},
	}
	if len(r.Batch.Ramp) > 0 {
		all = append(all, steps.Curves{File: "batch.svg", Title: "Batch", YLabel: "tokens per step", Exact: true, Lines: []string{"batch"}})
	}
	if r.Gate != nil {
		all = append(all, steps.Curves{File: "gate.svg", Title: "The gate", YLabel: "share found; ratio of losses", Points: []string{"needles", "short_loss_ratio"}})
	}
	for i := range all {
		all[i].X, all[i].XLabel = "tokens", "tokens"
	}
	return all
}

// markdown is the summary for people; section is the gate's part of it.
func (r *result) markdown(section string) []byte {
	var b strings.Builder
	of := "training"
	if r.heldOut {
		of = "held-out"
	}
	fmt.Fprintf(&b, "# %s\n\n| | |\n|---|---|\n", r.run.Title)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("parameters", "%d", r.model.Parameters())
	row("tokens", "%d in %d steps", r.summary.Tokens, r.summary.Steps)
	row("FLOPs", "%.3g", r.model.FLOPsPerToken(r.run.Context)*float64(r.summary.Tokens))
	row("context", "%d", r.run.Context)
	batch := fmt.Sprintf("%d tokens", r.run.Batch.Tokens)
	for _, ramp := range r.run.Batch.Ramp {
		batch += fmt.Sprintf(", %d from %g of the run on", ramp.Tokens, ramp.At)
	}
	row("batch", "%s", batch)
	row("learning rate", "%.4g, %s", r.run.Optimizer.LR, r.run.Schedule.Shape)
	if r.summary.Skipped > 0 {
		row("steps not taken", "%d, as spikes of more than %g σ", r.summary.Skipped, r.run.Spike.Sigma)
	}
	if r.samples > 0 {
		row("the model", "%s of %d samples of the weights", r.run.Average.Kind, r.samples)
		row(of+" loss of the last weights", "%.4f nats per token", r.lastLoss)
	}
	row(of+" loss", "%.4f nats per token", r.loss)
	row(of+" bits per byte", "%.4f", r.bitsPerByte)
	late := "last tenth"
	if r.run.Gate != nil {
		late = "since the check before"
	}
	row("training loss, "+late, "%.4f nats per token", r.summary.Loss)

	b.WriteString(section)
	r.parts(&b)
	b.WriteString(recorded.Markdown(r.run.curves()))
	if last := r.lastSamples(); len(last) > 0 {
		fmt.Fprintf(&b, "\n## Samples at the end\n\n%s", sampling.Markdown(last))
	}
	return []byte(b.String())
}

// parts writes the table of the mixture's parts.
func (r *result) parts(b *strings.Builder) {
	of, more := "", ""
	if r.samples > 0 {
		of, more = " | of the last weights", "|---"
	}
	fmt.Fprintf(b, "\n## Data\n\n| part | tokens | epochs | held-out loss%s | held-out bits per byte |\n|---|---|---|---%s|---|\n", of, more)
	for _, c := range r.consumed {
		loss, bits := "–", "–"
		if s := r.observer.Scores[c.Part]; s.Tokens > 0 {
			loss, bits = fmt.Sprintf("%.4f", s.Loss()), fmt.Sprintf("%.4f", s.BitsPerByte())
			if r.samples > 0 {
				loss += fmt.Sprintf(" | %.4f", r.last[c.Part].Loss())
			}
		} else if r.samples > 0 {
			loss += " | –"
		}
		fmt.Fprintf(b, "| %s | %d | %.2f | %s | %s |\n", c.Part, c.Tokens, c.Epochs, loss, bits)
	}
}

// lastSamples are those of the last observation.
func (r *result) lastSamples() []sampling.Sample {
	all := r.observer.Samples
	for i, s := range all {
		if s.Step == r.summary.Steps {
			return all[i:]
		}
	}
	return nil
}
