// Package report is the step type report: one page of what other steps have found, as an artifact, HTML and Markdown.
//
// The page holds what follows from the artifacts that the block names and from nothing else: no times, no machine, no
// history. So equal inputs give equal bytes, and the page is cached as they are. What a run took and how far it is, the
// command engine report adds, which shows the whole pipeline.
//
// How a page is made, and what form a report has, is package page's business.
package report

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/page"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "report",
	Doc:     "Puts the reports of other steps on one page, with a table of the models that they have measured.",
	Version: 1,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "report", Type: "report", Doc: "report.html, one file that loads nothing; report.md with its figures in the folder figures."},
	},
	Files: files,
	Check: check,
	Run:   run,
}

// Config is what a report block holds.
type Config struct {
	Title    string           `json:"title" default:"\"Report\"" doc:"The title of the page."`
	Text     string           `json:"text" default:"\"\"" doc:"Markdown to stand below the title."`
	Sections []Section        `json:"section" hcl:"block" doc:"A part of the page, under a title of its own."`
	Reports  []steps.Artifact `json:"reports" kind:"report" optional:"true" doc:"Reports to add after the sections, each under its own title."`
	Recipe   []string         `json:"recipe" hcl:"path" doc:"Files whose text is added at the end: those of the pipeline."`
}

// Section is a report under a title.
type Section struct {
	Title  string         `json:"title" hcl:"label"`
	Report steps.Artifact `json:"report" kind:"report" doc:"The report, or a step that has one."`
	Text   string         `json:"text" default:"\"\"" doc:"Markdown to stand above it."`
}

func files(s *steps.Spec) ([]string, error) {
	var c Config
	err := s.Decode(&c)
	return c.Recipe, err
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if len(c.Sections)+len(c.Reports) == 0 {
		return steps.Blame("", "there is nothing to report: add a block section with the report of a step, or reports = [pretrain.base, evaluate.final]")
	}
	return nil
}

func run(_ context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	built, err := c.page(rt)
	if err != nil {
		return err
	}
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	const figuresName = "figures"
	text, figures := built.Markdown(figuresName)
	out := map[string][]byte{"report.html": built.HTML(), "report.md": text}
	for name, svg := range figures {
		out[filepath.Join(figuresName, name)] = svg
	}
	if err := os.MkdirAll(filepath.Join(dir, figuresName), 0o777); err != nil {
		return err
	}
	for name, data := range out {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			return fmt.Errorf("writing the page: %w", err)
		}
	}
	return nil
}

// page gathers the reports.
func (c *Config) page(rt *steps.Runtime) (*page.Page, error) {
	var models page.Models
	var parts []*page.Section
	add := func(at, title, text, dir string) error {
		r, err := page.Open(dir)
		if err != nil {
			return steps.Blame(at, "%w", err)
		}
		if title == "" {
			title = r.Title
		}
		if title == "" {
			title = fmt.Sprintf("Report %d", len(parts)+1)
		}
		s := &page.Section{Title: title}
		if text != "" {
			s.Add(page.Text(text))
		}
		s.Add(r.Blocks...)
		parts = append(parts, s)
		models.Add(r.Results, title, func(model string) string {
			if model == mainModel {
				return title
			}
			return model
		})
		return nil
	}
	for i, s := range c.Sections {
		if err := add(fmt.Sprintf("section[%d].report", i), s.Title, s.Text, s.Report.Path); err != nil {
			return nil, err
		}
	}
	for i, r := range c.Reports {
		if err := add(fmt.Sprintf("reports[%d]", i), "", "", r.Path); err != nil {
			return nil, err
		}
	}
	p := &page.Page{Title: c.Title}
	if c.Text != "" {
		p.Sections = append(p.Sections, &page.Section{Title: "Overview", Blocks: []page.Block{page.Text(c.Text)}})
	}
	if table := models.Section(); table != nil {
		p.Sections = append(p.Sections, table)
	}
	p.Sections = append(p.Sections, parts...)
	recipe, err := c.recipe(rt)
	if recipe != nil {
		p.Sections = append(p.Sections, recipe)
	}
	return p, err
}

// mainModel is what a step calls the model of its attribute model: on the page it has the title of its section.
const mainModel = "model"

// recipe is the text of the files.
func (c *Config) recipe(rt *steps.Runtime) (*page.Section, error) {
	if len(c.Recipe) == 0 {
		return nil, nil
	}
	s := &page.Section{Title: "The recipe", Folded: true}
	for i, path := range c.Recipe {
		text, err := os.ReadFile(rt.Resolve(path))
		if err != nil {
			return nil, steps.Blame(fmt.Sprintf("recipe[%d]", i), "%w", err)
		}
		if !utf8.Valid(text) {
			return nil, steps.Blame(fmt.Sprintf("recipe[%d]", i), "%s is not text in UTF-8", path)
		}
		language := strings.TrimPrefix(filepath.Ext(path), ".")
		s.Add(page.Code{Language: language, Text: string(text)})
	}
	return s, nil
}
