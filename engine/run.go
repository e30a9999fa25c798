package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"athanor/engine/internal/exec"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps"
)

type runFlags struct {
	projectFlags
	targets   []string
	force     []string
	parallel  int
	threads   int
	keepGoing bool
	json      bool
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run [PIPELINE]",
		Short: "Run a pipeline; run it again to resume",
		Long: `Runs every step whose result is not in the store, in order, and prints the pipeline's outputs.

After an interruption, a crash or a failure, the same command goes on from the last checkpoints. Ctrl-C once saves
checkpoints and stops; twice stops at once.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			return a.runPipeline(cmd.Context(), path, &f)
		},
	}
	f.bind(cmd)
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "run only this step and what it depends on (repeatable)")
	cmd.Flags().StringArrayVar(&f.force, "force", nil, "run this step even if it is cached (repeatable)")
	cmd.Flags().IntVar(&f.parallel, "parallel", 1, "steps to run side by side")
	cmd.Flags().IntVar(&f.threads, "threads", 0, "CPU threads of a step; never changes a result (default: all)")
	cmd.Flags().BoolVar(&f.keepGoing, "keep-going", false, "after a failure, run what does not depend on it")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object per event")
	a.completeFlags(cmd)
	return cmd
}

func (f *runFlags) check() error {
	if f.parallel < 1 {
		return invalid("--parallel %d: at least one step has to run at a time", f.parallel)
	}
	if f.threads < 0 {
		return invalid("--threads %d: give a number of threads, or 0 for all", f.threads)
	}
	if f.device = steps.ResolveDevice(f.device); f.device == "cpu" {
		return nil
	}
	d, err := steps.OpenDevice(f.device, f.threads)
	if err != nil {
		return &exitError{exitInvalid, fmt.Errorf("--device %s: %w", f.device, err)}
	}
	return d.Close()
}

func (a *app) runPipeline(ctx context.Context, path string, f *runFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	f.complete = true
	return a.withPlan(path, &f.projectFlags, plan.Options{Targets: f.targets, Force: f.force}, func(p *project, made *plan.Plan) error {
		return p.run(ctx, made, f)
	})
}

// run carries the plan out and tells how it went.
func (p *project) run(ctx context.Context, made *plan.Plan, f *runFlags) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	host, _ := os.Hostname() // for the record only
	id, err := p.state.Journal.Begin(journal.Run{
		Pipeline: p.program.Name, Path: p.program.Path(), Args: os.Args[1:], PID: os.Getpid(), Host: host, Engine: build(), Started: time.Now(),
	})
	if err != nil {
		return err
	}
	notify, aside, finish := p.observer(f.json)
	ctx, kill, stop := p.signals(ctx, aside)
	defer stop()
	result, err := exec.Run(ctx, exec.Options{
		Plan: made, State: p.state, Run: id, Command: []string{executable, "worker"}, Image: image(), Engine: build(),
		Parallel: f.parallel, Device: f.device, Threads: f.threads, KeepGoing: f.keepGoing, Kill: kill, Notify: notify,
	})
	finish()
	if err != nil {
		return errors.Join(err, p.state.Journal.End(id, "failed", exitFailed))
	}
	told := p.tell(made, result, f)
	// The history is an aid: a run that has done its work does not fail for it.
	if err := p.state.Journal.End(id, result.Status(), result.Exit()); err != nil {
		fmt.Fprintln(p.app.err, "warning:", err)
	}
	if told != nil {
		return told
	}
	if code := result.Exit(); code != 0 {
		return &exitError{code: code}
	}
	return nil
}

// image is this very program where the system can name it: the steps of a long run shall be run by what has planned
// them, though a newer engine may have been built in its place meanwhile. Empty elsewhere.
func image() string {
	const self = "/proc/self/exe" // Linux
	if _, err := os.Stat(self); err != nil {
		return ""
	}
	return self
}

// signals returns a context that ends at the first request to stop and one that ends at the second.
// aside lets a message out between the lines of progress.
func (p *project) signals(parent context.Context, aside func(func())) (ctx, kill context.Context, stop func()) {
	ctx, cancel := context.WithCancel(parent)
	kill, cancelKill := context.WithCancel(context.WithoutCancel(parent))
	ch := make(chan os.Signal, 2)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		if _, ok := <-ch; !ok {
			return
		}
		aside(func() {
			fmt.Fprintln(p.app.err, "\nStopping: saving checkpoints. Press Ctrl-C again to stop at once.")
		})
		cancel()
		if _, ok := <-ch; !ok {
			return
		}
		cancelKill()
	}()
	return ctx, kill, func() {
		signal.Stop(ch)
		close(ch)
		cancel()
		cancelKill()
	}
}

// observer shows updates as they come: for people, or as JSON lines.
func (p *project) observer(asJSON bool) (notify func(exec.Update), aside func(func()), finish func()) {
	if !asJSON {
		progress := ui.NewProgress(p.app.out)
		return progress.Update, progress.Aside, progress.Close
	}
	var mu sync.Mutex
	enc := json.NewEncoder(p.app.out)
	return func(u exec.Update) {
		mu.Lock()
		defer mu.Unlock()
		line := map[string]any{"time": u.Time}
		if u.Step != nil {
			line["address"], line["state"] = u.Step.Name(), u.State
			if u.Event == nil && u.Step.Reason != "" {
				line["reason"] = u.Step.Reason
			}
		}
		if u.Event != nil {
			line["event"] = u.Event
		}
		if u.Note != "" {
			line["note"] = u.Note
		}
		if u.Seconds > 0 {
			line["seconds"] = u.Seconds
		}
		_ = enc.Encode(line) // nobody may be listening; the run goes on
	}, func(say func()) { say() }, func() {}
}

// tell ends the report of a run: root causes, a summary, and the pipeline's outputs.
func (p *project) tell(made *plan.Plan, result *exec.Result, f *runFlags) error {
	outputs, diags, err := p.outputs(made)
	if err != nil {
		return err
	}
	result.Diags = append(result.Diags, diags...)
	result.Failed = result.Failed || diags.HasErrors()
	if f.json {
		return p.tellJSON(outputs, result)
	}
	if err := p.app.printf("%s\n", ui.Summary(result)); err != nil {
		return err
	}
	if len(result.Diags) > 0 {
		if err := p.show(result.Diags); err != nil {
			return err
		}
	}
	if result.Interrupted {
		_, err := fmt.Fprintf(p.app.err, "\nTo go on from the last checkpoints:\n\n    %s\n", commandLine())
		return err
	}
	return p.printOutputs(outputs)
}

func (p *project) tellJSON(outputs []output, result *exec.Result) error {
	values := map[string]any{}
	for _, o := range outputs {
		values[o.name] = o.json
	}
	return json.NewEncoder(p.app.out).Encode(map[string]any{
		"time": time.Now(), "status": result.Status(), "exit": result.Exit(), "seconds": result.Seconds,
		"steps": result.States, "outputs": values, "diagnostics": p.source.JSON(result.Diags),
	})
}

// commandLine is how this process was started, for the user to repeat.
func commandLine() string {
	words := make([]string, len(os.Args))
	for i, arg := range os.Args {
		words[i] = shellWord(arg)
	}
	if strings.Contains(words[0], "/go-build") { // go run has put it there, and removes it
		words[0] = "go run ./engine"
	}
	return strings.Join(words, " ")
}

// shellWord quotes a word where a shell would not leave it alone.
func shellWord(word string) string {
	if word == "" || strings.ContainsAny(word, " \t\n'\"$&|;<>()*?[]{}#~`!\\") {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}
