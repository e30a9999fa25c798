package pretraining

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/figure"
	"athanor/steps/internal/llm"
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

// report writes the report. The same training gives the same bytes: nothing in it depends on the time or the machine.
func (r *result) report(rt *steps.Runtime) error {
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	metrics, err := readMetrics(rt.MetricsFile())
	if err != nil {
		return err
	}
	lines, err := jsonl(metrics)
	if err != nil {
		return err
	}
	samples, err := sampling.JSONL(r.observer.Samples)
	if err != nil {
		return err
	}
	files, section := map[string][]byte{}, ""
	if r.run.Gate != nil {
		section, files = r.run.Gate.Report()
	}
	files["metrics.jsonl"] = lines
	files["loss.svg"] = lossChart(metrics).SVG()
	files["samples.jsonl"] = samples
	files["summary.md"] = r.markdown(section)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// readMetrics reads the figures of the run and leaves out those that depend on the machine.
func readMetrics(path string) ([]map[string]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var metrics []map[string]float64
	for scan := bufio.NewScanner(f); ; {
		if !scan.Scan() {
			return metrics, scan.Err()
		}
		var figures map[string]float64
		if err := json.Unmarshal(scan.Bytes(), &figures); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		delete(figures, "tokens_per_second")
		metrics = append(metrics, figures)
	}
}

func jsonl(metrics []map[string]float64) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, figures := range metrics {
		if err := e.Encode(figures); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

func lossChart(metrics []map[string]float64) *figure.Chart {
	training := figure.Series{Name: "training"}
	heldOut := figure.Series{Name: "held-out", Points: true}
	tokens := 0.0
	for _, m := range metrics {
		if t, ok := m["tokens"]; ok {
			tokens = t
		}
		if loss, ok := m["loss"]; ok {
			training.X, training.Y = append(training.X, tokens), append(training.Y, loss)
		}
		if loss, ok := m["eval_loss"]; ok {
			heldOut.X, heldOut.Y = append(heldOut.X, tokens), append(heldOut.Y, loss)
		}
	}
	return &figure.Chart{
		Title: "Loss", XLabel: "tokens", YLabel: "nats per token", LogX: true, Series: []figure.Series{training, heldOut},
	}
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
	fmt.Fprintf(&b, "\n![loss](loss.svg)\n")
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
