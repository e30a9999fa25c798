package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"athanor/engine/internal/exec"
	"athanor/engine/internal/plan"
	"athanor/steps"
)

// Exit codes. Scripts depend on them.
const (
	exitFailed      = 1   // a step failed, or the engine could not do its work
	exitInvalid     = 2   // bad invocation or invalid pipeline
	exitGate        = 3   // a gate or a require did not hold
	exitBusy        = 4   // plan --detailed-exitcode: something would run
	exitInterrupted = 130 // Ctrl-C
)

// app is the command with the step types that it knows.
type app struct {
	types   []steps.Type
	out     io.Writer // data
	err     io.Writer // diagnostics
	started bool      // a subcommand has accepted its arguments

	stateDir string // of the pipeline, once it is known
}

func newApp(types []steps.Type) *app {
	return &app{types: types, out: os.Stdout, err: os.Stderr}
}

// exitError ends the command with a code. Its message, if any, is shown to the user.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// invalid is an error of the invocation.
func invalid(format string, args ...any) error {
	return &exitError{exitInvalid, fmt.Errorf(format, args...)}
}

// run executes the command and returns its exit code.
func (a *app) run(args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	code := exitFailed
	exit, argument := (*exitError)(nil), (*plan.ArgumentError)(nil)
	switch {
	case errors.As(err, &exit):
		code = exit.code
		if exit.err == nil {
			return code // everything has been said
		}
	case errors.As(err, &argument):
		code, err = exitInvalid, argument
	case !a.started:
		code = exitInvalid
		err = fmt.Errorf("%w\nRun '%s --help' for how to use it.", err, cmd.CommandPath())
	}
	fmt.Fprintln(a.err, "Error:", err)
	if exec.DiskFull(err) {
		fmt.Fprintln(a.err, exec.RoomAdvice(a.stateDir))
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "engine",
		Short: "Train language models by recipe",
		Long: `One HCL file describes the whole recipe, and one command, engine run, carries it out:
step by step, cached, resumable, on the CPU.

Exit codes: 0 done, 1 a step failed, 2 bad invocation or invalid pipeline, 3 a gate or a require did not hold,
4 something would run (plan --detailed-exitcode), 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			a.started = true
		},
	}
	root.AddCommand(
		a.initCommand(), a.validateCommand(), a.fmtCommand(), a.planCommand(), a.runCommand(),
		a.showCommand(), a.whyCommand(), a.graphCommand(), a.runsCommand(), a.logsCommand(), a.reportCommand(),
		a.stepsCommand(), a.storeCommand(), a.exportCommand(), a.chatCommand(), a.versionCommand(), a.workerCommand(),
	)
	return root
}

// printJSON writes data for programs.
func (a *app) printJSON(v any) error { return writeJSON(a.out, v) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format, args...)
	return err
}
