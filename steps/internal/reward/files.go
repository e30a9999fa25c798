package reward

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
)

// Files is the Files of a step type whose block has rules at its top.
func Files(s *steps.Spec) ([]string, error) {
	var c Config
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	return c.Files(s)
}

// Files lists what the programs of rules consist of, for the key of the step: their arguments that are files, such as the
// script in ["python3", "judge.py"], and the files in those that are folders below the pipeline's, such as the package in
// ["go", "run", "./judge"]. The program itself is one only if it is given by a relative path: others belong to the machine.
func (c *Config) Files(s *steps.Spec) ([]string, error) {
	var files []string
	for _, r := range c.Rules {
		for i, arg := range r.Program {
			if i == 0 && (filepath.IsAbs(arg) || !strings.ContainsAny(arg, `/\`)) {
				continue
			}
			info, err := os.Stat(s.Resolve(arg))
			switch {
			case err != nil: // not a file
			case info.Mode().IsRegular():
				files = append(files, s.Resolve(arg))
			case info.IsDir() && filepath.IsLocal(arg) && filepath.Clean(arg) != ".":
				err := filepath.WalkDir(s.Resolve(arg), func(path string, d fs.DirEntry, err error) error {
					if err == nil && d.IsDir() && d.Name() == "__pycache__" {
						return filepath.SkipDir // which an interpreter leaves there
					}
					if err == nil && d.Type().IsRegular() {
						files = append(files, path)
					}
					return err
				})
				if err != nil {
					return nil, err
				}
			}
		}
	}
	return files, nil
}
