package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
)

func (a *app) graphCommand() *cobra.Command {
	var f projectFlags
	var targets []string
	var format, output string
	cmd := &cobra.Command{
		Use:   "graph [PIPELINE]",
		Short: "Draw which step depends on which",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			draw, ok := map[string]func(io.Writer, *plan.Plan) error{"dot": ui.DOT, "svg": ui.SVG, "json": a.graphJSON}[format]
			if !ok {
				return invalid("--format %s: dot, svg or json", format)
			}
			path, _ := takePipeline(args, 0)
			p, err := a.load(path, &f)
			if err != nil {
				return err
			}
			made, err := plan.Order(p.program, plan.Options{Types: a.types, Targets: targets})
			if err != nil {
				return err
			}
			if output == "" {
				return draw(a.out, made)
			}
			return writeTo(output, func(w io.Writer) error { return draw(w, made) })
		},
	}
	f.bindVars(cmd)
	cmd.Flags().StringArrayVar(&targets, "target", nil, "draw only this step and what it depends on (repeatable)")
	cmd.Flags().StringVar(&format, "format", "dot", "dot, svg or json")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return cmd
}

// graphJSON lists every step with those that it needs.
func (a *app) graphJSON(w io.Writer, p *plan.Plan) error {
	type vertex struct {
		Address string   `json:"address"`
		Needs   []string `json:"needs"`
	}
	list := make([]vertex, 0, len(p.Steps))
	for _, s := range p.Steps {
		v := vertex{s.Name(), make([]string, 0, len(s.Needs))}
		for _, need := range s.Needs {
			v.Needs = append(v.Needs, need.Name())
		}
		list = append(list, v)
	}
	return writeJSON(w, map[string]any{"steps": list})
}

func writeTo(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		_ = file.Close()
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
