package main

import (
	"github.com/spf13/cobra"

	"athanor/engine/internal/exec"
)

// workerCommand is the other side of a run: it carries out one step. See package exec.
func (a *app) workerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "worker SPEC",
		Short:  "Carry out one step (started by engine run)",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if code := exec.Work(args[0], a.types); code != 0 {
				return &exitError{code: code}
			}
			return nil
		},
	}
}
