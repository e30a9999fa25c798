package dataset

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
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
		matches, err := glob(absolute(s, pattern))
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

// absolute makes a pattern start at the root; wildcards in the name of the pipeline's folder stand for themselves.
func absolute(s *steps.Spec, pattern string) string {
	if filepath.IsAbs(pattern) {
		return filepath.ToSlash(pattern)
	}
	return path.Join(escape.Replace(filepath.ToSlash(s.Dir)), filepath.ToSlash(pattern))
}

var escape = strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `{`, `\{`, `}`, `\}`)

// glob lists the regular files that match an absolute pattern. Symbolic links to folders are not followed by **, which
// could go round in circles.
func glob(pattern string) ([]string, error) {
	base, rest := doublestar.SplitPattern(pattern)
	if !doublestar.ValidatePattern(rest) {
		return nil, fmt.Errorf("%q is not a pattern: %w", pattern, doublestar.ErrBadPattern)
	}
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		return nil, nil // noMatch says why
	}
	names, err := doublestar.Glob(os.DirFS(base), rest, doublestar.WithFilesOnly(), doublestar.WithNoFollow(),
		doublestar.WithNoHidden(), doublestar.WithFailOnIOErrors())
	if err != nil {
		return nil, fmt.Errorf("in %s: %w", filepath.FromSlash(base), err)
	}
	var files []string
	for _, name := range names {
		file := filepath.Join(filepath.FromSlash(base), filepath.FromSlash(name))
		info, err := os.Stat(file)
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s is a link to nowhere", file)
		}
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, file)
		}
	}
	return files, nil
}

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
