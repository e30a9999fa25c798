package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
)

func (a *app) logsCommand() *cobra.Command {
	var f projectFlags
	var follow bool
	cmd := &cobra.Command{
		Use:               "logs ADDRESS [PIPELINE]",
		Short:             "Print a step's log",
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, rest := takePipeline(args, 1)
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				step, err := oneStep(made, rest[0])
				if err != nil {
					return err
				}
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
				defer stop()
				return p.log(ctx, step, follow)
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on printing while the step runs")
	return cmd
}

// log prints the log of the step as it is configured now or, if that has none, of its latest attempt.
func (p *project) log(ctx context.Context, s *plan.Step, follow bool) error {
	record, _, err := p.latest(s.Name())
	if err != nil {
		return err
	}
	keys := []string{s.Key}
	if record != nil {
		keys = append(keys, record.Key)
	}
	for _, key := range keys {
		if key == "" {
			continue
		}
		file, err := os.Open(filepath.Join(p.state.Store.WorkDir(key), "log.txt"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		defer file.Close()
		return p.copyLog(ctx, file, s.Name(), follow)
	}
	return fmt.Errorf("%s has no log: it has not run yet", s.Name())
}

func (p *project) copyLog(ctx context.Context, file io.Reader, address string, follow bool) error {
	for last := false; ; {
		n, err := io.Copy(p.app.out, file)
		if err != nil || !follow || last {
			return err
		}
		if n > 0 {
			continue
		}
		record, run, err := p.latest(address)
		if err != nil {
			return err
		}
		if record == nil || record.State != journal.Running || runStatus(*run) != "running" {
			last = true // what was written since the last look
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}
