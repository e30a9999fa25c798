package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
	"athanor/steps/page"
)

func (a *app) reportCommand() *cobra.Command {
	var f projectFlags
	var output string
	var price float64
	cmd := &cobra.Command{
		Use:   "report [PIPELINE]",
		Short: "Write what the pipeline has done as one page, HTML and Markdown",
		Long: `Writes one page about the pipeline: the graph of its steps, what each has done and how far it is, curves, figures, samples,
a table of its models, conditions, times and the recipe itself. It may be asked for at any time: steps that run and steps that
have failed are shown as such.

The HTML is one file that loads nothing. The Markdown has its figures in a folder beside it. The same state gives the same
bytes. With -o FILE.html or -o FILE.md only the one is written; with another name, a folder of both.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if price < 0 {
				return invalid("--price %g: a price is not negative", price)
			}
			path, _ := takePipeline(args, 0)
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				built, err := p.page(made, path, price)
				if err != nil {
					return err
				}
				if output == "" {
					output = fileName(p.program.Name) + "-report"
				}
				return p.app.writePage(built, output)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "folder, FILE.html or FILE.md to write (default: a folder NAME-report here)")
	cmd.Flags().Float64Var(&price, "price", 0, "what an hour of the machine costs, in your currency: shows what the steps have cost")
	return cmd
}

// fileName is a pipeline's name as that of a file.
func fileName(name string) string {
	clean := strings.Trim(regexp.MustCompile(`[^\pL\pN._-]+`).ReplaceAllString(name, "-"), "-.")
	if clean == "" {
		return "pipeline"
	}
	return clean
}

// writePage writes the page to where the user wants it and says where that is.
func (a *app) writePage(built *page.Page, output string) error {
	switch filepath.Ext(output) {
	case ".html", ".htm":
		if err := writeAtomically(output, built.HTML()); err != nil {
			return err
		}
		return a.printf("Wrote %s\n", output)
	case ".md":
		figures := strings.TrimSuffix(filepath.Base(output), ".md") + "-figures"
		if err := writeMarkdown(built, output, figures); err != nil {
			return err
		}
		return a.printf("Wrote %s\n", output)
	}
	if err := os.MkdirAll(output, 0o777); err != nil {
		return err
	}
	html, markdown := filepath.Join(output, "report.html"), filepath.Join(output, "report.md")
	if err := writeMarkdown(built, markdown, "figures"); err != nil {
		return err
	}
	if err := writeAtomically(html, built.HTML()); err != nil {
		return err
	}
	return a.printf("Wrote %s and %s\n", html, markdown)
}

// writeMarkdown writes the figures, then the page that shows them, then drops those that only the page before it showed.
func writeMarkdown(built *page.Page, path, folder string) error {
	text, figures := built.Markdown(folder)
	dir := filepath.Join(filepath.Dir(path), folder)
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(figures) > 0 {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		if err := writeAtomically(filepath.Join(dir, name), figures[name]); err != nil {
			return err
		}
	}
	if err := writeAtomically(path, text); err != nil {
		return err
	}
	for _, old := range regexp.MustCompile(`\]\(`+regexp.QuoteMeta(folder)+`/([a-z0-9-]+\.svg)\)`).FindAllSubmatch(before, -1) {
		if name := string(old[1]); figures[name] == nil {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// writeAtomically leaves the old file or the new one, whatever happens.
func writeAtomically(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
