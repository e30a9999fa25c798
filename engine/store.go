package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
	"athanor/engine/internal/store"
	"athanor/engine/internal/ui"
)

func (a *app) storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "store",
		Short: "List, verify and clean up stored results",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return invalid("name one of: engine store ls, engine store verify, engine store gc")
		},
	}
	cmd.AddCommand(a.storeListCommand(), a.storeVerifyCommand(), a.storeGCCommand())
	return cmd
}

func (a *app) storeListCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "ls [PIPELINE]",
		Short: "List stored results",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			return a.withState(path, &f, func(p *project) error {
				list, err := p.state.Store.List()
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(map[string]any{"actions": append([]store.Action{}, list...)})
				}
				rows := [][]string{{"KEY", "TYPE", "MADE", "TOOK", "OUTPUTS"}}
				for _, action := range list {
					row := []string{action.Key[:12], action.Type, clock(action.Created), ui.Duration(action.Seconds)}
					for _, name := range sortedNames(action.Outputs) {
						row = append(row, fmt.Sprintf("%s=%.12s", name, action.Outputs[name].Digest))
					}
					rows = append(rows, row)
				}
				return a.printf("%s", ui.Columns(rows))
			})
		},
	}
	f.bindState(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) storeVerifyCommand() *cobra.Command {
	var f projectFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [PIPELINE]",
		Short: "Hash every stored byte and name what is damaged",
		Long: `Hashes every stored byte. What is damaged is named and set aside, and the next run makes it again. Exits with 1 if
anything is damaged.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			return a.withState(path, &f, func(p *project) error {
				ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
				defer stop()
				found, err := p.state.Store.Verify(ctx)
				if ctx.Err() != nil {
					return &exitError{exitInterrupted, errors.New("interrupted")}
				}
				if err != nil {
					return err
				}
				return a.printDamage(found, asJSON)
			})
		},
	}
	f.bindState(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) printDamage(found []store.Damage, asJSON bool) error {
	if asJSON {
		if err := a.printJSON(map[string]any{"damaged": append([]store.Damage{}, found...)}); err != nil {
			return err
		}
	} else {
		for _, d := range found {
			if err := a.printf("%s %s: %s\n", d.Reason, d.Object, d.Path); err != nil {
				return err
			}
			for _, user := range d.UsedBy {
				if err := a.printf("    used by %s\n", user); err != nil {
					return err
				}
			}
		}
		text := "Everything is as it was stored.\n"
		if len(found) > 0 {
			text = fmt.Sprintf("%d damaged. The next run makes what it needs again.\n", len(found))
		}
		if err := a.printf("%s", text); err != nil {
			return err
		}
	}
	if len(found) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (a *app) storeGCCommand() *cobra.Command {
	var f projectFlags
	var asJSON, dry bool
	var keepRuns int
	cmd := &cobra.Command{
		Use:   "gc [PIPELINE]",
		Short: "Remove results that the pipeline no longer needs",
		Long: `Keeps the results that the pipeline uses as it is now and those that the latest runs used, of this pipeline and of
each other in the same state; removes the others, and the work in flight for them. It refuses while another engine uses
the store.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, _ := takePipeline(args, 0)
			f.complete = true // what is not known could not be kept
			return a.withPlan(path, &f, plan.Options{}, func(p *project, made *plan.Plan) error {
				keep, err := p.keep(made, keepRuns)
				if err != nil {
					return err
				}
				freed, err := p.state.Store.GC(keep, dry)
				if err != nil {
					return err
				}
				if asJSON {
					return a.printJSON(freed)
				}
				verb := "Removed"
				if dry {
					verb = "Would remove"
				}
				return a.printf("%s %d results, %d folders of unfinished work and %d files: %s.\n", verb, freed.Actions, freed.Work, freed.Objects, ui.Bytes(freed.Bytes))
			})
		},
	}
	f.bind(cmd)
	cmd.Flags().IntVar(&keepRuns, "keep-runs", 5, "keep what this many of the latest runs of each pipeline used")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "remove nothing; say what would be removed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// keep collects the keys that garbage collection spares.
func (p *project) keep(made *plan.Plan, runs int) (map[string]bool, error) {
	keep := map[string]bool{}
	for _, s := range made.Steps {
		if s.Key != "" {
			keep[s.Key] = true
			continue
		}
		// A deferred step has no key yet; what it made last is the best guess.
		last, err := p.state.Journal.Last(p.program.Name, p.program.Path(), s.Name())
		if err != nil {
			return nil, err
		}
		if last != nil {
			keep[last.Key] = true
		}
	}
	if runs <= 0 {
		return keep, nil
	}
	list, err := p.state.Journal.Runs(0)
	if err != nil {
		return nil, err
	}
	seen := map[string]int{} // by name and path: others may share the folder, and be run more rarely
	for _, r := range list {
		of := r.Pipeline + "\x00" + r.Path
		if seen[of]++; seen[of] > runs {
			continue
		}
		records, err := p.state.Journal.Steps(r.ID)
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			keep[record.Key] = true
		}
	}
	return keep, nil
}
