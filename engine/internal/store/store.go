// Package store keeps what steps have made, by content.
//
// A store is a folder:
//
//	objects/ab/abcd…     blobs, named by their SHA-256, read-only; an artifact's manifest is a blob too
//	artifacts/<digest>/  an artifact as a folder that other tools open: hard links to its blobs, rebuilt at will
//	actions/<key>.json   what a key produced: the outputs' digests and values; on a second line, what the key is made of
//	work/<key>/          a step in flight: its checkpoints, its log
//	locks/               one file per key, locked while somebody works on it
//	files.txt            digests of files outside the store, trusted while size, times and inode stay the same
//
// # Why it cannot be corrupted
//
// A blob is written, flushed and renamed into place before a manifest names it; the manifest before an action does; the
// action is one renamed file. Killed anywhere, a store holds at worst a blob that nothing names, which GC removes. Two
// engines that make the same blob rename equal bytes over one another.
//
// A blob's modification time is set to a fixed instant when it is stored. A blob with another time or size has been
// touched since and is hashed again before it is trusted; Check and Verify hash regardless. So a look-up costs a few
// stat calls, and a flipped byte is found.
//
// The store knows no plan and no recipe: keys are given to it, see package plan.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

// A Store is an open store folder. Several processes may have it open at once.
type Store struct {
	root  string
	inUse *fileLock // shared for as long as the store is open, so that GC can refuse

	stampsMu sync.Mutex
	stamps   map[string]fileStamp // files.txt, once read
}

// A DamageError says that an output of a finished step is gone or is not what it was.
type DamageError struct {
	Object   string // digest of the blob
	Artifact string // name of the output
	File     string // name within the artifact, if known
	Reason   string // "missing" or "damaged"
}

func (e *DamageError) Error() string {
	what := "output " + e.Artifact
	if e.File != "" {
		what += ", file " + e.File
	}
	return fmt.Sprintf("object %s (%s) is %s", short(e.Object), what, e.Reason)
}

// Open opens the store at root and makes it if need be.
func Open(root string) (*Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"objects", "artifacts", "actions", "work", "locks"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			return nil, fmt.Errorf("opening the store: %w", err)
		}
	}
	s := &Store{root: root}
	s.inUse, err = lockShared(s.path("locks", "store"))
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	return s, nil
}

// Close lets go of the store. Work in flight elsewhere is not affected.
func (s *Store) Close() error { return s.inUse.close() }

// Root is the store's folder.
func (s *Store) Root() string { return s.root }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// WorkDir is the folder for the work on a key. It may not exist yet.
func (s *Store) WorkDir(key string) string { return s.path("work", key) }

// Lookup returns what key produced, or nil if it was never made. A *DamageError says that an output needs to be made
// again. It trusts a blob's size and time; see Check.
func (s *Store) Lookup(key string) (*Action, error) {
	a, err := s.readAction(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, &DamageError{Object: key, Artifact: "(the record of the action)", Reason: "damaged"}
	}
	for _, name := range sortedKeys(a.Outputs) {
		if err := s.checkTree(a.Outputs[name].Digest, false); err != nil {
			if damage := (*DamageError)(nil); errors.As(err, &damage) {
				damage.Artifact = name
			}
			return a, err
		}
	}
	return a, nil
}

// Check hashes every byte of an artifact, as is due before a step reads it.
func (s *Store) Check(digest string) error { return s.checkTree(digest, true) }

// List returns every action, oldest first. Records that cannot be read are left to Verify.
func (s *Store) List() ([]Action, error) {
	entries, err := os.ReadDir(s.path("actions"))
	if err != nil {
		return nil, err
	}
	var list []Action
	for _, e := range entries {
		key, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		a, err := s.readAction(key)
		if err != nil {
			return nil, err
		}
		if a != nil {
			list = append(list, *a)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		if !list[i].Created.Equal(list[j].Created) {
			return list[i].Created.Before(list[j].Created)
		}
		return list[i].Key < list[j].Key
	})
	return list, nil
}

// Settle drops what a finished step no longer needs — checkpoints, scratch files — and keeps its log and figures.
func (s *Store) Settle(key string) error {
	for _, name := range []string{"out", "tmp", "unfinished", "checkpoints"} {
		if err := os.RemoveAll(filepath.Join(s.WorkDir(key), name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) actionPath(key string) string { return s.path("actions", key+".json") }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func short(digest string) string { return digest[:min(len(digest), 12)] }
