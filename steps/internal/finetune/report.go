package finetune

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/recorded"
	"athanor/steps/internal/sampling"
)

// A Report collects what a run leaves for people to read. The same training gives the same bytes: nothing in it depends
// on the time or the machine.
type Report struct {
	Title   string
	Unit    string // "conversations", "pairs"
	Samples []sampling.Sample
	Files   map[string][]byte // further figures (SVG), by name

	rows [][2]string
}

// Row adds a line to the summary's table.
func (r *Report) Row(name, format string, args ...any) {
	r.rows = append(r.rows, [2]string{name, fmt.Sprintf(format, args...)})
}

// Counted adds what became of the records.
func (r *Report) Counted(split string, c *Counts) {
	dropped, total := c.describe()
	text := fmt.Sprintf("%d", c.Kept)
	if c.Truncated > 0 {
		text += fmt.Sprintf(", %d of them truncated", c.Truncated)
	}
	if total > 0 {
		text += fmt.Sprintf("; %d dropped: %s", total, dropped)
	}
	r.Row(split, "%s", text)
}

// Curves are those of a training that counts unit ("pairs"): a step's own, and what every training has.
func Curves(unit string, own ...steps.Curves) []steps.Curves {
	all := append(own,
		steps.Curves{File: "lr.svg", Title: "Learning rate", YLabel: "learning rate", Exact: true, Lines: []string{"lr"}},
		steps.Curves{File: "grad_norm.svg", Title: "Norm of the gradient, before clipping", YLabel: "norm", LogY: true, Lines: []string{"grad_norm"}})
	for i := range all {
		all[i].X, all[i].XLabel = unit, unit
	}
	return all
}

// Write writes the artifact output called report.
func (r *Report) Write(rt *steps.Runtime, curves []steps.Curves) error {
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	files, err := recorded.Report(rt, r.Unit, curves)
	if err != nil {
		return err
	}
	files["summary.md"] = r.markdown(curves)
	if r.Samples != nil {
		if files["samples.jsonl"], err = sampling.JSONL(r.Samples); err != nil {
			return err
		}
	}
	for name, data := range r.Files {
		files[name] = data
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	return nil
}

// markdown is the summary for people.
func (r *Report) markdown(curves []steps.Curves) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n| | |\n|---|---|\n", r.Title)
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	b.WriteString(recorded.Markdown(curves))
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		fmt.Fprintf(&b, "\n![%s](%s)\n", strings.TrimSuffix(name, filepath.Ext(name)), name)
	}
	if n := len(r.Samples); n > 0 {
		last := r.Samples
		for i, s := range last {
			if s.Step == last[n-1].Step {
				last = last[i:]
				break
			}
		}
		fmt.Fprintf(&b, "\n## Answers at the end\n\n")
		for _, s := range last {
			fmt.Fprintf(&b, "> %s\n\n", strings.ReplaceAll(s.Prompt, "\n", "\n> "))
			s.Prompt = ""
			b.WriteString(sampling.Markdown([]sampling.Sample{s}))
		}
	}
	return []byte(b.String())
}
