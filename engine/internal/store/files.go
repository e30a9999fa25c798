package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// fileStamp is what a file outside the store looked like when it was hashed.
type fileStamp struct {
	Size   int64  `json:"s"`
	Time   int64  `json:"t"` // modification, nanoseconds
	Change int64  `json:"c"` // of content or attributes, nanoseconds: it moves where the other time is set back
	Inode  uint64 `json:"i"`
	SHA256 string `json:"h"`
}

// settled is how old a file must be when it is hashed for its stamp to be trusted: a file system's clock is coarse, and
// a second write within one tick leaves size and times as they were.
const settled = 2 * time.Second

// Digests returns the SHA-256 of each file. A file that has not changed by size, times and inode since it was last
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
		now, err := stamp(path)
		if err != nil {
			return nil, err
		}
		old := known[abs(path)]
		if sum := old.SHA256; sum != "" {
			if now.SHA256 = sum; now == old {
				sums[i], stamps[i] = sum, old
				continue
			}
			now.SHA256 = ""
		}
		changed = true
		todo.Go(func() error {
			hashedAt := time.Now()
			sum, _, err := hashFile(path)
			sums[i] = sum
			if hashedAt.Sub(time.Unix(0, max(now.Time, now.Change))) > settled {
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
	if err != nil || json.Unmarshal(data, &known) != nil || known == nil {
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

func stamp(path string) (fileStamp, error) {
	var sys unix.Stat_t
	err := unix.Stat(path, &sys)
	for errors.Is(err, unix.EINTR) {
		err = unix.Stat(path, &sys)
	}
	if err != nil {
		return fileStamp{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return fileStamp{Size: sys.Size, Time: sys.Mtim.Nano(), Change: sys.Ctim.Nano(), Inode: sys.Ino}, nil
}

func abs(path string) string {
	if a, err := filepath.Abs(path); err == nil {
		return a
	}
	return path
}
