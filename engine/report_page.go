package main

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps/page"
)

// runsShown is how many of the latest runs the page lists.
const runsShown = 10

// A pageBuilder gathers what the page of a pipeline shows.
type pageBuilder struct {
	p       *project
	made    *plan.Plan
	price   float64 // of an hour; 0 if not known
	runs    []journal.Run
	records map[string]*journal.StepRecord // the newest of each step, by address
	states  map[*plan.Step]journal.State
	work    map[*plan.Step]effort
	models  page.Models
}

// An effort is what a step has taken, its children included.
type effort struct{ seconds, flops float64 }

// page builds the page of a pipeline as it stands.
func (p *project) page(made *plan.Plan, path string, price float64) (*page.Page, error) {
	b := &pageBuilder{
		p: p, made: made, price: price, records: map[string]*journal.StepRecord{},
		states: map[*plan.Step]journal.State{}, work: map[*plan.Step]effort{},
	}
	if err := b.history(); err != nil {
		return nil, err
	}
	begun := false
	for _, s := range made.Steps {
		var err error
		if b.states[s], err = p.stateOf(s); err != nil {
			return nil, err
		}
		if err := b.measure(s); err != nil {
			return nil, err
		}
		b.adopt(s)
		begun = begun || b.states[s] != journal.Pending && b.states[s] != journal.Skipped
	}
	if !begun {
		return nil, fmt.Errorf("nothing of the pipeline %s, as it is now, has run yet: engine run %s comes first", p.program.Name, shellWord(path))
	}
	var list []*page.Section
	for _, s := range made.Steps {
		if s.Parent != nil {
			continue // it stands in its parent's section
		}
		section, err := b.step(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name(), err)
		}
		list = append(list, section)
	}
	out := &page.Page{Title: p.program.Name, Lead: p.program.Description, Facts: b.facts()}
	outputs, err := b.outputs()
	if err != nil {
		return nil, err
	}
	graph, err := b.graph()
	if err != nil {
		return nil, err
	}
	for _, s := range []*page.Section{
		b.problems(), b.models.Section(), b.conditions(), graph, outputs, {Title: "Steps", Sections: list}, b.latestRuns(), b.recipe(),
	} {
		if s != nil {
			out.Sections = append(out.Sections, s)
		}
	}
	return out, nil
}

// history reads the runs of the pipeline and the newest record of each step.
func (b *pageBuilder) history() error {
	var err error
	if b.runs, err = b.p.state.Journal.RunsOf(b.p.program.Name, b.p.program.Path(), 0); err != nil {
		return err
	}
	for _, run := range b.runs { // newest first
		records, err := b.p.state.Journal.Steps(run.ID)
		if err != nil {
			return err
		}
		for _, r := range records {
			if b.records[r.Address] == nil && r.Key != "" {
				b.records[r.Address] = &r
			}
		}
	}
	return nil
}

// adopt gives a composite step that waits for its parts the state of a part that is at work or has not ended well.
func (b *pageBuilder) adopt(s *plan.Step) {
	if b.states[s] != journal.Pending {
		return
	}
	for _, state := range []journal.State{journal.Failed, journal.Running, journal.Interrupted} {
		for _, child := range s.Children {
			if b.states[child] == state {
				b.states[s] = state
				return
			}
		}
	}
}

// measure adds up what a step has taken, and adds a child's to its parent.
func (b *pageBuilder) measure(s *plan.Step) error {
	var own effort
	if s.Key != "" {
		var err error
		if own.seconds, own.flops, err = b.p.state.Journal.Work(s.Key); err != nil {
			return err
		}
	}
	if s.Action == plan.Cached {
		own.seconds = max(own.seconds, s.Made.Seconds) // the history may have been removed
	}
	all := b.work[s]
	b.work[s] = effort{all.seconds + own.seconds, all.flops + own.flops}
	if s.Parent != nil {
		all := b.work[s.Parent]
		b.work[s.Parent] = effort{all.seconds + own.seconds, all.flops + own.flops}
	}
	return nil
}

// facts are what is to be seen first.
func (b *pageBuilder) facts() []page.Fact {
	count := map[journal.State]int{}
	var all effort
	var devices, engines []string
	total := 0
	add := func(list []string, s string) []string {
		if s == "" || slices.Contains(list, s) {
			return list
		}
		return append(list, s)
	}
	for _, s := range b.made.Steps {
		if s.Action == plan.Cached {
			devices, engines = add(devices, s.Made.Device), add(engines, s.Made.Engine)
		}
		if s.Parent == nil {
			count[b.states[s]]++
			all.seconds, all.flops = all.seconds+b.work[s].seconds, all.flops+b.work[s].flops
			total++
		}
	}
	state := fmt.Sprintf("%d of %d done", count[journal.Done], total)
	for _, other := range []journal.State{journal.Running, journal.Failed, journal.Interrupted, journal.Skipped} {
		if n := count[other]; n > 0 {
			state += fmt.Sprintf(", %d %s", n, other)
		}
	}
	facts := []page.Fact{{Name: "Steps", Value: state}, {Name: "Time of all steps", Value: ui.Duration(all.seconds)}}
	if all.flops > 0 {
		facts = append(facts, page.Fact{Name: "Compute", Value: ui.Count(all.flops) + "FLOP"})
	}
	if cost := b.cost(all.seconds); cost != "" {
		facts = append(facts, page.Fact{Name: fmt.Sprintf("Cost at %g an hour", b.price), Value: cost})
	}
	if len(devices) > 0 {
		facts = append(facts, page.Fact{Name: "Device", Value: strings.Join(devices, "; ")})
	}
	if len(engines) > 0 {
		facts = append(facts, page.Fact{Name: "Engine", Value: strings.Join(engines, ", ")})
	}
	return facts
}

// cost is what the machine's time costs; empty if no price is known.
func (b *pageBuilder) cost(seconds float64) string {
	if b.price == 0 {
		return ""
	}
	cost := seconds / 3600 * b.price
	if cost > 0 && cost < 0.01 {
		return "under 0.01"
	}
	return strconv.FormatFloat(cost, 'f', 2, 64)
}

// problems says what has gone wrong, before all else.
func (b *pageBuilder) problems() *page.Section {
	s := &page.Section{Title: "What has gone wrong"}
	for _, step := range b.made.Steps {
		record := b.records[step.Name()]
		if b.states[step] == journal.Failed && record != nil && record.Error != "" {
			s.Add(page.Note{Kind: "failed", Text: record.Error})
		}
		for _, d := range step.Require {
			s.Add(page.Note{Kind: "failed", Text: fmt.Sprintf("%s: %s", step.Name(), d.Detail)})
		}
	}
	if s.Empty() {
		return nil
	}
	return s
}

// outputs are the pipeline's.
func (b *pageBuilder) outputs() (*page.Section, error) {
	list, _, err := b.p.outputs(b.made) // those that cannot be evaluated are the run's to report
	if err != nil || len(list) == 0 {
		return nil, err
	}
	t := page.Table{Head: []string{"", ""}}
	for _, o := range list {
		t.Rows = append(t.Rows, []string{page.Plain(o.name), page.Verbatim(o.text)})
	}
	return &page.Section{Title: "Outputs", Blocks: []page.Block{t}}, nil
}

// conditions are the require blocks of all steps, and how they came out.
func (b *pageBuilder) conditions() *page.Section {
	t := page.Table{Head: []string{"step", "condition", "outcome"}}
	for _, s := range b.made.Steps {
		if s.Parent != nil {
			continue
		}
		for _, r := range s.Program.Requirements(b.made.Predictor.Known()) {
			outcome := "not known yet"
			if r.Holds.IsKnown() && !r.Holds.IsNull() {
				if outcome = "holds"; r.Holds.False() {
					outcome = "**does not hold:** " + page.Plain(r.Message)
				}
			}
			t.Rows = append(t.Rows, []string{page.Verbatim(s.Name()), page.Verbatim(r.Condition), outcome})
		}
	}
	if len(t.Rows) == 0 {
		return nil
	}
	return &page.Section{Title: "Conditions", Blocks: []page.Block{t}}
}

// graph draws the steps, and lists them with what they took.
func (b *pageBuilder) graph() (*page.Section, error) {
	var drawing bytes.Buffer
	whole := *b.made
	whole.Steps = slices.DeleteFunc(slices.Clone(b.made.Steps), func(s *plan.Step) bool { return s.Parent != nil })
	if err := ui.SVGWith(&drawing, &whole, func(s *plan.Step) journal.State { return b.states[s] }); err != nil {
		return nil, err
	}
	t := page.Table{
		Head:  []string{"step", "state", "time", "compute", "per second"},
		Right: []bool{false, false, true, true, true},
	}
	if b.price > 0 {
		t.Head, t.Right = append(t.Head, "cost"), append(t.Right, true)
	}
	for _, s := range whole.Steps {
		w := b.work[s]
		cells := []string{page.Verbatim(s.Name()), string(b.states[s]), "", "", ""}
		if w.seconds > 0 {
			cells[2] = ui.Duration(w.seconds)
		}
		if w.flops > 0 {
			cells[3] = ui.Count(w.flops) + "FLOP"
		}
		if w.flops > 0 && w.seconds > 0 {
			cells[4] = ui.Count(w.flops/w.seconds) + "FLOP"
		}
		if b.price > 0 {
			cells = append(cells, b.cost(w.seconds))
		}
		t.Rows = append(t.Rows, cells)
	}
	return &page.Section{Title: "The recipe as a graph", Blocks: []page.Block{
		page.Figures{{Name: "graph.svg", Alt: "The steps and what they depend on", SVG: drawing.Bytes(), Wide: true}}, t,
	}}, nil
}

// latestRuns lists the latest runs.
func (b *pageBuilder) latestRuns() *page.Section {
	if len(b.runs) == 0 {
		return nil
	}
	t := page.Table{Head: []string{"run", "started", "ended as", "time", "on", "engine", "command"}, Right: []bool{true, false, false, true}}
	for _, r := range b.runs[:min(runsShown, len(b.runs))] {
		took := ""
		if !r.Ended.IsZero() {
			took = ui.Duration(r.Ended.Sub(r.Started).Seconds())
		}
		words := make([]string, len(r.Args))
		for i, arg := range r.Args {
			words[i] = shellWord(arg)
		}
		t.Rows = append(t.Rows, []string{
			strconv.FormatInt(r.ID, 10), clock(r.Started), runStatus(r), took, page.Plain(r.Host), page.Verbatim(r.Engine),
			page.Verbatim("engine " + strings.Join(words, " ")),
		})
	}
	s := &page.Section{Title: "Runs", Blocks: []page.Block{t}}
	if more := len(b.runs) - runsShown; more > 0 {
		s.Add(page.Text(fmt.Sprintf("and %d before.\n", more)))
	}
	return s
}

// recipe is the source.
func (b *pageBuilder) recipe() *page.Section {
	s := &page.Section{Title: "The recipe", Folded: true}
	for _, name := range b.p.program.Files {
		if len(b.p.program.Files) > 1 {
			s.Add(page.Text(page.Verbatim(name) + "\n"))
		}
		s.Add(page.Code{Language: "hcl", Text: b.p.source.Text(name)})
	}
	return s
}
