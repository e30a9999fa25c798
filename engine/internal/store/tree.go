package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"time"
)

// A Folder is an artifact on its way into the store.
type Folder struct {
	Kind string
	Dir  string
}

// tree is an artifact's manifest. Its JSON is a blob, and the digest of that blob is the artifact's digest.
type tree struct {
	Kind  string     `json:"kind"`
	Files []treeFile `json:"files"` // sorted by name
}

type treeFile struct {
	Name   string `json:"name"` // with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// stored is the modification time of an untouched blob.
var stored = time.Unix(1_000_000_000, 0)

// Commit moves the output folders into the store and records the action, with the material that its key is the hash of. When
// it returns nil everything is on disk.
func (s *Store) Commit(a Action, material json.RawMessage, outputs map[string]Folder) (*Action, error) {
	a.Outputs = map[string]Output{}
	for _, name := range sortedKeys(outputs) {
		digest, err := s.ingest(outputs[name])
		if err != nil {
			return nil, fmt.Errorf("storing output %s: %w", name, err)
		}
		a.Outputs[name] = Output{Kind: outputs[name].Kind, Digest: digest}
		if _, err := s.Path(digest); err != nil {
			return nil, fmt.Errorf("storing output %s: %w", name, err)
		}
	}
	if err := s.writeAction(&a, material); err != nil {
		return nil, fmt.Errorf("recording the action: %w", err)
	}
	return &a, nil
}

// ingest moves the files of a folder into objects/ and returns the digest of their manifest.
func (s *Store) ingest(f Folder) (string, error) {
	t := tree{Kind: f.Kind}
	err := filepath.WalkDir(f.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a plain file", path)
		}
		name, err := filepath.Rel(f.Dir, path)
		if err != nil {
			return err
		}
		sum, size, err := hashFile(path)
		if err != nil {
			return err
		}
		t.Files = append(t.Files, treeFile{Name: filepath.ToSlash(name), Size: size, SHA256: sum})
		return s.putObject(path, sum)
	})
	if err != nil {
		return "", err
	}
	sort.Slice(t.Files, func(i, j int) bool { return t.Files[i].Name < t.Files[j].Name })
	data, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	h := sha256.Sum256(data)
	digest := hex.EncodeToString(h[:])
	tmp, err := writeTemp(s.path("objects"), data)
	if err != nil {
		return "", err
	}
	return digest, s.putObject(tmp, digest)
}

// putObject moves the file at path to its place in objects/, durably. An object that is there and sound stays.
func (s *Store) putObject(path, sum string) error {
	dst := s.objectPath(sum)
	if got, _, err := hashFile(dst); err == nil && got == sum {
		if err := os.Chtimes(dst, stored, stored); err != nil {
			return err
		}
		return os.Remove(path)
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o777); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o444); err != nil {
		return err
	}
	if err := os.Chtimes(path, stored, stored); err != nil {
		return err
	}
	if err := syncPath(path); err != nil {
		return err
	}
	if err := os.Rename(path, dst); err != nil {
		return err
	}
	return errors.Join(syncPath(filepath.Dir(dst)), syncPath(s.path("objects")))
}

// Path returns the folder of an artifact. It is a view of the blobs, and is made again where it does not match them.
func (s *Store) Path(digest string) (string, error) {
	t, err := s.readTree(digest)
	if err != nil {
		return "", err
	}
	dir := s.path("artifacts", digest)
	if s.viewMatches(dir, t) {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(s.path("artifacts"), ".view-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }() // renamed away unless something failed
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	for _, f := range t.Files {
		path := filepath.Join(tmp, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return "", err
		}
		if err := os.Link(s.objectPath(f.SHA256), path); err != nil {
			return "", err
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if s.viewMatches(dir, t) { // another engine was faster
			return dir, nil
		}
		return "", err
	}
	return dir, nil
}

// viewMatches reports whether a view holds the files of the manifest and nothing else: what a user has put beside them
// would be read by a step and is in no key.
func (s *Store) viewMatches(dir string, t *tree) bool {
	for _, f := range t.Files {
		view, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Name)))
		if err != nil {
			return false
		}
		object, err := os.Stat(s.objectPath(f.SHA256))
		if err != nil || !os.SameFile(view, object) {
			return false
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files++
		}
		return err
	})
	return err == nil && files == len(t.Files)
}

// checkTree looks at the manifest and at every blob that it names: by stat, or by hashing all of it if full.
func (s *Store) checkTree(digest string, full bool) error {
	t, err := s.readTree(digest)
	if err != nil {
		return err
	}
	for _, f := range t.Files {
		if reason := s.checkObject(f.SHA256, f.Size, full); reason != "" {
			return &DamageError{Object: f.SHA256, File: f.Name, Reason: reason}
		}
	}
	return nil
}

// checkObject returns "", "missing" or "damaged".
func (s *Store) checkObject(sum string, size int64, full bool) string {
	path := s.objectPath(sum)
	info, err := os.Stat(path)
	if err != nil {
		return "missing"
	}
	if info.Size() != size {
		return "damaged"
	}
	if !full && info.ModTime().Equal(stored) {
		return ""
	}
	if got, _, err := hashFile(path); err != nil || got != sum {
		return "damaged"
	}
	if !info.ModTime().Equal(stored) {
		_ = os.Chtimes(path, stored, stored) // only saves the next look-up a hash
	}
	return ""
}

func (s *Store) readTree(digest string) (*tree, error) {
	if len(digest) != 2*sha256.Size { // a record that has been tampered with
		return nil, &DamageError{Object: digest, Reason: "missing"}
	}
	data, err := os.ReadFile(s.objectPath(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{Object: digest, Reason: "missing"}
	}
	if err != nil {
		return nil, err
	}
	var t tree
	if h := sha256.Sum256(data); hex.EncodeToString(h[:]) != digest || json.Unmarshal(data, &t) != nil {
		return nil, &DamageError{Object: digest, Reason: "damaged"}
	}
	return &t, nil
}

func (s *Store) objectPath(digest string) string {
	return s.path("objects", digest[:min(2, len(digest))], digest)
}

func hashFile(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// writeFile replaces a file so that a reader, or a power cut, finds the old bytes or the new ones.
func writeFile(path string, data []byte) error {
	tmp, err := writeTemp(filepath.Dir(path), data)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return syncPath(filepath.Dir(path))
}

// tempPrefix begins the name of a file that is not yet whole.
const tempPrefix = ".new-"

// writeTemp writes a hidden file of a new name in dir and flushes it.
func writeTemp(dir string, data []byte) (string, error) {
	f, err := os.CreateTemp(dir, tempPrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
