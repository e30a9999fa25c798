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
	"athanor/steps/disk"
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
	return glob(s.Look, absolute(s, pattern), out)
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
func glob(look *disk.Look, pattern string, out exclusion) ([]string, error) {
	if !doublestar.ValidatePattern(pattern) {
		return nil, fmt.Errorf("%q is not a pattern: %w", pattern, doublestar.ErrBadPattern)
	}
	base, rest := doublestar.SplitPattern(pattern)
	base = filepath.Clean(filepath.FromSlash(base))
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		return nil, nil // noMatch says why
	}
	w := walk{look: look, base: base, skip: len(strings.TrimSuffix(base, "/")) + 1, rest: newMatcher(rest), hidden: dotName.MatchString(rest), depth: strings.Count(rest, "/"), out: out}
	if strings.Contains(rest, "**") {
		w.depth = math.MaxInt
		look.ReadTree(base, w.passes)
	}
	err := w.folder(base, 0)
	return w.files, err
}

// A walk goes through a folder in the order of names.
type walk struct {
	look   *disk.Look
	base   string
	skip   int     // bytes of a path that are the base's, with the slash
	rest   matcher // of names below base
	hidden bool    // the pattern asks for names that begin with a dot
	depth  int     // of folders below base that can hold a match
	out    exclusion
	files  []string
}

// folder adds what a folder holds that lies depth folders below the base.
func (w *walk) folder(dir string, depth int) error {
	entries, err := w.look.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("in %s: %w", w.base, err)
	}
	for _, e := range entries {
		if w.passes(e) {
			continue
		}
		if e.Dir {
			if depth < w.depth {
				if err := w.folder(e.Path, depth+1); err != nil {
					return err
				}
			}
			continue
		}
		if !w.rest.match(filepath.ToSlash(e.Path[w.skip:])) || w.out.file(e.Path) {
			continue
		}
		if e.Link {
			info, err := os.Stat(e.Path)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is a link to nowhere", e.Path)
			}
			if err != nil {
				return err
			}
			if info.IsDir() {
				continue
			}
		}
		w.files = append(w.files, e.Path)
	}
	return nil
}

// passes reports whether the walk passes a file or folder over whatever it holds.
func (w *walk) passes(e disk.Entry) bool {
	return !w.hidden && e.Name[0] == '.' || e.Dir && w.out.folder(filepath.ToSlash(e.Path))
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
	matcher
	nameOnly bool
	below    *matcher // what a folder must match for all that it holds to be excluded; nil: that is not to be said
}

func newExclusion(s *steps.Spec, at string, patterns []string) (exclusion, error) {
	var out exclusion
	for i, p := range patterns {
		p = filepath.ToSlash(p)
		if !doublestar.ValidatePattern(p) {
			return nil, steps.Blame(fmt.Sprintf("%s[%d]", at, i), "%q is not a pattern: %w", p, doublestar.ErrBadPattern)
		}
		if strings.Contains(p, "/") && !strings.HasPrefix(p, "**/") {
			p = absolute(s, p)
		}
		out = append(out, exclude(p))
	}
	return out, nil
}

// exclude takes a pattern that has no slash, or begins with **/ or at the root.
func exclude(pattern string) excludePattern {
	e := excludePattern{matcher: newMatcher(pattern), nameOnly: !strings.Contains(pattern, "/")}
	if all, ok := strings.CutSuffix(pattern, "/**"); ok {
		m := newMatcher(all)
		e.below = &m
	}
	return e
}

// file reports whether a file is excluded.
func (e exclusion) file(name string) bool {
	name = filepath.ToSlash(name)
	for _, p := range e {
		target := name
		if p.nameOnly {
			target = path.Base(name)
		}
		if p.match(target) {
			return true
		}
	}
	return false
}

// folder reports whether all that a folder may hold is excluded, so that it need not be read.
func (e exclusion) folder(name string) bool {
	for _, p := range e {
		if p.below != nil && p.below.match(name) {
			return true
		}
	}
	return false
}

// A matcher is a valid pattern with a text that each of its matches has in it: most names are told from that alone.
type matcher struct {
	pattern string
	has     string
	ends    bool // any path that ends with the text matches, as with **/*.go
}

func newMatcher(pattern string) matcher {
	m := matcher{pattern: pattern, has: literal(pattern)}
	m.ends = m.has != "" && pattern == "**/*"+m.has
	return m
}

func (m matcher) match(name string) bool {
	if m.ends {
		return strings.HasSuffix(name, m.has)
	}
	return strings.Contains(name, m.has) && doublestar.MatchUnvalidated(m.pattern, name)
}

// literal is the longest name, or part of one, that stands in a pattern as it is and not in one of several alternatives.
func literal(pattern string) string {
	if i := strings.LastIndexAny(pattern, `[]{}\`); i >= 0 { // what comes after the last of them is plain
		pattern = pattern[i+1:]
	}
	longest := ""
	for _, run := range strings.FieldsFunc(pattern, func(r rune) bool { return strings.ContainsRune("*?/", r) }) {
		if len(run) > len(longest) {
			longest = run
		}
	}
	return longest
}
