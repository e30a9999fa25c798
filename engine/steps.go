package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"athanor/dsl"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps"
)

func (a *app) stepsCommand() *cobra.Command {
	var asJSON, markdown bool
	cmd := &cobra.Command{
		Use:   "steps [TYPE]",
		Short: "Document the step types: what a recipe can say",
		Args:  cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, t := range a.types {
				names = append(names, t.Name)
			}
			names = append(names, pipelineBlock)
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			types := a.types
			switch {
			case len(args) == 1 && args[0] == pipelineBlock:
				return a.documentPipeline(asJSON, markdown)
			case len(args) == 1:
				t := a.stepType(args[0])
				if t == nil {
					return invalid("there is no step type %q: engine steps lists them", args[0])
				}
				types = []steps.Type{*t}
			}
			docs := make([]stepDoc, 0, len(types))
			for _, t := range types {
				d, err := documentType(t)
				if err != nil {
					return err
				}
				docs = append(docs, d)
			}
			switch {
			case asJSON:
				return a.printJSON(map[string]any{"steps": docs})
			case markdown:
				return a.printf("%s", markdownOf(docs))
			case len(args) == 0:
				return a.listTypes(docs)
			}
			return a.printf("%s", docs[0].text(ui.StyleOf(a.out).Width))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print Markdown")
	return cmd
}

// pipelineBlock is no step type, and is documented as one.
const pipelineBlock = "pipeline"

func (a *app) documentPipeline(asJSON, markdown bool) error {
	fields, err := dsl.PipelineFields(plan.Settings{})
	if err != nil {
		return err
	}
	d := stepDoc{Name: pipelineBlock, Doc: "Says what the pipeline is called and what holds for all of it.", Fields: documentFields(fields), Outputs: []outputDoc{}}
	switch {
	case asJSON:
		return a.printJSON(map[string]any{"steps": []stepDoc{d}})
	case markdown:
		return a.printf("%s", markdownOf([]stepDoc{d}))
	}
	return a.printf("%s", d.text(ui.StyleOf(a.out).Width))
}

func (a *app) stepType(name string) *steps.Type {
	for i := range a.types {
		if a.types[i].Name == name {
			return &a.types[i]
		}
	}
	return nil
}

func (a *app) listTypes(docs []stepDoc) error {
	var rows [][]string
	for _, d := range docs {
		rows = append(rows, []string{d.Name, d.Doc})
	}
	return a.printf("%s\nengine steps TYPE documents one of them, engine steps pipeline the pipeline block.\n", ui.Columns(rows))
}

// stepDoc is the reference of a step type. It derives from the type's configuration struct and is written nowhere else.
type stepDoc struct {
	Name    string      `json:"name"`
	Doc     string      `json:"doc"`
	Version int         `json:"version"`
	Fields  []fieldDoc  `json:"fields"`
	Outputs []outputDoc `json:"outputs"`
}

type fieldDoc struct {
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Doc      string     `json:"doc"`
	Default  string     `json:"default,omitempty"`
	Required bool       `json:"required"`
	Block    bool       `json:"block,omitempty"`
	Repeated bool       `json:"repeated,omitempty"`
	Label    bool       `json:"label,omitempty"`
	OneOf    []string   `json:"one_of,omitempty"`
	Min      string     `json:"min,omitempty"`
	Max      string     `json:"max,omitempty"`
	Key      bool       `json:"key"` // part of the cache key
	Fields   []fieldDoc `json:"fields,omitempty"`
}

type outputDoc struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc"`
}

func documentType(t steps.Type) (stepDoc, error) {
	fields, err := dsl.Fields(t.Config)
	if err != nil {
		return stepDoc{}, fmt.Errorf("step type %s: %w", t.Name, err)
	}
	d := stepDoc{Name: t.Name, Doc: t.Doc, Version: t.Version, Fields: documentFields(fields), Outputs: []outputDoc{}}
	for _, o := range t.Outputs {
		d.Outputs = append(d.Outputs, outputDoc{o.Name, o.Type, o.Doc})
	}
	return d, nil
}

func documentFields(fields []dsl.Field) []fieldDoc {
	out := make([]fieldDoc, 0, len(fields))
	for _, f := range fields {
		d := fieldDoc{
			Name: f.Name, Doc: f.Doc, Default: f.Default, Required: f.Required, Block: f.Block, Repeated: f.Repeated, Label: f.Label,
			OneOf: f.OneOf, Min: f.Min, Max: f.Max, Key: !f.Free, Fields: documentFields(f.Fields),
		}
		switch {
		case f.Block:
			d.Type = "block"
		default:
			d.Type = f.Type.FriendlyNameForConstraint()
		}
		out = append(out, d)
	}
	return out
}

// note says what stands beside a field: whether it is required, its default, its bounds.
func (f fieldDoc) note() string {
	var parts []string
	switch {
	case f.Label:
		parts = append(parts, "label")
	case f.Required:
		parts = append(parts, "required")
	case f.Default != "":
		parts = append(parts, "default "+f.Default)
	case !f.Block:
		parts = append(parts, "optional")
	}
	if f.Repeated {
		parts = append(parts, "repeatable")
	}
	if len(f.OneOf) > 0 {
		parts = append(parts, "one of "+strings.Join(f.OneOf, ", "))
	}
	if f.Min != "" {
		parts = append(parts, "at least "+f.Min)
	}
	if f.Max != "" {
		parts = append(parts, "at most "+f.Max)
	}
	if !f.Key {
		parts = append(parts, "does not change the result")
	}
	return strings.Join(parts, ", ")
}

// text is the reference for a terminal, width columns wide.
func (d stepDoc) text(width int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\nAttributes and blocks\n\n", d.Name, ui.Wrap(d.Doc, "    ", width))
	writeFields(&b, d.Fields, "  ", width)
	if len(d.Outputs) > 0 {
		b.WriteString("\nOutputs\n\n")
		for _, o := range d.Outputs {
			fmt.Fprintf(&b, "  %s  %s\n%s", o.Name, o.Type, ui.Wrap(o.Doc, "      ", width))
		}
	}
	b.WriteString("\nEvery step also takes when, for_each, depends_on, seed, timeout, retry and require.\n")
	return b.String()
}

func writeFields(b *strings.Builder, fields []fieldDoc, indent string, width int) {
	for _, f := range fields {
		head := indent + f.Name + "  " + f.Type
		if note := f.note(); note != "" {
			head += " (" + note + ")"
		}
		b.WriteString(head + "\n" + ui.Wrap(f.Doc, indent+"    ", width))
		writeFields(b, f.Fields, indent+"    ", width)
	}
}

func markdownOf(docs []stepDoc) string {
	var b strings.Builder
	for i, d := range docs {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| name | type | meaning |\n|---|---|---|\n", d.Name, d.Doc)
		markdownRows(&b, d.Fields, "")
		if len(d.Outputs) > 0 {
			b.WriteString("\n| output | type | meaning |\n|---|---|---|\n")
			for _, o := range d.Outputs {
				fmt.Fprintf(&b, "| `%s` | %s | %s |\n", o.Name, o.Type, cell(o.Doc))
			}
		}
	}
	return b.String()
}

func markdownRows(b *strings.Builder, fields []fieldDoc, prefix string) {
	for _, f := range fields {
		text := f.Doc
		if note := f.note(); note != "" {
			text = strings.TrimSpace(text + " (" + note + ")")
		}
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", prefix, f.Name, f.Type, cell(text))
		markdownRows(b, f.Fields, prefix+f.Name+".")
	}
}

// cell keeps a text inside its table cell.
func cell(text string) string { return strings.NewReplacer("|", `\|`, "\n", " ").Replace(text) }
