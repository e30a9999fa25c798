// Package recorded makes of the figures that a step has recorded what its report holds of them: the curves that the step
// has declared (steps.Curves), drawn, and the figures themselves without those that depend on the machine.
//
// How a chart looks is package figure's business. Start at [Report].
package recorded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/figure"
)

// Metrics are recorded figures, in order.
type Metrics []map[string]float64

// Read reads a file of figures. A file that does not exist has none. While a step works on it the last line may be half
// written: that is where reading ends. A figure that is no finite number is left out.
func Read(path string) (Metrics, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all Metrics
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil // what has no end is half written
		}
		if err != nil {
			return nil, err
		}
		var raw map[string]any
		if err := json.Unmarshal(line, &raw); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(all)+1, err)
		}
		figures := make(map[string]float64, len(raw))
		for name, v := range raw {
			if number, ok := v.(float64); ok { // NaN is written as a string
				figures[name] = number
			}
		}
		all = append(all, figures)
	}
}

// Report returns the files of a report that come from the figures of a run: metrics.jsonl, and each of the curves. unit
// is what the run counts, whose rate depends on the machine and is left out.
func Report(rt *steps.Runtime, unit string, curves []steps.Curves) (map[string][]byte, error) {
	all, err := Read(rt.MetricsFile())
	if err != nil {
		return nil, err
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for _, figures := range all {
		delete(figures, unit+"_per_second")
		if err := e.Encode(figures); err != nil {
			return nil, err
		}
	}
	files := map[string][]byte{"metrics.jsonl": lines.Bytes()}
	for _, c := range curves {
		files[c.File] = all.Chart(&c).SVG()
	}
	return files, nil
}

// Markdown shows the curves of a report.
func Markdown(curves []steps.Curves) string {
	var b strings.Builder
	for _, c := range curves {
		fmt.Fprintf(&b, "\n![%s](%s)\n", c.Title, c.File)
	}
	return b.String()
}

// Chart draws the curves of some figures. Those recorded without their place along the axis stand where the last one
// stood that had it.
func (all Metrics) Chart(c *steps.Curves) *figure.Chart {
	out := &figure.Chart{Title: c.Title, XLabel: c.XLabel, YLabel: c.YLabel, LogX: c.LogX, LogY: c.LogY}
	add := func(name string, points bool) {
		s := figure.Series{Name: strings.ReplaceAll(name, "_", " "), Points: points, Smooth: !points && !c.Exact}
		at := 0.0
		for _, m := range all {
			if x, ok := m[c.X]; ok {
				at = x
			}
			if y, ok := m[name]; ok {
				s.X, s.Y = append(s.X, at), append(s.Y, y)
			}
		}
		if len(s.X) > 0 {
			out.Series = append(out.Series, s)
		}
	}
	for _, name := range c.Lines {
		add(name, false)
	}
	for _, name := range c.Points {
		add(name, true)
	}
	if len(out.Series) == 1 {
		out.Series[0].Name = "" // the title says it
	}
	return out
}
