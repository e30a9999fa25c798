package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"athanor/dsl"
	"athanor/engine/internal/ui"
)

func (a *app) fmtCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE or FOLDER]…",
		Short: "Rewrite pipelines in the canonical layout",
		Long:  `Rewrites .hcl files in the canonical layout and lists those that it changed. Folders are searched for .hcl files.`,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"."}
			}
			files, err := hclFiles(args)
			if err != nil {
				return err
			}
			changed, err := a.format(files, check)
			if err == nil && check && changed {
				err = &exitError{code: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; list the files that would change and exit with 1 if there are any")
	return cmd
}

// hclFiles lists the files and what lies below the folders.
func hclFiles(args []string) ([]string, error) {
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, &exitError{exitInvalid, err}
		}
		if !info.IsDir() {
			files = append(files, arg)
			continue
		}
		err = filepath.WalkDir(arg, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if e.IsDir() && path != arg && strings.HasPrefix(e.Name(), ".") {
				return fs.SkipDir
			}
			if !e.IsDir() && strings.HasSuffix(e.Name(), ".hcl") {
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// format lists the files that are not in the canonical layout, and rewrites them unless it only checks.
func (a *app) format(files []string, check bool) (changed bool, err error) {
	broken := false
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return changed, err
		}
		formatted, diags := dsl.Format(text, path)
		if diags.HasErrors() {
			broken = true
			source, _ := dsl.Parse(path) // only to quote from
			style := ui.StyleOf(a.err)
			if err := source.WriteDiagnostics(a.err, diags, style.Width, style.Color); err != nil {
				return changed, err
			}
			continue
		}
		if bytes.Equal(text, formatted) {
			continue
		}
		changed = true
		if err := a.printf("%s\n", path); err != nil {
			return changed, err
		}
		if !check {
			if err := replaceFile(path, formatted); err != nil {
				return changed, err
			}
		}
	}
	if broken {
		return changed, &exitError{code: exitInvalid}
	}
	return changed, nil
}

// replaceFile writes beside the file and renames: a recipe is never half written.
func replaceFile(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".fmt-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
