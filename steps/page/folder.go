package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/recorded"
)

// The form of a report folder, by which it comes to be on the page:
//
//	summary.md     the page of the step: a heading of the first level, then Markdown. A line that is nothing but
//	               ![what it shows](file.svg) is a figure, and a section of the second level that is long is folded
//	*.svg          figures; those that summary.md does not show come after it
//	results.json   what models have come to, for the table of all models: see Result
//
// Whatever else lies in it is for programs.
const (
	summaryName = "summary.md"
	resultsName = "results.json"
)

// A Report is what a report folder shows.
type Report struct {
	Title   string // from its first heading; may be empty
	Blocks  []Block
	Results []Result
}

// A Result is what one model has come to. Its JSON is a list of them, with further fields for programs.
type Result struct {
	Model      string    `json:"model"`
	Against    string    `json:"against,omitempty"` // the model that it is set against
	Parameters int64     `json:"parameters"`
	Measures   []Measure `json:"measures"`
}

// A Measure is one figure of a model.
type Measure struct {
	Task   string `json:"task"`
	Metric string `json:"metric"`
	Items  int    `json:"items"`
	Interval
	WinRate *Interval `json:"win_rate,omitempty"` // share of the items on which it is better than the model that it is set against
}

// An Interval is a value with its interval of confidence; Low and High are equal where there is none.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Open reads a report folder. A folder without any of the files has an empty report.
func Open(dir string) (*Report, error) {
	r := &Report{}
	text, err := os.ReadFile(filepath.Join(dir, summaryName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var shown []string
	r.Title, r.Blocks, shown = blocksOf(string(text), dir)
	r.Blocks = folded(r.Blocks)
	drawings, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.svg"))
	if err != nil {
		return nil, err
	}
	var more Figures
	for _, path := range drawings { // in order of their names
		if name := filepath.Base(path); !slices.Contains(shown, name) {
			more = append(more, figureOf(dir, name, strings.TrimSuffix(name, ".svg")))
		}
	}
	if more != nil {
		r.Blocks = append(r.Blocks, more)
	}
	data, err := os.ReadFile(filepath.Join(dir, resultsName))
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &r.Results); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, resultsName), err)
	}
	return r, nil
}

// escapeGlob keeps the characters of a path from being read as a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// figureOf reads a drawing of a folder.
func figureOf(dir, name, alt string) Figure {
	f := Figure{Name: name, Alt: alt}
	if filepath.IsLocal(name) {
		f.SVG, _ = os.ReadFile(filepath.Join(dir, name)) // what is not there is said where it is shown
	}
	return f
}

// CurvesOf draws what a step that works, or has failed, has recorded so far.
func CurvesOf(c *steps.Course) (Figures, error) {
	metrics, err := recorded.Read(c.Metrics)
	if err != nil || len(metrics) == 0 {
		return nil, err
	}
	var figures Figures
	for _, curves := range c.Curves {
		if chart := metrics.Chart(&curves); len(chart.Series) > 0 {
			figures = append(figures, Figure{Name: curves.File, Alt: curves.Title, SVG: chart.SVG()})
		}
	}
	return figures, nil
}
