package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Damage is one thing that Verify found.
type Damage struct {
	Path   string   `json:"path"`   // within the store
	Object string   `json:"object"` // digest, or the key of a record
	Reason string   `json:"reason"` // "missing" or "damaged"
	UsedBy []string `json:"used_by"`
}

// Verify hashes every blob and reads every record. What is damaged is moved to damaged/, so that the next run makes
// it again.
func (s *Store) Verify(ctx context.Context) ([]Damage, error) {
	users, missing, err := s.references()
	if err != nil {
		return nil, err
	}
	found := missing
	err = filepath.WalkDir(s.path("objects"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		sum, _, err := hashFile(path)
		if err == nil && sum == e.Name() {
			return nil
		}
		found = append(found, Damage{Path: s.rel(path), Object: e.Name(), Reason: "damaged", UsedBy: users[e.Name()]})
		return s.setAside(path)
	})
	if err != nil {
		return found, err
	}
	// A damaged manifest has hidden its files from references; the step that made it runs again and restores them.
	return found, nil
}

// references maps each object to the outputs that need it, and lists records that cannot be read (setting them aside)
// and objects that are gone.
func (s *Store) references() (map[string][]string, []Damage, error) {
	users := map[string][]string{}
	var found []Damage
	entries, err := os.ReadDir(s.path("actions"))
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		key, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		path := s.actionPath(key)
		a, err := s.readAction(key)
		if err != nil {
			return nil, nil, err
		}
		material, err := s.Material(key)
		if err != nil {
			return nil, nil, err
		}
		if a == nil || !json.Valid(material) {
			found = append(found, Damage{Path: s.rel(path), Object: key, Reason: "damaged"})
			if err := s.setAside(path); err != nil {
				return nil, nil, err
			}
			continue
		}
		for _, name := range sortedKeys(a.Outputs) {
			s.refer(a.Outputs[name].Digest, a.Type+" "+short(key)+" "+name, users)
		}
	}
	for _, sum := range sortedKeys(users) {
		if _, err := os.Stat(s.objectPath(sum)); err != nil {
			found = append(found, Damage{Path: s.rel(s.objectPath(sum)), Object: sum, Reason: "missing", UsedBy: users[sum]})
		}
	}
	return users, found, nil
}

func (s *Store) refer(digest, user string, users map[string][]string) {
	users[digest] = append(users[digest], user)
	if t, err := s.readTree(digest); err == nil {
		for _, f := range t.Files {
			users[f.SHA256] = append(users[f.SHA256], user+"/"+f.Name)
		}
	}
}

func (s *Store) setAside(path string) error {
	dir := s.path("damaged")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(dir, filepath.Base(path)))
}

func (s *Store) rel(path string) string {
	if r, err := filepath.Rel(s.root, path); err == nil {
		return r
	}
	return path
}

// Freed is what GC removed, or would remove.
type Freed struct {
	Actions int   `json:"actions"`
	Work    int   `json:"work"` // folders of work in flight
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// GC removes every action whose key is not in keep, the work in flight for such keys, and all that nothing names any
// more. It fails if another engine has the store open. A dry run only counts.
func (s *Store) GC(keep map[string]bool, dry bool) (Freed, error) {
	var freed Freed
	if err := s.inUse.alone(); err != nil {
		return freed, fmt.Errorf("cannot collect garbage in %s: %w", s.root, err)
	}
	err := s.collect(keep, dry, &freed)
	return freed, errors.Join(err, s.inUse.shared())
}

func (s *Store) collect(keep map[string]bool, dry bool, freed *Freed) error {
	remove := func(path string) error {
		if dry {
			return nil
		}
		return os.RemoveAll(path)
	}
	live := map[string]bool{}
	actions, err := s.List()
	if err != nil {
		return err
	}
	for _, a := range actions {
		if !keep[a.Key] {
			freed.Actions++
			if err := remove(s.actionPath(a.Key)); err != nil {
				return err
			}
			continue
		}
		for _, o := range a.Outputs {
			live[o.Digest] = true
			if t, err := s.readTree(o.Digest); err == nil {
				for _, f := range t.Files {
					live[f.SHA256] = true
				}
			}
		}
	}
	if err := sweep(s.path("work"), keep, remove, freed, true); err != nil {
		return err
	}
	if err := sweep(s.path("artifacts"), live, remove, nil, false); err != nil {
		return err
	}
	if err := s.sweepHalfWritten(remove); err != nil {
		return err
	}
	return s.sweepObjects(live, remove, freed)
}

// sweepHalfWritten removes the temporary files of engines that were killed while they wrote a record.
func (s *Store) sweepHalfWritten(remove func(string) error) error {
	for _, dir := range []string{s.root, s.path("actions")} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tempPrefix) {
				continue
			}
			if err := remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes the entries of dir that are not in keep.
func sweep(dir string, keep map[string]bool, remove func(string) error, freed *Freed, sizes bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if sizes {
			freed.Work++
			freed.Bytes += folderSize(path)
		}
		if err := remove(path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) sweepObjects(live map[string]bool, remove func(string) error, freed *Freed) error {
	return filepath.WalkDir(s.path("objects"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || live[e.Name()] {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		freed.Objects++
		freed.Bytes += info.Size()
		return remove(path)
	})
}

func folderSize(dir string) int64 {
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // a count for people: what cannot be read counts nothing
		}
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
		return nil
	})
	return size
}
