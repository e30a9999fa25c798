package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/ui"
)

func (a *app) runsCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	var limit int
	var run int64
	cmd := &cobra.Command{
		Use:   "runs [PIPELINE]",
		Short: "List earlier runs, or the steps of one",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			return a.withState(path, &f, func(p *project) error {
				if run > 0 {
					return p.listSteps(run, asJSON)
				}
				return p.listRuns(limit, asJSON)
			})
		},
	}
	f.bindState(cmd)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many runs to list; 0 for all")
	cmd.Flags().Int64Var(&run, "run", 0, "list the steps of the run with this number")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *project) listRuns(limit int, asJSON bool) error {
	runs, err := p.state.Journal.Runs(limit)
	if err != nil {
		return err
	}
	for i := range runs {
		runs[i].Status = runStatus(runs[i])
	}
	if asJSON {
		return p.app.printJSON(map[string]any{"runs": append([]journal.Run{}, runs...)})
	}
	if len(runs) == 0 {
		return p.app.printf("No runs yet.\n")
	}
	rows := [][]string{{"RUN", "STARTED", "STATUS", "TIME", "COMMAND"}}
	for _, r := range runs {
		took := ""
		if !r.Ended.IsZero() {
			took = ui.Duration(r.Ended.Sub(r.Started).Seconds())
		}
		rows = append(rows, []string{fmt.Sprint(r.ID), clock(r.Started), r.Status, took, "engine " + strings.Join(r.Args, " ")})
	}
	return p.app.printf("%s", ui.Columns(rows))
}

func (p *project) listSteps(run int64, asJSON bool) error {
	records, err := p.state.Journal.Steps(run)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return invalid("there is no run %d: engine runs lists them", run)
	}
	if asJSON {
		return p.app.printJSON(map[string]any{"steps": records})
	}
	rows := [][]string{{"STEP", "STATE", "TIME", "WHY"}}
	for _, r := range records {
		took := ""
		if r.Seconds > 0 {
			took = ui.Duration(r.Seconds)
		}
		why := r.Reason
		if r.Error != "" {
			why = r.Error
		}
		rows = append(rows, []string{r.Address, string(r.State), took, why})
	}
	return p.app.printf("%s", ui.Columns(rows))
}

// runStatus is a run's status, corrected for engines that were killed and could not record their end.
func runStatus(r journal.Run) string {
	host, err := os.Hostname()
	if r.Status != "running" || err != nil || r.Host != host {
		return r.Status
	}
	if errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH) {
		return "killed"
	}
	return r.Status
}

func clock(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
