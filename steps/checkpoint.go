package steps

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// A checkpoint is a folder of whatever files the step needs to go on, with a manifest that is written last. It appears
// under its final name by one rename, so it is whole or it is not there; two are kept, so that one that the disk has
// damaged leaves another.

const manifestName = "manifest.json"
const checkpointsKept = 2

type manifest struct {
	Files   map[string]string `json:"files"`   // name → SHA-256
	Metrics int64             `json:"metrics"` // length of metrics.jsonl when the checkpoint was taken
}

// Checkpoint saves the step's state: save writes any files into dir. When Checkpoint returns nil the state is on disk.
func (rt *Runtime) Checkpoint(save func(dir string) error) error {
	root := filepath.Join(rt.spec.WorkDir, "checkpoints")
	have, err := listCheckpoints(root)
	if err != nil {
		return err
	}
	next := 1
	if len(have) > 0 {
		next = have[len(have)-1] + 1
	}
	final := filepath.Join(root, fmt.Sprintf("%08d", next))
	tmp := final + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	if err := os.MkdirAll(tmp, 0o777); err != nil {
		return err
	}
	if err := rt.writeCheckpoint(tmp, save); err != nil {
		_ = os.RemoveAll(tmp) // a full disk needs the room back
		return fmt.Errorf("saving a checkpoint: %w", err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return err
	}
	if err := syncPath(root); err != nil {
		return err
	}
	for len(have) >= checkpointsKept {
		if err := os.RemoveAll(filepath.Join(root, fmt.Sprintf("%08d", have[0]))); err != nil {
			return err
		}
		have = have[1:]
	}
	rt.emit(Event{Kind: EventCheckpoint, Step: int64(next)})
	return nil
}

func (rt *Runtime) writeCheckpoint(dir string, save func(dir string) error) error {
	if err := save(dir); err != nil {
		return err
	}
	size, err := rt.settleMetrics()
	if err != nil {
		return err
	}
	m := manifest{Files: map[string]string{}, Metrics: size}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if m.Files[e.Name()], err = hashFile(path); err != nil {
			return err
		}
		if err := syncPath(path); err != nil {
			return err
		}
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, manifestName)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		return err
	}
	if err := syncPath(path); err != nil {
		return err
	}
	return syncPath(dir)
}

// settleMetrics brings the recorded figures to the disk and returns their length. What an earlier attempt has recorded
// after its last checkpoint, or without any, does not belong to them.
func (rt *Runtime) settleMetrics() (size int64, err error) {
	rt.mu.Lock()
	defer rt.mu.Unlock()
	if !rt.rewound {
		if err := rt.rewindMetrics(0); err != nil {
			return 0, err
		}
	}
	if size, err = rt.metrics.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	return size, rt.metrics.Sync()
}

// Restore finds the newest whole checkpoint and lets load read it. It reports whether there was one. A checkpoint that
// the disk has damaged, or that load cannot read, is passed over with a warning for the one before it, so load begins
// with nothing that an earlier call of it has set. If load can read none of those that are whole, its first error is
// returned: to start anew would throw away what may be in them.
func (rt *Runtime) Restore(load func(dir string) error) (bool, error) {
	root := filepath.Join(rt.spec.WorkDir, "checkpoints")
	have, err := listCheckpoints(root)
	if err != nil {
		return false, err
	}
	var failed error
	for i := len(have) - 1; i >= 0; i-- {
		dir := filepath.Join(root, fmt.Sprintf("%08d", have[i]))
		m, err := readManifest(dir)
		if err != nil {
			rt.Warn("checkpoint %d is damaged and is passed over: %v", have[i], err)
			continue
		}
		if err = load(dir); err != nil {
			rt.Warn("checkpoint %d cannot be read and is passed over: %v", have[i], err)
			if failed == nil {
				failed = fmt.Errorf("resuming from %s: %w", dir, err)
			}
			continue
		}
		rt.mu.Lock()
		err = rt.rewindMetrics(m.Metrics)
		rt.mu.Unlock()
		return err == nil, err
	}
	return false, failed
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, err
	}
	if m.Files == nil {
		return m, errors.New("its manifest names no files")
	}
	for name, want := range m.Files {
		got, err := hashFile(filepath.Join(dir, name))
		if err != nil {
			return m, err
		}
		if got != want {
			return m, fmt.Errorf("%s does not have the digest of its manifest", name)
		}
	}
	return m, nil
}

// rewindMetrics forgets the figures that were recorded after the first size bytes. The caller holds mu.
func (rt *Runtime) rewindMetrics(size int64) error {
	rt.rewound = true
	if err := rt.metrics.Truncate(size); err != nil {
		return err
	}
	_, err := rt.metrics.Seek(size, io.SeekStart)
	return err
}

func listCheckpoints(root string) ([]int, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var have []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && !strings.HasSuffix(e.Name(), ".tmp") {
			have = append(have, n)
		}
	}
	sort.Ints(have)
	return have, nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// syncPath flushes a file or a folder to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
