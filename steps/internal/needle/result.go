package needle

import (
	"fmt"
	"strconv"
	"strings"

	"athanor/steps/internal/figure"
)

// A Result is what a model found.
type Result struct {
	Lengths []int     `json:"lengths"` // tokens
	Depths  []float64 `json:"depths"`  // 0 is the beginning of the text, 1 its end
	Needles int       `json:"needles"` // of each length and depth
	Found   [][]int   `json:"found"`   // by length, by depth

	Answers []Answer `json:"-"` // by length, depth, needle
}

// An Answer is what a model wrote.
type Answer struct {
	Length   int
	Depth    float64
	Question string
	Value    string // the right answer
	Text     string
	Right    bool
}

// Counts returns how many needles were found, and of how many.
func (r *Result) Counts() (found, of int) {
	for _, row := range r.Found {
		for _, n := range row {
			found += n
			of += r.Needles
		}
	}
	return found, of
}

// Missed are the answers that are wrong.
func (r *Result) Missed() []Answer {
	var missed []Answer
	for _, a := range r.Answers {
		if !a.Right {
			missed = append(missed, a)
		}
	}
	return missed
}

func (a *Answer) String() string {
	return fmt.Sprintf("%d tokens, depth %s: %s … %q, not %q", a.Length, percent(a.Depth), a.Question, a.Text, a.Value)
}

// Share is the share of the needles that were found.
func (r *Result) Share() float64 {
	found, of := r.Counts()
	return float64(found) / float64(max(1, of))
}

// HeatMap draws the grid.
func (r *Result) HeatMap(title string) *figure.HeatMap {
	m := &figure.HeatMap{Title: title, XLabel: "tokens of text", YLabel: "depth of the fact"}
	for _, length := range r.Lengths {
		m.Columns = append(m.Columns, strconv.Itoa(length))
	}
	for d, depth := range r.Depths {
		m.Rows = append(m.Rows, percent(depth))
		var row []float64
		for l := range r.Lengths {
			row = append(row, r.cell(l, d))
		}
		m.Values = append(m.Values, row)
	}
	return m
}

func (r *Result) cell(length, depth int) float64 {
	return float64(r.Found[length][depth]) / float64(r.Needles)
}

// Lines draws the grid for a terminal: a row for each depth, a column for each length.
func (r *Result) Lines() []string {
	row := fmt.Sprintf("%6s", "depth")
	for _, length := range r.Lengths {
		row += fmt.Sprintf(" %7d", length)
	}
	lines := []string{row}
	for d, depth := range r.Depths {
		row := fmt.Sprintf("%6s", percent(depth))
		for l := range r.Lengths {
			row += fmt.Sprintf(" %7s", percent(r.cell(l, d)))
		}
		lines = append(lines, row)
	}
	return lines
}

// Markdown is the grid as a table.
func (r *Result) Markdown() string {
	var b strings.Builder
	b.WriteString("| depth |")
	for _, length := range r.Lengths {
		fmt.Fprintf(&b, " %d tokens |", length)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---|", len(r.Lengths)))
	for d, depth := range r.Depths {
		fmt.Fprintf(&b, "| %s |", percent(depth))
		for l := range r.Lengths {
			fmt.Fprintf(&b, " %s |", percent(r.cell(l, d)))
		}
		b.WriteString("\n")
	}
	found, of := r.Counts()
	fmt.Fprintf(&b, "\n%d of %d needles found.\n", found, of)
	return b.String()
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 0, 64) + " %" }
