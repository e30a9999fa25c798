package dataset

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"athanor/steps/internal/corpus"
)

// A report is the artifact in which a person sees what was dropped and why. It is no part of the dataset: what is shown
// there must not make anything below run again.
type report struct {
	dir    string
	config *Config
	filter Filter // with the limits of its rules
	drops  map[string]*drops

	linesBytes int64
	common     []commonLine

	evaluations *evaluations
	found       map[int]int64 // documents dropped, by the evaluation that they share words with
	file        *os.File      // decontaminated.jsonl; nil without decontaminate
	lines       *bufio.Writer
}

// drops is what one filter has dropped.
type drops struct {
	documents, bytes int64
	examples         []example
	random           *rand.Rand
}

// An example is one dropped document, as a line of examples.jsonl.
type example struct {
	Filter string `json:"filter"`
	Where  string `json:"where"`
	Figure string `json:"figure,omitempty"`
	Text   string `json:"text"` // its beginning
	number int64
}

// How much is shown of each filter.
const (
	examplesShown = 5
	exampleChars  = 400
)

func newReport(dir string, c *Config, sc *screen) (*report, error) {
	r := &report{dir: dir, config: c, filter: sc.Filter, drops: map[string]*drops{}, evaluations: sc.evaluations, found: map[int]int64{}}
	if sc.evaluations != nil {
		f, err := os.Create(filepath.Join(dir, "decontaminated.jsonl"))
		if err != nil {
			return nil, err
		}
		r.file, r.lines = f, bufio.NewWriter(f)
	}
	return r, nil
}

// drop counts a dropped document. Which ones are shown is drawn evenly from all (reservoir sampling), by numbers that
// depend on nothing but the filter's name, so that the same sources give the same report.
func (r *report) drop(name, where string, d *corpus.Document, figure string) {
	of := r.drops[name]
	if of == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(name)) // cannot fail
		of = &drops{random: rand.New(rand.NewPCG(1, h.Sum64()))}
		r.drops[name] = of
	}
	of.documents++
	of.bytes += int64(d.Bytes())
	e := example{Filter: name, Where: where, Figure: figure, number: of.documents}
	if len(of.examples) < examplesShown {
		of.examples = append(of.examples, e)
	} else if at := of.random.Int64N(of.documents); at < examplesShown {
		of.examples[at] = e
	} else {
		return
	}
	i := slices.IndexFunc(of.examples, func(x example) bool { return x.number == e.number })
	of.examples[i].Text = excerpt(whole(d), exampleChars)
}

// contaminated notes a document that shares words with an evaluation set.
func (r *report) contaminated(where string, m *match) error {
	r.found[m.evaluation]++
	line, err := json.Marshal(struct {
		Where string `json:"where"`
		evaluation
		Text string `json:"text"`
	}{where, r.evaluations.where[m.evaluation], m.text})
	if err == nil {
		_, err = r.lines.Write(append(line, '\n'))
	}
	return err
}

func (r *report) abort() {
	if r.file != nil {
		_ = r.file.Close() // the folder is thrown away
	}
}

// write finishes the artifact.
func (r *report) write(s *corpus.Stats) error {
	if r.file != nil {
		if err := errors.Join(r.lines.Flush(), r.file.Close()); err != nil {
			return err
		}
	}
	var examples, summary strings.Builder
	for _, name := range r.names() {
		for _, e := range r.shown(name) {
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			examples.Write(append(line, '\n'))
		}
	}
	r.summary(&summary, s)
	for name, text := range map[string]string{"examples.jsonl": examples.String(), "summary.md": summary.String()} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// names lists the filters that the recipe asks for, in the order in which they are looked at.
func (r *report) names() []string {
	all := slices.Insert(slices.Clone(dropNames), slices.Index(dropNames, dropNear), "duplicate")
	return slices.DeleteFunc(all, func(name string) bool { return r.drops[name] == nil && r.limit(name) == "" })
}

// dropped is what a filter has dropped; nothing if it was never heard of.
func (r *report) dropped(name string) *drops {
	if d := r.drops[name]; d != nil {
		return d
	}
	return &drops{}
}

// shown lists the examples of a filter in their order.
func (r *report) shown(name string) []example {
	examples := r.dropped(name).examples
	slices.SortFunc(examples, func(a, b example) int { return cmp.Compare(a.number, b.number) })
	return examples
}

// limit is what the recipe, or a rule that it names, sets for a filter; "" if nothing.
func (r *report) limit(name string) string {
	switch dedup := r.config.Dedup; {
	case name == dropEvaluation && r.config.Decontaminate != nil:
		return fmt.Sprintf("%d words in a row", r.config.Decontaminate.Ngram)
	case name == "duplicate" && dedup != nil && dedup.Exact:
		return "equal"
	case name == dropNear && dedup != nil && dedup.Near != nil:
		return fmt.Sprintf("%g", *dedup.Near)
	case name == dropLines && dedup != nil && dedup.Lines != nil:
		return fmt.Sprintf("%d times", *dedup.Lines)
	case name == dropMatching && len(r.filter.DropMatching) > 0:
		return "`" + strings.ReplaceAll(strings.Join(r.filter.DropMatching, "` `"), "|", "\\|") + "`"
	case name == dropMatching:
		return ""
	}
	data, err := json.Marshal(r.filter)
	if err != nil {
		return ""
	}
	var settings map[string]any
	if json.Unmarshal(data, &settings) != nil || settings[name] == nil {
		return ""
	}
	switch v := settings[name].(type) {
	case float64:
		return fmt.Sprintf("%.10g", v)
	case map[string]any:
		var parts []string
		for _, key := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, fmt.Sprintf("%s: %v", key, v[key]))
		}
		slices.SortStableFunc(parts, func(a, b string) int { return cmp.Compare(strings.Index(a, ":"), strings.Index(b, ":")) }) // 10 after 9
		return strings.Join(parts, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// summary writes the page.
func (r *report) summary(w *strings.Builder, s *corpus.Stats) {
	share := func(n int64) string { return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(max(s.Records, 1))) }
	fmt.Fprintf(w, "# What was kept and what was dropped\n\n%d records were read, %d documents are kept.\n\n", s.Records, s.Kept)
	fmt.Fprintf(w, "| | limit | documents | of all | bytes |\n|---|---|---:|---:|---:|\n")
	for _, name := range r.names() {
		d := r.dropped(name)
		fmt.Fprintf(w, "| `%s` | %s | %d | %s | %d |\n", name, r.limit(name), d.documents, share(d.documents), d.bytes)
	}
	if s.BadRecords > 0 {
		fmt.Fprintf(w, "| no documents | | %d | %s | |\n", s.BadRecords, share(s.BadRecords))
	}
	if s.BeyondLimit > 0 {
		fmt.Fprintf(w, "| beyond the limit | | %d | %s | |\n", s.BeyondLimit, share(s.BeyondLimit))
	}
	bytes := int64(0)
	for _, split := range s.Splits {
		bytes += split.Bytes
	}
	fmt.Fprintf(w, "| kept | | %d | %s | %d |\n", s.Kept, share(s.Kept), bytes)
	if s.Needles > 0 {
		fmt.Fprintf(w, "\n%d facts are planted in the documents to train on, each of them twice or more.\n", s.Needles)
	}
	r.removedLines(w, s)
	r.evaluationsFound(w)
	for _, name := range r.names() {
		examples := r.shown(name)
		if len(examples) == 0 {
			continue
		}
		what := "All that it dropped."
		if n := r.drops[name].documents; n > examplesShown {
			what = fmt.Sprintf("%d of %d, drawn at random.", examplesShown, n)
		}
		fmt.Fprintf(w, "\n## %s\n\n%s\n", name, what)
		for _, e := range examples {
			fmt.Fprintf(w, "\n**%s**", e.Where)
			if e.Figure != "" {
				fmt.Fprintf(w, ": %s", oneLine(e.Figure))
			}
			fence := fenceFor(e.Text)
			fmt.Fprintf(w, "\n\n%s\n%s\n%s\n", fence, strings.TrimRight(e.Text, "\n"), fence)
		}
	}
}

// removedLines shows the lines that stood too often.
func (r *report) removedLines(w *strings.Builder, s *corpus.Stats) {
	if s.LinesRemoved == 0 {
		return
	}
	fmt.Fprintf(w, "\n## Lines that stand too often\n\n%d lines, %d bytes, were removed from documents that stay. The most frequent:\n\n| times | line |\n|---:|---|\n",
		s.LinesRemoved, r.linesBytes)
	for _, c := range r.common {
		fmt.Fprintf(w, "| %d | `%s` |\n", c.Times, strings.NewReplacer("`", "'", "|", "\\|").Replace(excerpt(oneLine(c.Line), 120)))
	}
}

// evaluationsFound shows which documents of the evaluation sets were found most often: one that is found everywhere is a
// common phrase and no leak.
func (r *report) evaluationsFound(w *strings.Builder) {
	if len(r.found) == 0 {
		return
	}
	var at []int
	for i := range r.found {
		at = append(at, i)
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Or(cmp.Compare(r.found[b], r.found[a]), cmp.Compare(a, b)) })
	fmt.Fprintf(w, "\n## Evaluation documents found in the data\n\n%d of %d; all that was dropped for them is in decontaminated.jsonl.\n\n| documents dropped | for |\n|---:|---|\n",
		len(at), len(r.evaluations.where))
	for _, i := range at[:min(len(at), 20)] {
		fmt.Fprintf(w, "| %d | %s |\n", r.found[i], r.evaluations.where[i])
	}
}

// likeness says how much a document is like an earlier one.
func likeness(similarity float64, earlier string) string {
	return fmt.Sprintf("%.3f like %s, which stays", similarity, earlier)
}

// excerpt is the beginning of a text, as valid UTF-8.
func excerpt(text string, chars int) string {
	if len(text) > 4*chars+4 {
		text = text[:4*chars+4]
	}
	text = strings.ToValidUTF8(text, "\uFFFD")
	for i := range text {
		if chars--; chars < 0 {
			return text[:i] + "…"
		}
	}
	return text
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// fenceFor is a row of tildes that the text does not hold.
func fenceFor(text string) string {
	fence := "~~~"
	for strings.Contains(text, fence) {
		fence += "~"
	}
	return fence
}
