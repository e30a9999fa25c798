package main

import (
	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
)

func (a *app) validateCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "validate [PIPELINE]",
		Short: "Check a pipeline without running anything",
		Long: `Checks everything that can be checked from the text alone: syntax, names, types, references, cycles, and what the
step types demand of their configuration. It reads no data and no results; engine plan also looks at those.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			if asJSON {
				return a.validateJSON(path, &f)
			}
			p, err := a.load(path, &f)
			if err != nil {
				return err
			}
			diags, err := plan.Validate(p.program, a.types)
			if err != nil {
				return err
			}
			if err := p.report(diags); err != nil {
				return err
			}
			return a.printf("%s is valid: %d steps.\n", p.program.Name, len(p.program.Steps))
		},
	}
	f.bindVars(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what is wrong as JSON")
	return cmd
}

// validateJSON prints {"valid", "diagnostics"}.
func (a *app) validateJSON(path string, f *projectFlags) error {
	p, diags, err := a.read(path, f)
	if err != nil {
		return err
	}
	if !diags.HasErrors() {
		more, err := plan.Validate(p.program, a.types)
		if err != nil {
			return err
		}
		diags = append(diags, more...)
	}
	valid := !diags.HasErrors()
	err = a.printJSON(map[string]any{"valid": valid, "diagnostics": p.source.JSON(diags)})
	if err == nil && !valid {
		err = &exitError{code: exitInvalid}
	}
	return err
}
