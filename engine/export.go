package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
)

func (a *app) exportCommand() *cobra.Command {
	var f projectFlags
	var force bool
	cmd := &cobra.Command{
		Use:   "export ADDRESS DIR [PIPELINE]",
		Short: "Copy an artifact out of the store",
		Long: `Copies the artifact that a step has made into a folder. Of several that a step makes, the one of the
step type's name is meant, or the one that TYPE.NAME.OUTPUT names.`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: a.completeAddress,
		RunE: func(_ *cobra.Command, args []string) error {
			path, rest := takePipeline(args, 2)
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				from, err := p.artifact(made, rest[0], "")
				if err != nil {
					return err
				}
				if err := p.state.Store.Check(from.Digest); err != nil {
					return fmt.Errorf("%w: engine run makes it again", err)
				}
				n, err := copyFolder(from.Path, rest[1], force)
				if err != nil {
					return err
				}
				return a.printf("%s: %d files copied to %s\n", rest[0], n, rest[1])
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "replace files in a folder that is not empty")
	return cmd
}

// artifact finds what TYPE.NAME or TYPE.NAME.OUTPUT has made. kind, if given, chooses among several outputs.
func (p *project) artifact(made *plan.Plan, name, kind string) (artifact, error) {
	step, output, err := splitOutput(made, name)
	if err != nil {
		return artifact{}, err
	}
	var names []string
	for _, o := range step.Type.Outputs {
		if o.IsKind() && (kind == "" || o.Type == kind) && (output == "" || o.Name == output) {
			names = append(names, o.Name)
		}
	}
	what := "artifact"
	if kind != "" {
		what = kind
	}
	switch {
	case len(names) == 0 && output != "":
		return artifact{}, invalid("%s has no %s called %q", step.Name(), what, output)
	case len(names) == 0:
		return artifact{}, invalid("%s makes no %s", step.Name(), what)
	case len(names) > 1 && slices.Contains(names, step.Type.Name): // a dataset's dataset, not its report
		names = []string{step.Type.Name}
	case len(names) > 1:
		return artifact{}, invalid("%s makes several artifacts: name one of %s.%s", step.Name(), step.Name(), strings.Join(names, ", "+step.Name()+"."))
	}
	if step.Action != plan.Cached {
		return artifact{}, fmt.Errorf("%s has no result for the pipeline as it is now (%s: %s): engine run makes it", step.Name(), step.Action, step.Reason)
	}
	o := step.Made.Outputs[names[0]]
	return artifactJSON(p.state.Store, o.Kind, o.Digest)
}

// splitOutput reads TYPE.NAME or TYPE.NAME.OUTPUT.
func splitOutput(made *plan.Plan, name string) (*plan.Step, string, error) {
	step, err := oneStep(made, name)
	if err == nil {
		return step, "", nil
	}
	if i := strings.LastIndexByte(name, '.'); i > strings.IndexByte(name, '.') {
		if step, e := oneStep(made, name[:i]); e == nil {
			return step, name[i+1:], nil
		}
	}
	return nil, "", err
}

// copyFolder copies files; it never links, so that the copy can be changed.
func copyFolder(from, to string, force bool) (int, error) {
	entries, err := os.ReadDir(to)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	if len(entries) > 0 && !force {
		return 0, invalid("%s is not empty: choose another folder, or --force", to)
	}
	n := 0
	err = filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o777)
		}
		n++
		return copyFile(path, filepath.Join(to, rel))
	})
	return n, err
}

// copyFile copies through a temporary name, so that a full disk leaves no half file under the right one.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.CreateTemp(filepath.Dir(to), ".export-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Chmod(0o644)
	}
	if err = errors.Join(err, dst.Close()); err == nil {
		err = os.Rename(dst.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(dst.Name()))
	}
	return nil
}
