package page

import (
	"fmt"
	"strconv"
	"strings"
)

// Models collects what models have come to, wherever it was measured, for one table.
type Models struct {
	columns []*column
	rows    []measured
}

// A column is a model.
type column struct {
	name       string
	parameters int64
	measures   map[measured]Interval
}

// measured is what a row of the table is about.
type measured struct{ task, metric string }

// Add adds results. name says what a model is to be called; from tells one of two with equal names from the other.
func (m *Models) Add(results []Result, from string, name func(model string) string) {
	for _, r := range results {
		c := m.column(name(r.Model), from, &r)
		for _, x := range r.Measures {
			m.enter(c, measured{x.Task, x.Metric}, x.Interval)
			if x.WinRate != nil {
				m.enter(c, measured{x.Task, x.Metric + ", better than " + name(r.Against)}, *x.WinRate)
			}
		}
	}
}

func (m *Models) enter(c *column, row measured, v Interval) {
	c.measures[row] = v
	if !m.has(row) {
		m.rows = append(m.rows, row)
	}
}

// column finds the column for a result, or makes one: a model that was measured twice has one column unless the two
// contradict each other.
func (m *Models) column(name, from string, r *Result) *column {
	for again := false; ; again = true {
		var have *column
		for _, c := range m.columns {
			if c.name == name {
				have = c
			}
		}
		if have == nil {
			have = &column{name: name, parameters: r.Parameters, measures: map[measured]Interval{}}
			m.columns = append(m.columns, have)
			return have
		}
		if have.parameters == r.Parameters && have.agrees(r) || again {
			return have
		}
		name += " (" + from + ")"
	}
}

func (c *column) agrees(r *Result) bool {
	for _, x := range r.Measures {
		if old, ok := c.measures[measured{x.Task, x.Metric}]; ok && old != x.Interval {
			return false
		}
	}
	return true
}

func (m *Models) has(row measured) bool {
	for _, r := range m.rows {
		if r == row {
			return true
		}
	}
	return false
}

// Section is the table, side by side; nil if nothing was measured.
func (m *Models) Section() *Section {
	if len(m.rows) == 0 {
		return nil
	}
	t := Table{Head: []string{""}, Right: []bool{false}}
	sizes := []string{"parameters"}
	for _, c := range m.columns {
		t.Head = append(t.Head, Plain(c.name))
		t.Right = append(t.Right, true)
		sizes = append(sizes, grouped(c.parameters))
	}
	t.Rows = append(t.Rows, sizes)
	for _, row := range m.rows {
		cells := []string{Plain(row.task + ": " + strings.ReplaceAll(row.metric, "_", " "))}
		for _, c := range m.columns {
			x, ok := c.measures[row]
			if !ok {
				cells = append(cells, "–")
				continue
			}
			cells = append(cells, x.text())
		}
		t.Rows = append(t.Rows, cells)
	}
	return &Section{Title: "Models side by side", Blocks: []Block{
		t, Text("In brackets: the interval that holds the true value with 95 % confidence, as far as it depends on the choice of items.\n"),
	}}
}

// text leaves the interval out where there is none.
func (m Interval) text() string {
	value := func(v float64) string {
		if v >= 1000 || v <= -1000 {
			return strconv.FormatFloat(v, 'g', 4, 64)
		}
		return strings.TrimPrefix(strconv.FormatFloat(v, 'f', 4, 64), minusNothing(v))
	}
	if m.Low == m.High {
		return value(m.Value)
	}
	const space = "\u00a0" // the interval is not to be broken
	return fmt.Sprintf(`%s *\[%s,%s%s\]*`, value(m.Value), value(m.Low), space, value(m.High))
}

// minusNothing is the sign of a value that is 0 as it is written.
func minusNothing(v float64) string {
	if v > -0.00005 {
		return "-"
	}
	return ""
}

// grouped writes a count with commas.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
