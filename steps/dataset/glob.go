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
	var found []string
	for i, pattern := range include {
		matches, err := matching(s, pattern)
		if err == nil && len(matches) == 0 {
			err = noMatch(s, pattern)
		}
		if err != nil {
			return nil, steps.Blame(fmt.Sprintf("%s[%d]", at, i), "%w", err)
		}
		found = append(found, matches...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(exclude) == 0 {
		return found, nil
	}
	excludeAt := at[:strings.LastIndexByte(at, '.')+1] + "exclude"
	for i, pattern := range exclude {
		if !doublestar.ValidatePattern(filepath.ToSlash(pattern)) {
			return nil, steps.Blame(fmt.Sprintf("%s[%d]", excludeAt, i), "%q is not a pattern: %v", pattern, doublestar.ErrBadPattern)
		}
	}
	kept := slices.DeleteFunc(slices.Clone(found), func(file string) bool { return excluded(s, file, exclude) })
	if len(kept) == 0 {
		return nil, steps.Blame(excludeAt, "exclude leaves none of the %d files that include matches", len(found))
	}
	return kept, nil
}

// matching lists the files that a pattern of the recipe matches.
func matching(s *steps.Spec, pattern string) ([]string, error) {
	// A file with wildcards in its name can be named as well.
	if info, err := os.Stat(s.Resolve(pattern)); err == nil && !info.IsDir() {
		return []string{filepath.Clean(s.Resolve(pattern))}, nil
	}
	return glob(absolute(s, pattern))
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
func glob(pattern string) ([]string, error) {
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
			if strings.Count(name, "/") >= depth || !hidden && d.Name()[0] == '.' {
				return fs.SkipDir
			}
			return nil
		case !hidden && d.Name()[0] == '.', !doublestar.MatchUnvalidated(rest, name):
			return nil
		}
		file := filepath.Join(base, filepath.FromSlash(name))
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

// excluded reports whether a pattern matches the file. A pattern without a slash is matched against its name, one that
// begins with **/ against its path wherever it lies, and any other starts at the pipeline's folder.
func excluded(s *steps.Spec, file string, patterns []string) bool {
	file = filepath.ToSlash(file)
	for _, p := range patterns {
		p = filepath.ToSlash(p)
		target := file
		switch {
		case !strings.Contains(p, "/"):
			target = path.Base(file)
		case !strings.HasPrefix(p, "**/"):
			p = absolute(s, p)
		}
		if doublestar.MatchUnvalidated(p, target) {
			return true
		}
	}
	return false
}
