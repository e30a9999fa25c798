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
			if format != "dot" && format != "svg" {
				return invalid("--format %s: dot or svg", format)
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
			draw := ui.DOT
			if format == "svg" {
				draw = ui.SVG
			}
			if output == "" {
				return draw(a.out, made)
			}
			return writeTo(output, func(w io.Writer) error { return draw(w, made) })
		},
	}
	f.bindVars(cmd)
	cmd.Flags().StringArrayVar(&targets, "target", nil, "draw only this step and what it depends on (repeatable)")
	cmd.Flags().StringVar(&format, "format", "dot", "dot or svg")
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return cmd
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
