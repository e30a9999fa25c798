package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"athanor/steps"
)

// expand returns the files that match one of the include patterns and none of the exclude patterns: absolute paths,
// sorted, each once. at is the path of the block, for blame.
func expand(s *steps.Spec, at string, include, exclude []string) ([]string, error) {
	excludeAt := at[:strings.LastIndexByte(at, '.')+1] + "exclude"
	out, err := newExclusion(s, excludeAt, exclude)
	if err != nil {
		return nil, err
	}
	var found []string
	for i, pattern := range include {
		matches, err := matching(s, pattern, out)
		if err == nil && len(matches) == 0 {
			var all []string
			if all, err = matching(s, pattern, nil); err == nil && len(all) == 0 {
				err = noMatch(s, pattern)
			}
		}
		if err != nil {
			return nil, steps.Blame(fmt.Sprintf("%s[%d]", at, i), "%w", err)
		}
		found = append(found, matches...)
	}
	if len(found) == 0 {
		return nil, steps.Blame(excludeAt, "exclude leaves none of the files that include matches")
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// matching lists the files that a pattern of the recipe matches and that are not excluded.
func matching(s *steps.Spec, pattern string, out exclusion) ([]string, error) {
	// A file with wildcards in its name can be named as well.
	if info, err := os.Stat(s.Resolve(pattern)); err == nil && !info.IsDir() {
		if file := filepath.Clean(s.Resolve(pattern)); !out.file(file) {
			return []string{file}, nil
		}
		return nil, nil
	}
	return glob(absolute(s, pattern), out)
}

// absolute makes a pattern start at the root; wildcards in the name of the pipeline's folder stand for themselves.
func absolute(s *steps.Spec, pattern string) string {
	if filepath.IsAbs(pattern) {
		return filepath.ToSlash(pattern)
	}
	return path.Join(escape.Replace(filepath.ToSlash(s.Dir)), filepath.ToSlash(pattern))
}

var escape = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

// glob lists the files that an absolute pattern matches. Wildcards pass over hidden files and folders unless the
// pattern itself has a name that begins with a dot. Symbolic links to folders are not followed: they can go round in
// circles.
func glob(pattern string, out exclusion) ([]string, error) {
	if !doublestar.ValidatePattern(pattern) {
		return nil, fmt.Errorf("%q is not a pattern: %w", pattern, doublestar.ErrBadPattern)
	}
	base, rest := doublestar.SplitPattern(pattern)
	base = filepath.FromSlash(base)
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		return nil, nil // noMatch says why
	}
	hidden := dotName.MatchString(rest)
	depth := strings.Count(rest, "/")
	if strings.Contains(rest, "**") {
		depth = math.MaxInt
	}
	var files []string
	err := fs.WalkDir(os.DirFS(base), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("in %s: %w", base, err)
		case name == ".":
			return nil
		case d.IsDir():
			if strings.Count(name, "/") >= depth || !hidden && d.Name()[0] == '.' || out.folder(path.Join(filepath.ToSlash(base), name)) {
				return fs.SkipDir
			}
			return nil
		case !hidden && d.Name()[0] == '.', !doublestar.MatchUnvalidated(rest, name):
			return nil
		}
		file := filepath.Join(base, filepath.FromSlash(name))
		if out.file(file) {
			return nil
		}
		if d.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is a link to nowhere", file)
			}
			if err != nil || info.IsDir() {
				return err
			}
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

// dotName finds a name in a pattern that begins with a dot.
var dotName = regexp.MustCompile(`(^|[/{,])\.`)

// noMatch says why a pattern found nothing, with the folder that was looked at and what to do.
func noMatch(s *steps.Spec, pattern string) error {
	full := s.Resolve(pattern)
	if info, err := os.Stat(full); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder: write %q for all files in it", full, strings.TrimRight(pattern, "/")+"/**")
	}
	base, rest := doublestar.SplitPattern(absolute(s, pattern))
	info, err := os.Stat(base)
	switch {
	case err != nil:
		return fmt.Errorf("no file matches %q: the folder %s does not exist; relative patterns start at the pipeline's folder, %s", pattern, base, s.Dir)
	case !info.IsDir():
		return fmt.Errorf("no file matches %q: %s is a file, not a folder", pattern, base)
	}
	return fmt.Errorf("no file matches %q: there is no %s in the folder %s", pattern, rest, base)
}

// An exclusion is a list of exclude patterns. A pattern without a slash is matched against a file's name, one that
// begins with **/ against its path wherever it lies, and any other starts at the pipeline's folder.
type exclusion []excludePattern

type excludePattern struct {
	pattern  string
	nameOnly bool
}

func newExclusion(s *steps.Spec, at string, patterns []string) (exclusion, error) {
	var out exclusion
	for i, p := range patterns {
		p = filepath.ToSlash(p)
		if !doublestar.ValidatePattern(p) {
			return nil, steps.Blame(fmt.Sprintf("%s[%d]", at, i), "%q is not a pattern: %w", p, doublestar.ErrBadPattern)
		}
		nameOnly := !strings.Contains(p, "/")
		if !nameOnly && !strings.HasPrefix(p, "**/") {
			p = absolute(s, p)
		}
		out = append(out, excludePattern{p, nameOnly})
	}
	return out, nil
}

// file reports whether a file is excluded.
func (e exclusion) file(name string) bool {
	name = filepath.ToSlash(name)
	for _, p := range e {
		target := name
		if p.nameOnly {
			target = path.Base(name)
		}
		if doublestar.MatchUnvalidated(p.pattern, target) {
			return true
		}
	}
	return false
}

// folder reports whether all that a folder may hold is excluded, so that it need not be read.
func (e exclusion) folder(name string) bool {
	for _, p := range e {
		if all, ok := strings.CutSuffix(p.pattern, "/**"); ok && doublestar.MatchUnvalidated(all, name) {
			return true
		}
	}
	return false
}
