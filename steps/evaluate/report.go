package evaluate

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps/internal/sampling"
)

// report writes the report. The same model and text give the same bytes.
func (e *evaluation) report(results []result, samples []sampling.Sample) error {
	dir, err := e.rt.Output("report")
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	lines, err := sampling.JSONL(samples)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"results.json":  append(data, '\n'),
		"samples.jsonl": lines,
		"summary.md":    e.markdown(results, samples),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}

// markdown is the summary for people.
func (e *evaluation) markdown(results []result, samples []sampling.Sample) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Evaluation\n\nA model of %d parameters, with a context of %d tokens.\n", e.model.Config.Parameters(), e.scorer.Context)
	if len(results) > 0 {
		fmt.Fprintf(&b, "\n## Bits per byte of held-out text\n\n| dataset | documents | bytes | tokens | loss | model |")
		for _, c := range e.baselines {
			fmt.Fprintf(&b, " %s |", c.title)
		}
		fmt.Fprintf(&b, "\n|---|---|---|---|---|---|%s\n", strings.Repeat("---|", len(e.baselines)))
		for _, r := range results {
			fmt.Fprintf(&b, "| %s | %d | %d | %d | %.4f | %.4f |", r.Name, r.Documents, r.Bytes, r.Tokens, r.Loss, r.BitsPerByte)
			for _, c := range e.baselines {
				fmt.Fprintf(&b, " %.4f |", r.Baselines[c.name])
			}
			b.WriteString("\n")
		}
		b.WriteString("\nThe model reads each document by itself, in pieces of its context; a compressor reads all documents of a\ndataset as one text.\n")
	}
	if len(samples) > 0 {
		fmt.Fprintf(&b, "\n## Samples\n\n%s", sampling.Markdown(samples))
	}
	return []byte(b.String())
}
