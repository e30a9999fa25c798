package evaluate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/sampling"
)

// report writes the report. The same models and texts give the same bytes.
func report(rt *steps.Runtime, outcomes []*outcome) error {
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(outcomes, "", "  ")
	if err != nil {
		return err
	}
	var items, samples bytes.Buffer
	e := json.NewEncoder(&items)
	e.SetEscapeHTML(false)
	for _, o := range outcomes {
		for _, it := range o.items {
			if err := e.Encode(it); err != nil {
				return err
			}
		}
		lines, err := sampling.JSONL(o.samples)
		if err != nil {
			return err
		}
		samples.Write(lines)
	}
	files := heatMaps(outcomes)
	maps.Copy(files, rewardFigures(outcomes))
	files["results.json"] = append(data, '\n')
	files["items.jsonl"] = items.Bytes()
	files["samples.jsonl"] = samples.Bytes()
	files["summary.md"] = markdown(outcomes)
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}

// markdown is the summary for people.
func markdown(outcomes []*outcome) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Evaluation\n\n| | parameters | context |\n|---|---|---|\n")
	for _, o := range outcomes {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", o.Model, o.Parameters, o.Context)
	}
	if len(outcomes[0].Measures) > 0 {
		sideBySide(&b, outcomes)
	}
	if len(outcomes[0].Texts) > 0 {
		heldOut(&b, outcomes)
	}
	conversations(&b, outcomes)
	for _, o := range outcomes {
		for _, n := range o.Needles {
			of := ""
			if len(outcomes) > 1 {
				of = " by " + o.Model
			}
			fmt.Fprintf(&b, "\n## Needles found%s: %s\n\n%s\nLoss of the values: %.4f nats per token.\n\n![needles](%s)\n", of, n.Task, n.Markdown(), n.ValueLoss, o.heatMapName(n.Task))
		}
	}
	for _, o := range outcomes {
		if len(o.samples) == 0 {
			continue
		}
		title := "Samples"
		if len(outcomes) > 1 {
			title += " of " + o.Model
		}
		fmt.Fprintf(&b, "\n## %s\n\n%s", title, sampling.Markdown(o.samples))
	}
	return []byte(b.String())
}

// sideBySide writes one table of all figures: a line for each, a column for each model and one for its difference from
// the one that it is set against.
func sideBySide(b *strings.Builder, outcomes []*outcome) {
	fmt.Fprintf(b, "\n## Results\n\nIn brackets: the interval that holds the true value with 95 %% confidence, as far as it depends on the choice of items.\n\n| | items |")
	for i, o := range outcomes {
		if fmt.Fprintf(b, " %s |", o.Model); i > 0 {
			fmt.Fprintf(b, " %s − %s |", o.Model, o.Against)
		}
	}
	fmt.Fprintf(b, "\n|---|---|---|%s\n", strings.Repeat("---|---|", len(outcomes)-1))
	for i, m := range outcomes[0].Measures {
		verb := "%.4f"
		if m.Metric == "perplexity" { // of any size
			verb = "%.4g"
		}
		fmt.Fprintf(b, "| %s: %s | %d |", m.Task, strings.ReplaceAll(m.Metric, "_", " "), m.Items)
		for j, o := range outcomes {
			if fmt.Fprintf(b, " %s |", o.Measures[i].text(verb)); j > 0 {
				difference := "–"
				if d := o.Measures[i].Difference; d != nil {
					difference = d.text("%+.4f")
				}
				fmt.Fprintf(b, " %s |", difference)
			}
		}
		b.WriteString("\n")
	}
}

// text leaves the interval out where there is none: of a single document, or of figures that are all the same. verb
// writes each number.
func (f *figure) text(verb string) string {
	if f.Low == f.High {
		return fmt.Sprintf(verb, f.Value)
	}
	return fmt.Sprintf(verb+" ["+verb+", "+verb+"]", f.Value, f.Low, f.High)
}

// heldOut writes the table of datasets, compressors included.
func heldOut(b *strings.Builder, outcomes []*outcome) {
	baselines := outcomes[0].baselines
	fmt.Fprintf(b, "\n## Bits per byte of held-out text\n\n| dataset | documents | bytes |")
	for _, o := range outcomes {
		fmt.Fprintf(b, " tokens, %[1]s | loss, %[1]s | %[1]s |", o.Model)
	}
	for _, c := range baselines {
		fmt.Fprintf(b, " %s |", c.title)
	}
	fmt.Fprintf(b, "\n|---|---|---|%s%s\n", strings.Repeat("---|---|---|", len(outcomes)), strings.Repeat("---|", len(baselines)))
	for i, r := range outcomes[0].Texts {
		fmt.Fprintf(b, "| %s | %d | %d |", r.Name, r.Documents, r.Bytes)
		for _, o := range outcomes {
			fmt.Fprintf(b, " %d | %.4f | %.4f |", o.Texts[i].Tokens, o.Texts[i].Loss, o.Texts[i].BitsPerByte)
		}
		for _, c := range baselines {
			fmt.Fprintf(b, " %.4f |", r.Baselines[c.name])
		}
		b.WriteString("\n")
	}
	b.WriteString("\nA model reads each document by itself, in pieces of its context; a compressor reads all documents of a\ndataset as one text.\n")
}
