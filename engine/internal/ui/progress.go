package ui

import (
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"athanor/engine/internal/exec"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/steps"
)

// Progress shows a run while it happens.
type Progress struct {
	w     io.Writer
	style Style

	mu      sync.Mutex
	running []*row // in order of start
	drawn   int    // live lines on the screen
	done    chan struct{}
	stopped sync.WaitGroup
}

// row is one running step.
type row struct {
	step     *plan.Step
	started  time.Time
	printed  time.Time // plain output: when it was last told about
	progress steps.Event
	metrics  map[string]float64
	at       int64 // the step of the metrics
}

const (
	redraw = 100 * time.Millisecond
	// quiet is how often a plain output tells about a running step: a log of a week's run must stay readable.
	quiet = 10 * time.Second
)

// NewProgress starts to show a run on w. Call Close at its end.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{w: w, style: StyleOf(w), done: make(chan struct{})}
	if p.style.Live {
		p.stopped.Add(1)
		go p.animate()
	}
	return p
}

// Close takes the live lines away.
func (p *Progress) Close() {
	close(p.done)
	p.stopped.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// Aside lets say write to the same terminal without tearing the live lines.
func (p *Progress) Aside(say func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
	say()
	p.draw()
}

func (p *Progress) animate() {
	defer p.stopped.Done()
	tick := time.NewTicker(redraw)
	defer tick.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-tick.C:
			p.mu.Lock()
			p.erase()
			p.draw()
			p.mu.Unlock()
		}
	}
}

// Update shows what has happened. It may be called from several goroutines.
func (p *Progress) Update(u exec.Update) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.Step == nil {
		p.print(p.style.paint(yellow, "warning: "+u.Note))
		return
	}
	if u.Event != nil {
		p.event(u)
		return
	}
	name := u.Step.Name()
	switch u.State {
	case journal.Running:
		if u.Note != "" {
			p.print(fmt.Sprintf("%s: %s", name, u.Note))
			return
		}
		p.running = append(p.running, &row{step: u.Step, started: u.Time, printed: u.Time})
		text := fmt.Sprintf("%s: running (%s)", name, u.Step.Reason)
		if u.Step.Resumes {
			text += ", from its last checkpoint"
		}
		p.print(text)
	case journal.Pending:
		p.drop(u.Step)
		if u.Note != "" {
			p.print(fmt.Sprintf("%s: %s", name, u.Note))
		}
	default:
		p.drop(u.Step)
		p.print(p.ended(u))
	}
}

// ended is the last line about a step.
func (p *Progress) ended(u exec.Update) string {
	text := fmt.Sprintf("%s: %s", u.Step.Name(), p.style.state(u.State))
	switch u.State {
	case journal.Done, journal.Cached:
		if u.State == journal.Done {
			text += " in " + Duration(u.Seconds)
		}
		if u.Note != "" {
			text += ", but a requirement does not hold"
		}
	case journal.Failed, journal.Interrupted:
		if u.Seconds > 0 {
			text += " after " + Duration(u.Seconds)
		}
	case journal.Skipped:
		if u.Step.Action == plan.Skipped {
			text += " (" + u.Step.Reason + ")"
		} else {
			text += " (something that it depends on failed)"
		}
	}
	return text
}

func (p *Progress) drop(step *plan.Step) {
	for i, r := range p.running {
		if r.step == step {
			p.running = append(p.running[:i], p.running[i+1:]...)
			return
		}
	}
}

// event takes in what a worker says.
func (p *Progress) event(u exec.Update) {
	var r *row
	for _, candidate := range p.running {
		if candidate.step == u.Step {
			r = candidate
		}
	}
	if r == nil {
		return
	}
	switch u.Event.Kind {
	case steps.EventWarn:
		p.print(p.style.paint(yellow, fmt.Sprintf("%s: warning: %s", u.Step.Name(), u.Event.Message)))
	case steps.EventMetric:
		r.at = u.Event.Step
		if _, ok := u.Event.Metrics["loss"]; ok || len(r.metrics) == 0 { // held-out figures do not push the loss away
			r.metrics = u.Event.Metrics
		}
	case steps.EventProgress:
		r.progress = *u.Event
		if len(u.Event.Metrics) > 0 {
			r.metrics = u.Event.Metrics
		}
		if !p.style.Live && u.Time.Sub(r.printed) >= quiet {
			r.printed = u.Time
			p.print(r.line())
		}
	}
}

// print writes a line that stays, above the live ones.
func (p *Progress) print(line string) {
	p.erase()
	// There is nobody to tell that the terminal has gone; the run goes on.
	_, _ = fmt.Fprintln(p.w, line)
	p.draw()
}

func (p *Progress) erase() {
	if p.drawn > 0 {
		_, _ = fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn)
		p.drawn = 0
	}
}

func (p *Progress) draw() {
	if !p.style.Live {
		return
	}
	columns := p.style.columns()
	var b strings.Builder
	for _, r := range p.running {
		line := []rune(r.line())
		if len(line) > columns-1 {
			line = append(line[:max(columns-2, 0)], '…') // a wrapped line could not be taken away again
		}
		b.WriteString(string(line) + "\n")
	}
	p.drawn = len(p.running)
	_, _ = io.WriteString(p.w, b.String())
}

// line tells how far a step is: "pretrain.base: 38%, step 120, 1.20M of 3.15M tokens, loss 3.41,
// 5.2k tokens/s (45% of float32 peak), 6m left".
func (r *row) line() string {
	var parts []string
	e := r.progress
	if e.Total > 0 {
		parts = append(parts, fmt.Sprintf("%.0f%%", 100*min(e.Done/e.Total, 1)))
	}
	if r.at > 0 {
		parts = append(parts, fmt.Sprintf("step %d", r.at))
	}
	if e.Done > 0 || e.Total > 0 {
		text := Count(e.Done)
		if e.Total > 0 {
			text += " of " + Count(e.Total)
		}
		parts = append(parts, strings.TrimSpace(text+" "+e.Unit))
	}
	shown := figures(r.metrics)
	if _, ok := r.metrics["loss"]; ok {
		parts, shown = append(parts, shown[0]), shown[1:]
	}
	if e.Rate > 0 {
		rate := strings.TrimSpace(Count(e.Rate) + " " + e.Unit + "/s")
		if e.OfPeak > 0 {
			rate += fmt.Sprintf(" (%.0f%% of float32 peak)", 100*e.OfPeak)
		}
		parts = append(parts, rate)
	}
	switch {
	case e.Rate > 0 && e.Total > e.Done:
		parts = append(parts, Duration((e.Total-e.Done)/e.Rate)+" left")
	case e.Kind == "":
		parts = append(parts, "running for "+Duration(time.Since(r.started).Seconds()))
	}
	parts = append(parts, shown...) // last, since a narrow terminal cuts the line
	return r.step.Name() + ": " + strings.Join(parts, ", ")
}

// figures picks what a line has room for: the loss first, then a few others by name.
func figures(metrics map[string]float64) []string {
	const most = 3
	names := make([]string, 0, len(metrics))
	for name := range metrics {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		if (names[i] == "loss") != (names[j] == "loss") {
			return names[i] == "loss"
		}
		return names[i] < names[j]
	})
	var out []string
	for _, name := range names[:min(len(names), most)] {
		out = append(out, name+" "+Figure(metrics[name]))
	}
	return out
}

// Summary is the last line of a run.
func Summary(r *exec.Result) string {
	var parts []string
	for _, c := range []struct {
		state journal.State
		word  string
	}{
		{journal.Done, "done"}, {journal.Cached, "cached"}, {journal.Failed, "failed"}, {journal.Interrupted, "interrupted"},
		{journal.Skipped, "skipped"}, {journal.Pending, "not started"},
	} {
		if n := r.Count(c.state); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.word))
		}
	}
	if len(parts) == 0 {
		parts = []string{"no steps"}
	}
	head := map[string]string{"done": "Done", "failed": "Failed", "gate": "A condition does not hold", "interrupted": "Interrupted"}[r.Status()]
	return fmt.Sprintf("%s in %s: %s.", head, Duration(r.Seconds), strings.Join(parts, ", "))
}
