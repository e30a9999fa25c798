package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps"
	"athanor/steps/page"
)

const (
	childrenOpen = 3  // up to so many children are shown without being asked for
	logLines     = 20 // of the log of a step that has not ended well
)

// step is the section of a step: what its report shows, or how far it is.
func (b *pageBuilder) step(s *plan.Step) (*page.Section, error) {
	state := b.states[s]
	out := &page.Section{Title: s.Name(), State: string(state)}
	if w := b.work[s]; w.seconds > 0 {
		out.Aside = ui.Duration(w.seconds)
	}
	shown := false
	var err error
	switch {
	case s.Action == plan.Cached:
		shown, err = b.result(s, out)
	case state != journal.Skipped:
		err = b.unfinished(s, out)
	}
	if err != nil {
		return nil, err
	}
	details, err := b.details(s, !shown, out)
	if err != nil {
		return nil, err
	}
	if len(details) > 0 {
		out.Add(page.Fold{Title: "Details", Blocks: details})
	}
	for _, child := range s.Children {
		section, err := b.step(child)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", child.Name(), err)
		}
		section.Folded = len(s.Children) > childrenOpen
		out.Sections = append(out.Sections, section)
	}
	return out, nil
}

// result shows the reports that a step has made. It reports whether there was anything in them.
func (b *pageBuilder) result(s *plan.Step, out *page.Section) (shown bool, err error) {
	for _, d := range s.Require {
		out.Add(page.Note{Kind: "failed", Text: d.Detail})
	}
	for _, o := range s.Type.Outputs {
		if o.Type != "report" {
			continue
		}
		dir, err := b.p.state.Store.Path(s.Made.Outputs[o.Name].Digest)
		if err != nil {
			return shown, err
		}
		report, err := page.Open(dir)
		if err != nil {
			return shown, err
		}
		b.show(report, out)
		b.models.Add(report.Results, s.Name(), func(model string) string { return b.modelName(s, model) })
		shown = shown || len(report.Blocks) > 0
	}
	return shown, nil
}

// show puts a report into a step's section.
func (b *pageBuilder) show(r *page.Report, out *page.Section) {
	if r.Title != "" && len(r.Blocks) > 0 {
		out.Add(page.Text("*" + page.Plain(r.Title) + "*\n"))
	}
	out.Add(r.Blocks...)
}

// modelName finds out what the model is that a step calls by the name of the attribute which holds it.
func (b *pageBuilder) modelName(s *plan.Step, name string) string {
	if s.Instance == nil {
		return name
	}
	if from, ok := s.Instance.Sources()[name]; ok && s.Instance.Upstream()[name].Kind == "model" {
		return from.String()
	}
	return name
}

// unfinished shows how far a step is that has no result: why it failed, the report that it left, or its curves so far.
func (b *pageBuilder) unfinished(s *plan.Step, out *page.Section) error {
	record := b.records[s.Name()]
	if record == nil || s.Key == "" || record.Key != s.Key {
		if s.Reason != "" {
			out.Add(page.Note{Kind: "note", Text: fmt.Sprintf("To do: %s (%s).", s.Action, s.Reason)})
		}
		return nil
	}
	if record.Error != "" && b.states[s] == journal.Failed {
		out.Add(page.Note{Kind: "failed", Text: record.Error})
	}
	work := b.p.state.Store.WorkDir(s.Key)
	course, err := steps.ReadCourse(work)
	if err != nil {
		return err
	}
	if course.Unfinished != "" && b.states[s] == journal.Failed {
		report, err := page.Open(course.Unfinished)
		if err != nil {
			return err
		}
		b.show(report, out)
	} else {
		curves, err := page.CurvesOf(course)
		if err != nil {
			return err
		}
		if len(curves) > 0 {
			out.Add(curves)
		}
	}
	return b.log(work, out)
}

// log shows the end of a step's log.
func (b *pageBuilder) log(work string, out *page.Section) error {
	text, err := os.ReadFile(filepath.Join(work, "log.txt"))
	if errors.Is(err, fs.ErrNotExist) || len(text) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(strings.ToValidUTF8(string(text), "\uFFFD"), "\n"), "\n")
	title := "Log"
	if n := len(lines); n > logLines {
		lines, title = lines[n-logLines:], fmt.Sprintf("Log, the last %d of %d lines", logLines, n)
	}
	out.Add(page.Fold{Title: title, Blocks: []page.Block{page.Code{Text: strings.Join(lines, "\n")}}})
	return nil
}

// details say what a step has made, of what, when and where. The values stand in the open where no report has shown what
// there is to say.
func (b *pageBuilder) details(s *plan.Step, open bool, out *page.Section) ([]page.Block, error) {
	var blocks []page.Block
	if s.Action == plan.Cached {
		values, artifacts, err := b.outputTables(s)
		if err != nil {
			return nil, err
		}
		if open && len(values.Rows) > 0 {
			out.Add(values)
			values.Rows = nil
		}
		for _, t := range []page.Table{values, artifacts} {
			if len(t.Rows) > 0 {
				blocks = append(blocks, t)
			}
		}
		says := "Made " + clock(s.Made.Created)
		if s.Made.Host != "" {
			says += " on " + s.Made.Host
		}
		if s.Made.Device != "" {
			says += ", " + s.Made.Device
		}
		blocks = append(blocks, page.Text(page.Plain(fmt.Sprintf("%s, by engine %s. Key %.16s.", says, s.Made.Engine, s.Key))+"\n"))
	}
	if s.Material != nil {
		var config bytes.Buffer
		if err := json.Indent(&config, s.Material.Config, "", "  "); err != nil {
			return nil, fmt.Errorf("its configuration: %w", err)
		}
		blocks = append(blocks, page.Code{Language: "json", Text: config.String()})
	}
	return blocks, nil
}

// outputTables list the outputs of a step: values, and artifacts by their folders.
func (b *pageBuilder) outputTables(s *plan.Step) (values, artifacts page.Table, err error) {
	var set map[string]json.RawMessage
	if err := json.Unmarshal(s.Made.Values, &set); err != nil {
		return values, artifacts, fmt.Errorf("its values: %w", err)
	}
	values.Head, artifacts.Head = []string{"", ""}, []string{"", ""}
	for _, o := range s.Type.Outputs {
		if !o.IsKind() {
			values.Rows = append(values.Rows, []string{page.Plain(o.Name), page.Verbatim(string(set[o.Name]))})
			continue
		}
		path, err := b.p.state.Store.Path(s.Made.Outputs[o.Name].Digest)
		if err != nil {
			return values, artifacts, err
		}
		artifacts.Rows = append(artifacts.Rows, []string{page.Plain(o.Name), page.Verbatim(path)})
	}
	return values, artifacts, nil
}
