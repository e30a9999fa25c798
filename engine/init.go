package main

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// starter is what engine init writes: a pipeline, and a text for it to learn from.
//
//go:embed starter
var starter embed.FS

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [FOLDER]",
		Short: "Write a commented starter pipeline",
		Long: `Writes pipeline.hcl, a recipe in which every line is explained, and a small text for it to train on. It runs as it
is, in seconds. Files that exist are never replaced.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			return a.writeStarter(dir)
		},
	}
}

func (a *app) writeStarter(dir string) error {
	files, err := starterFiles()
	if err != nil {
		return err
	}
	for _, name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return invalid("%s exists already; nothing was written. Choose another folder: engine init FOLDER", filepath.Join(dir, name))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".hcl") { // a folder is one pipeline: the two would be read together
			return invalid("%s is a pipeline already; nothing was written. Choose another folder: engine init FOLDER", filepath.Join(dir, e.Name()))
		}
	}
	for _, name := range files {
		text, err := starter.ReadFile("starter/" + name)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := writeNew(path, text); err != nil {
			return err
		}
		if err := a.printf("wrote %s\n", path); err != nil {
			return err
		}
	}
	where := ""
	if dir != "." {
		where = " " + shellWord(filepath.Clean(dir))
	}
	return a.printf("\nNext:\n    engine plan%s     what would run\n    engine run%s      run it\n", where, where)
}

func starterFiles() ([]string, error) {
	var files []string
	err := fs.WalkDir(starter, "starter", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path[len("starter/"):])
		}
		return err
	})
	return files, err
}

// writeNew writes a file that must not exist.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
