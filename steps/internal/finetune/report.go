package finetune

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/figure"
	"athanor/steps/internal/sampling"
)

// A Report collects what a run leaves for people to read. The same training gives the same bytes: nothing in it depends
// on the time or the machine.
type Report struct {
	Title   string
	Unit    string // "conversations", "pairs"
	Samples []sampling.Sample
	Files   map[string][]byte // further figures (SVG), by name

	rows    [][2]string
	metrics []map[string]float64
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

// A Chart is lines of metrics by their names.
type Chart struct {
	File, Title, YLabel string
	Lines               []string // of the training steps
	Points              []string // of the evaluations
}

// Write writes the artifact output called report.
func (r *Report) Write(rt *steps.Runtime, charts ...Chart) error {
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	lines, err := r.readMetrics(rt.MetricsFile())
	if err != nil {
		return err
	}
	files := map[string][]byte{"metrics.jsonl": lines, "summary.md": r.markdown(charts)}
	if r.Samples != nil {
		if files["samples.jsonl"], err = sampling.JSONL(r.Samples); err != nil {
			return err
		}
	}
	for _, c := range charts {
		files[c.File] = r.chart(c).SVG()
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

// readMetrics reads the figures of the run and leaves out those that depend on the machine.
func (r *Report) readMetrics(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	for line := range bytes.Lines(data) {
		var figures map[string]float64
		if err := json.Unmarshal(line, &figures); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		delete(figures, r.Unit+"_per_second")
		r.metrics = append(r.metrics, figures)
		if err := e.Encode(figures); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func (r *Report) chart(c Chart) *figure.Chart {
	out := &figure.Chart{Title: c.Title, XLabel: r.Unit, YLabel: c.YLabel}
	for i, name := range append(append([]string{}, c.Lines...), c.Points...) {
		s := figure.Series{Name: strings.ReplaceAll(name, "_", " "), Points: i >= len(c.Lines)}
		at := 0.0
		for _, m := range r.metrics {
			if x, ok := m[r.Unit]; ok {
				at = x
			}
			if y, ok := m[name]; ok {
				s.X, s.Y = append(s.X, at), append(s.Y, y)
			}
		}
		out.Series = append(out.Series, s)
	}
	return out
}

// markdown is the summary for people.
func (r *Report) markdown(charts []Chart) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n| | |\n|---|---|\n", r.Title)
	for _, row := range r.rows {
		fmt.Fprintf(&b, "| %s | %s |\n", row[0], row[1])
	}
	for _, c := range charts {
		fmt.Fprintf(&b, "\n![%s](%s)\n", c.Title, c.File)
	}
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
