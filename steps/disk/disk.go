// Package disk is how a plan looks at the files around a recipe. Many steps of a recipe read the same folders; a Look
// reads each once and examines each file once, so that all of a plan is about the disk as it was at one time and costs
// what there is to see, not what is asked.
//
// What a file holds is not looked at here: its digest is the store's business, and patterns are those of the step type.
package disk

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// A Look remembers what it has seen. Nobody who has one sees what changes later: it is to be dropped with the plan that
// it was made for. A nil Look remembers nothing. It may be used by several goroutines.
type Look struct {
	mu      sync.Mutex
	folders map[string]seen[[]Entry]
	files   map[string]seen[File]
}

// seen is what looking at a path has brought.
type seen[T any] struct {
	value T
	err   error
}

// An Entry is what a folder says of something in it.
type Entry struct {
	Name string
	Path string // the folder's with the name
	Dir  bool
	Link bool // symbolic
}

// A File is what can be known of a file without reading it. Links are followed.
type File struct {
	Size    int64
	Time    int64 // modification, nanoseconds
	Change  int64 // of content or attributes, nanoseconds: it moves where the other time is set back
	Inode   int64
	Regular bool
}

// NewLook returns a Look that has seen nothing.
func NewLook() *Look {
	return &Look{folders: map[string]seen[[]Entry]{}, files: map[string]seen[File]{}}
}

// recall returns what is known of a path, and looks if nothing is.
func recall[T any](mu *sync.Mutex, known map[string]seen[T], path string, look func(string) (T, error)) (T, error) {
	mu.Lock()
	s, ok := known[path]
	mu.Unlock()
	if !ok {
		s.value, s.err = look(path)
		mu.Lock()
		known[path] = s
		mu.Unlock()
	}
	return s.value, s.err
}

// ReadDir lists a folder whose path is clean, sorted by name. The list is shared: do not change it.
func (l *Look) ReadDir(dir string) ([]Entry, error) {
	if l == nil {
		return readDir(dir)
	}
	return recall(&l.mu, l.folders, dir, readDir)
}

func readDir(dir string) ([]Entry, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(dir, string(os.PathSeparator)) { // the root does
		dir += string(os.PathSeparator)
	}
	entries := make([]Entry, len(list))
	for i, e := range list {
		name := e.Name()
		entries[i] = Entry{Name: name, Path: dir + name, Dir: e.IsDir(), Link: e.Type()&fs.ModeSymlink != 0}
	}
	return entries, nil
}

// ReadTree lists dir and the folders below it, several at a time, for ReadDir to have them; not those that skip tells
// of, and nothing below these. Errors are left to ReadDir.
func (l *Look) ReadTree(dir string, skip func(folder Entry) bool) {
	if l == nil {
		return
	}
	var todo errgroup.Group
	todo.SetLimit(runtime.GOMAXPROCS(0))
	for level := []string{dir}; len(level) > 0; {
		var mu sync.Mutex
		var below []string
		for some := range slices.Chunk(level, max(1, len(level)/(4*runtime.GOMAXPROCS(0)))) {
			todo.Go(func() error {
				for _, dir := range some {
					list := l.foldersIn(dir, skip)
					mu.Lock()
					below = append(below, list...)
					mu.Unlock()
				}
				return nil
			})
		}
		_ = todo.Wait() // nothing above fails
		level = below
	}
}

func (l *Look) foldersIn(dir string, skip func(folder Entry) bool) []string {
	entries, _ := l.ReadDir(dir)
	var list []string
	for _, e := range entries {
		if e.Dir && !skip(e) {
			list = append(list, e.Path)
		}
	}
	return list
}

// Stat examines a file.
func (l *Look) Stat(path string) (File, error) {
	if l == nil {
		return stat(path)
	}
	return recall(&l.mu, l.files, path, stat)
}

// StatAll examines files, several at a time. The error is the first in their order.
func (l *Look) StatAll(paths []string) ([]File, error) {
	all := make([]seen[File], len(paths))
	look := make([]int, 0, len(paths)) // those that nothing is known of
	for i, path := range paths {
		var ok bool
		if l != nil {
			l.mu.Lock()
			all[i], ok = l.files[path]
			l.mu.Unlock()
		}
		if !ok {
			look = append(look, i)
		}
	}
	var todo errgroup.Group
	todo.SetLimit(runtime.GOMAXPROCS(0))
	for some := range slices.Chunk(look, max(64, len(look)/(4*runtime.GOMAXPROCS(0)))) {
		todo.Go(func() error {
			for _, i := range some {
				all[i].value, all[i].err = stat(paths[i])
			}
			return nil
		})
	}
	_ = todo.Wait() // all has the errors, in order
	files := make([]File, len(paths))
	for i := range all {
		if all[i].err != nil {
			return nil, all[i].err
		}
		files[i] = all[i].value
	}
	if l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, i := range look {
			l.files[paths[i]] = all[i]
		}
	}
	return files, nil
}

func stat(path string) (File, error) {
	var sys unix.Stat_t
	err := unix.Stat(path, &sys)
	for errors.Is(err, unix.EINTR) {
		err = unix.Stat(path, &sys)
	}
	if err != nil {
		return File{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return File{
		Size: sys.Size, Time: sys.Mtim.Nano(), Change: sys.Ctim.Nano(), Inode: int64(sys.Ino),
		Regular: sys.Mode&unix.S_IFMT == unix.S_IFREG,
	}, nil
}
