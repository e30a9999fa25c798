package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// A Report is all that one run of the program found.
type Report struct {
	Machine  string            `json:"machine"`
	Load     []string          `json:"load"` // averages over 1, 5 and 15 minutes, before and after
	Versions map[string]string `json:"versions"`
	Peers    bool              `json:"peers"` // whether there was an interpreter for them
	Clock    string            `json:"clock"` // "wall" or "cpu"
	Rounds   int               `json:"rounds"`
	Results  []Result          `json:"results"`
}

// print writes the report as the options want it.
func (r *Report) print(w io.Writer, o options) error {
	if o.json {
		to := json.NewEncoder(w)
		to.SetIndent("", "  ")
		return to.Encode(r)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(r.Versions)) {
		if name != "cpu" { // the machine's line has it
			lines = append(lines, name+" "+r.Versions[name])
		}
	}
	fmt.Fprintf(w, "Machine: %s; load %s.\n\nVersions: %s. Medians of %d rounds by the %s clock; lowest–highest in brackets.\n",
		r.Machine, strings.Join(r.Load, " → "), strings.Join(lines, ", "), r.Rounds, r.Clock)
	if !r.Peers {
		fmt.Fprintf(w, "\nThe peers are left out: there was no Python interpreter (--python, $%s).\n", pythonVariable)
	}
	for _, t := range r.tables() {
		if _, err := io.WriteString(w, t.render(o.markdown)); err != nil {
			return err
		}
	}
	return nil
}

// A table is rows of cells below a header.
type table struct {
	title string
	rows  [][]string
	notes []string
}

// tables has one table for each part, number of threads and precision.
func (r *Report) tables() []table {
	type group struct {
		part, precision string
		threads         int
	}
	var order []group
	groups := map[group][]Result{}
	for _, result := range r.Results {
		g := group{result.Part, result.Precision, result.Threads}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], result)
	}
	var list []table
	for _, g := range order {
		list = append(list, speeds(groups[g]))
		if memory, ok := memories(groups[g]); ok {
			list = append(list, memory)
		}
	}
	return list
}

// speeds shows Athanor's speed, its share of the limit and, for each peer, its speed and how many times faster Athanor
// is.
func speeds(results []Result) table {
	first := results[0]
	t := table{title: title(first, first.Unit)}
	header := []string{first.Part, first.Entries[0].Name}
	if first.Entries[0].Share != nil {
		header = append(header, "of the limit")
	}
	peers := peerNames(results)
	for _, name := range peers {
		header = append(header, name, "Athanor is")
	}
	t.rows = append(t.rows, header)
	for _, r := range results {
		own := r.Entries[0]
		row := []string{r.Name, figure(own.Speed.Median)}
		if own.Share != nil {
			row = append(row, fmt.Sprintf("%.2f", own.Share.Median))
		}
		for _, name := range peers {
			e := r.entry(name)
			if e.Skipped != "" {
				t.notes = append(t.notes, fmt.Sprintf("%s: %s is left out: %s", r.Name, e.Name, e.Skipped))
			}
			if e.Speed == nil {
				row = append(row, "–", "–")
				continue
			}
			row = append(row, figure(e.Speed.Median), fmt.Sprintf("×%.2f (%.2f–%.2f)", e.Ratio.Median, e.Ratio.Low, e.Ratio.High))
		}
		t.rows = append(t.rows, row)
	}
	if first.Part == "gemm" {
		t.rows = append(t.rows, means(results))
	}
	return t
}

// peerNames are those of the entrants of any of the results but the first.
func peerNames(results []Result) (names []string) {
	for _, r := range results {
		for _, e := range r.Entries[1:] {
			if !slices.Contains(names, e.Name) {
				names = append(names, e.Name)
			}
		}
	}
	return names
}

// entry is the entrant called name, or an empty one.
func (r Result) entry(name string) Entry {
	for _, e := range r.Entries {
		if e.Name == name {
			return e
		}
	}
	return Entry{}
}

// means is the geometric mean of each column of speeds, and the least of the shapes' ratios in brackets.
func means(results []Result) []string {
	mean := func(value func(Result) float64) float64 {
		sum := 0.0
		for _, r := range results {
			sum += math.Log(value(r))
		}
		return math.Exp(sum / float64(len(results)))
	}
	row := []string{
		"geometric mean", figure(mean(func(r Result) float64 { return r.Entries[0].Speed.Median })),
		fmt.Sprintf("%.2f", mean(func(r Result) float64 { return r.Entries[0].Share.Median })),
	}
	for i := 1; i < len(results[0].Entries); i++ {
		least := math.Inf(1)
		for _, r := range results {
			if r.Entries[i].Skipped != "" {
				return append(row, "–", "–")
			}
			least = min(least, r.Entries[i].Ratio.Median)
		}
		row = append(row, figure(mean(func(r Result) float64 { return r.Entries[i].Speed.Median })),
			fmt.Sprintf("×%.2f (worst %.2f)", mean(func(r Result) float64 { return r.Entries[i].Ratio.Median }), least))
	}
	return row
}

// memories shows the peak memory of each entrant, where it was measured.
func memories(results []Result) (table, bool) {
	first := results[0]
	t := table{title: title(first, "peak memory in MiB (× Athanor's share of it)")}
	header := []string{first.Part}
	for _, e := range first.Entries {
		header = append(header, e.Name)
	}
	t.rows = append(t.rows, header)
	known := false
	for _, r := range results {
		row := []string{r.Name}
		own := r.Entries[0].PeakBytes
		for i, e := range r.Entries {
			cell := "–"
			if e.PeakBytes > 0 {
				known = true
				cell = figure(float64(e.PeakBytes) / (1 << 20))
				if i > 0 {
					cell += fmt.Sprintf(" (×%.2f)", float64(own)/float64(e.PeakBytes))
				}
			}
			row = append(row, cell)
		}
		t.rows = append(t.rows, row)
	}
	return t, known
}

func title(r Result, what string) string {
	doc := ""
	for _, p := range parts {
		if p.name == r.Part {
			doc = p.doc
		}
	}
	threads := "1 thread"
	if r.Threads > 1 {
		threads = fmt.Sprintf("%d threads", r.Threads)
	}
	if r.Precision != "" {
		threads = r.Precision + ", " + threads
	}
	return fmt.Sprintf("%s, %s, %s", strings.ToUpper(doc[:1])+doc[1:], threads, what)
}

// figure writes a number with three digits or all that are before the point.
func figure(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// render writes the table for a terminal or as Markdown.
func (t table) render(markdown bool) string {
	var b strings.Builder
	if markdown {
		fmt.Fprintf(&b, "\n### %s\n\n", t.title)
		for i, row := range t.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
			if i == 0 {
				b.WriteString("|---|" + strings.Repeat("--:|", len(row)-1) + "\n")
			}
		}
	} else {
		fmt.Fprintf(&b, "\n%s\n", t.title)
		widths := make([]int, len(t.rows[0]))
		for _, row := range t.rows {
			for i, cell := range row {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
		for _, row := range t.rows {
			fmt.Fprintf(&b, "  %-*s", widths[0], row[0])
			for i, cell := range row[1:] {
				fmt.Fprintf(&b, "  %*s", widths[i+1], cell)
			}
			b.WriteString("\n")
		}
	}
	for _, note := range t.notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return b.String()
}
