package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"athanor/steps/disk"
)

// fileStamp is what a file outside the store looked like when it was hashed.
type fileStamp struct {
	file   disk.File
	sha256 string
}

// settled is how old a file must be when it is hashed for its stamp to be trusted: a file system's clock is coarse, and
// a second write within one tick leaves size and times as they were.
const settled = 2 * time.Second

// Digests returns the SHA-256 of each file. A file that has not changed by size, times and inode since it was last
// hashed is not read again. A look that has seen a file says what it was like then; nil looks now.
func (s *Store) Digests(look *disk.Look, paths []string) ([]string, error) {
	s.stampsMu.Lock()
	defer s.stampsMu.Unlock()
	if s.stamps == nil {
		s.stamps = s.readStamps()
	}
	files, err := look.StatAll(paths)
	if err != nil {
		return nil, err
	}
	sums := make([]string, len(paths))
	var changed []int
	for i, path := range paths {
		if old, ok := s.stamps[abs(path)]; ok && old.file == files[i] {
			sums[i] = old.sha256
		} else {
			changed = append(changed, i)
		}
	}
	if len(changed) == 0 {
		return sums, nil
	}
	stamps := make([]fileStamp, len(changed))
	var todo errgroup.Group
	todo.SetLimit(runtime.GOMAXPROCS(0))
	for at, i := range changed {
		todo.Go(func() error {
			hashedAt := time.Now()
			sum, _, err := hashFile(paths[i])
			sums[i] = sum
			if files[i].Regular && hashedAt.Sub(time.Unix(0, max(files[i].Time, files[i].Change))) > settled {
				stamps[at] = fileStamp{files[i], sum}
			}
			return err
		})
	}
	if err := todo.Wait(); err != nil {
		return nil, err
	}
	news := false
	for at, i := range changed {
		path := abs(paths[i])
		if _, known := s.stamps[path]; stamps[at].sha256 != "" {
			s.stamps[path], news = stamps[at], true
		} else if known {
			delete(s.stamps, path)
			news = true
		}
	}
	if !news {
		return sums, nil
	}
	return sums, s.writeStamps(look)
}

// The file of stamps has a line for each file: size, times, inode, digest and the quoted path; then one with the digest of
// those before it.

func (s *Store) readStamps() map[string]fileStamp {
	data, err := os.ReadFile(s.stampsPath())
	if err == nil {
		if known, ok := parseStamps(string(data)); ok {
			return known
		}
	}
	return map[string]fileStamp{} // only a cache: hash again
}

func parseStamps(text string) (map[string]fileStamp, bool) {
	end := strings.LastIndexByte(strings.TrimSuffix(text, "\n"), '\n') + 1
	if sum := sha256.Sum256([]byte(text[:end])); text[end:] != hex.EncodeToString(sum[:])+"\n" {
		return nil, false
	}
	known := make(map[string]fileStamp, end/160)
	for line := range strings.Lines(text[:end]) {
		stamp := fileStamp{file: disk.File{Regular: true}}
		for _, number := range []*int64{&stamp.file.Size, &stamp.file.Time, &stamp.file.Change, &stamp.file.Inode} {
			var field string
			var err error
			field, line, _ = strings.Cut(line, " ")
			if *number, err = strconv.ParseInt(field, 10, 64); err != nil {
				return nil, false
			}
		}
		var quoted string
		stamp.sha256, quoted, _ = strings.Cut(line, " ")
		path, err := strconv.Unquote(strings.TrimSuffix(quoted, "\n"))
		if err != nil {
			return nil, false
		}
		known[path] = stamp
	}
	return known, true
}

// writeStamps writes the stamps of the files that there still are.
func (s *Store) writeStamps(look *disk.Look) error {
	var text bytes.Buffer
	for _, path := range sortedKeys(s.stamps) {
		if _, err := look.Stat(path); err != nil {
			delete(s.stamps, path)
			continue
		}
		f := s.stamps[path]
		fmt.Fprintf(&text, "%d %d %d %d %s %q\n", f.file.Size, f.file.Time, f.file.Change, f.file.Inode, f.sha256, path)
	}
	sum := sha256.Sum256(text.Bytes())
	fmt.Fprintf(&text, "%x\n", sum)
	return writeFile(s.stampsPath(), text.Bytes())
}

func (s *Store) stampsPath() string { return s.path("files.txt") }

func abs(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
