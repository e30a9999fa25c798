package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// fileStamp is what a file outside the store looked like when it was hashed.
type fileStamp struct {
	Size   int64  `json:"s"`
	Time   int64  `json:"t"` // modification, nanoseconds
	Inode  uint64 `json:"i"`
	SHA256 string `json:"h"`
}

// settled is how old a file must be when it is hashed for its stamp to be trusted: a file system's clock is coarse, and
// a second write within one tick leaves size and time as they were.
const settled = 2 * time.Second

// Digests returns the SHA-256 of each file. A file that has not changed by size, time and inode since it was last
// hashed is not read again.
func (s *Store) Digests(paths []string) ([]string, error) {
	s.stampsMu.Lock()
	defer s.stampsMu.Unlock()
	if s.stamps == nil {
		s.stamps = s.readStamps()
	}
	known := s.stamps
	sums := make([]string, len(paths))
	stamps := make([]fileStamp, len(paths))
	changed := false
	var todo errgroup.Group
	todo.SetLimit(runtime.GOMAXPROCS(0))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		now := stamp(info)
		if old, ok := known[abs(path)]; ok && old.Size == now.Size && old.Time == now.Time && old.Inode == now.Inode {
			sums[i], stamps[i] = old.SHA256, old
			continue
		}
		changed = true
		todo.Go(func() error {
			hashedAt := time.Now()
			sum, _, err := hashFile(path)
			sums[i] = sum
			if hashedAt.Sub(info.ModTime()) > settled {
				now.SHA256 = sum
				stamps[i] = now
			}
			return err
		})
	}
	if err := todo.Wait(); err != nil {
		return nil, err
	}
	if !changed {
		return sums, nil
	}
	for i, path := range paths {
		if stamps[i].SHA256 != "" {
			known[abs(path)] = stamps[i]
		} else {
			delete(known, abs(path))
		}
	}
	return sums, s.writeStamps(known)
}

func (s *Store) readStamps() map[string]fileStamp {
	known := map[string]fileStamp{}
	data, err := os.ReadFile(s.path("files.json"))
	if err != nil || json.Unmarshal(data, &known) != nil {
		return map[string]fileStamp{} // only a cache: hash again
	}
	return known
}

func (s *Store) writeStamps(known map[string]fileStamp) error {
	for path := range known {
		if _, err := os.Stat(path); err != nil {
			delete(known, path)
		}
	}
	data, err := json.Marshal(known)
	if err != nil {
		return err
	}
	return writeFile(s.path("files.json"), data)
}

func stamp(info os.FileInfo) fileStamp {
	st := fileStamp{Size: info.Size(), Time: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		st.Inode = sys.Ino
	}
	return st
}

func abs(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
