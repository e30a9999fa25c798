package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"athanor/dsl"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/engine/internal/store"
	"athanor/engine/internal/ui"
	"athanor/steps"
)

// projectFlags are the flags of every command that reads a pipeline.
type projectFlags struct {
	vars     []string
	varFiles []string
	state    string
	device   string
	complete bool // every variable needs a value: to run, not to look
}

func (f *projectFlags) bind(cmd *cobra.Command) {
	f.bindState(cmd)
	cmd.Flags().StringVar(&f.device, "device", "auto", "the device of the run: auto, cpu, cuda or cuda:N")
}

func (f *projectFlags) bindState(cmd *cobra.Command) {
	f.bindVars(cmd)
	cmd.Flags().StringVar(&f.state, "state", "", "folder for results and history (default: .engine beside the pipeline)")
}

func (f *projectFlags) bindVars(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "set a variable: NAME=VALUE (repeatable)")
	cmd.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "read variables from a file (repeatable)")
}

// project is a pipeline that has been read, and, once opened, what earlier runs left behind.
type project struct {
	app     *app
	path    string // as given
	source  *dsl.Source
	program *dsl.Program
	state   plan.State
	dir     string // of the state
	device  string
}

// load reads a pipeline and checks what can be checked without its state. What is wrong has been shown when it returns
// an error.
func (a *app) load(path string, f *projectFlags) (*project, error) {
	p, diags, err := a.read(path, f)
	if err != nil {
		return nil, err
	}
	if err := p.report(diags); err != nil {
		return nil, err
	}
	return p, nil
}

// read is load without showing: it returns what is wrong with the pipeline.
func (a *app) read(path string, f *projectFlags) (*project, hcl.Diagnostics, error) {
	p := &project{app: a, path: path, dir: f.state, device: steps.ResolveDevice(f.device)}
	vars := map[string]string{}
	for _, v := range f.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return nil, nil, invalid("--var %s: write --var NAME=VALUE", v)
		}
		vars[name] = value
	}
	types, err := plan.Language(a.types)
	if err != nil {
		return nil, nil, err
	}
	var diags hcl.Diagnostics
	p.source, diags = dsl.Parse(path)
	if diags.HasErrors() {
		return p, diags, nil
	}
	program, more := p.source.Load(dsl.Options{
		Types: types, Vars: vars, VarFiles: f.varFiles, Env: os.Environ(), Partial: !f.complete, Pipeline: plan.Settings{},
	})
	diags = append(diags, more...)
	if diags.HasErrors() {
		return p, diags, nil
	}
	p.program = program
	if p.dir == "" {
		p.dir = filepath.Join(program.Dir, ".engine")
	}
	return p, diags, nil
}

// open opens the state. Close it.
func (p *project) open() error {
	p.app.stateDir = p.dir
	s, err := store.Open(p.dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: results and history cannot be kept there; name a folder that can be written with --state FOLDER", err)
	}
	if err != nil {
		return err
	}
	j, err := journal.Open(filepath.Join(p.dir, "runs.db"))
	if err != nil {
		return errors.Join(err, s.Close())
	}
	if j.SetAside != "" {
		fmt.Fprintf(p.app.err, "warning: the history of earlier runs was damaged: it is now %s, and a new one begins. Results are not touched, but store gc no longer knows what earlier runs used.\n", j.SetAside)
	}
	p.state = plan.State{Store: s, Journal: j}
	return nil
}

func (p *project) close() error {
	if p.state.Store == nil {
		return nil
	}
	return errors.Join(p.state.Journal.Close(), p.state.Store.Close())
}

// plan makes the plan. What is wrong with the pipeline has been shown when it returns an error.
func (p *project) plan(o plan.Options) (*plan.Plan, error) {
	// All that a plan makes lives until it is shown: looking for garbage meanwhile would take a tenth of its time.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	o.Types = p.app.types
	o.Offers = func(attribute string) ([]string, error) { return steps.Offers(p.device, attribute) }
	made, diags, err := plan.Make(p.program, p.state, o)
	if e := p.report(diags); e != nil {
		return nil, e
	}
	return made, err
}

// report shows diagnostics and returns an error if there is one among them.
func (p *project) report(diags hcl.Diagnostics) error {
	if len(diags) == 0 {
		return nil
	}
	if err := p.show(diags); err != nil {
		return err
	}
	if diags.HasErrors() {
		return &exitError{code: exitInvalid}
	}
	return nil
}

// show writes diagnostics with the source lines that they are about.
func (p *project) show(diags hcl.Diagnostics) error {
	style := ui.StyleOf(p.app.err)
	return p.source.WriteDiagnostics(p.app.err, diags, style.Width, style.Color)
}

// withState loads a pipeline, opens its state, and calls do.
func (a *app) withState(path string, f *projectFlags, do func(*project) error) (err error) {
	p, err := a.load(path, f)
	if err != nil {
		return err
	}
	if err := p.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return do(p)
}

// withPlan loads, opens and plans, and calls do.
func (a *app) withPlan(path string, f *projectFlags, o plan.Options, do func(*project, *plan.Plan) error) error {
	return a.withState(path, f, func(p *project) error {
		made, err := p.plan(o)
		if err != nil {
			return err
		}
		return do(p, made)
	})
}

// completeAddress offers the addresses of the pipeline in the current folder to a shell.
func (a *app) completeAddress(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault // files
	}
	return a.addresses(".")
}

// completeSteps offers the addresses of the pipeline on the command line as values of a flag.
func (a *app) completeSteps(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	path, _ := takePipeline(args, 0)
	names, _ := a.addresses(path)
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) addresses(path string) ([]string, cobra.ShellCompDirective) {
	p, diags, err := a.read(path, &projectFlags{})
	if err != nil || diags.HasErrors() {
		return nil, cobra.ShellCompDirectiveDefault
	}
	made, err := plan.Order(p.program, plan.Options{Types: a.types})
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	names := make([]string, len(made.Steps))
	for i, s := range made.Steps {
		names[i] = s.Name()
	}
	return names, cobra.ShellCompDirectiveDefault
}

// completeFlags makes a shell offer addresses for --target and --force, and devices for --device.
func (a *app) completeFlags(cmd *cobra.Command) {
	for _, name := range []string{"target", "force"} {
		_ = cmd.RegisterFlagCompletionFunc(name, a.completeSteps) // fails only without the flag
	}
	_ = cmd.RegisterFlagCompletionFunc("device", cobra.FixedCompletions([]string{"auto", "cpu", "cuda"}, cobra.ShellCompDirectiveNoFileComp))
}

// takePipeline separates the optional pipeline from n other arguments. It may stand first or last: first it must look
// like a path. Without one it is the current folder.
func takePipeline(args []string, n int) (path string, rest []string) {
	switch {
	case len(args) <= n:
		return ".", args
	case isPath(args[0]):
		return args[0], args[1:]
	}
	return args[n], args[:n]
}

func isPath(arg string) bool {
	if strings.HasSuffix(arg, ".hcl") {
		return true
	}
	_, err := os.Stat(arg)
	return err == nil
}

// oneStep finds the single step of an address.
func oneStep(p *plan.Plan, name string) (*plan.Step, error) {
	found, err := p.Find(name)
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		names := make([]string, len(found))
		for i, s := range found {
			names[i] = s.Name()
		}
		return nil, invalid("%s stands for several steps: name one of %s", name, strings.Join(names, ", "))
	}
	return found[0], nil
}
