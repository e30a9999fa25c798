package store

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// commit stores one artifact called "model" made of the given files.
func commit(t *testing.T, s *Store, key string, files map[string]string) *Action {
	t.Helper()
	dir := filepath.Join(s.WorkDir(key), "out", "model")
	for name, text := range files {
		write(t, filepath.Join(dir, name), text)
	}
	a, err := s.Commit(Action{Key: key, Type: "train", Created: time.Now()}, json.RawMessage(`{"made of": "this"}`), map[string]Folder{"model": {"model", dir}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

func TestCommitThenLookup(t *testing.T) {
	s := open(t)
	files := map[string]string{"config.json": "{}", "sub/weights": "abc", "empty": ""}
	made := commit(t, s, "k1", files)
	found, err := s.Lookup("k1")
	if err != nil || found == nil || found.Outputs["model"] != made.Outputs["model"] {
		t.Fatalf("Lookup = %+v, %v", found, err)
	}
	dir, err := s.Path(made.Outputs["model"].Digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
	if none, err := s.Lookup("k2"); none != nil || err != nil {
		t.Errorf("a key that was never made: %+v, %v", none, err)
	}
}

func TestDigestIsOfContentAndNames(t *testing.T) {
	s := open(t)
	a := commit(t, s, "k1", map[string]string{"f": "x", "g": "y"}).Outputs["model"].Digest
	same := commit(t, s, "k2", map[string]string{"g": "y", "f": "x"}).Outputs["model"].Digest
	swapped := commit(t, s, "k3", map[string]string{"f": "y", "g": "x"}).Outputs["model"].Digest
	if a != same || a == swapped {
		t.Errorf("digests %s, %s (same content), %s (names swapped)", a, same, swapped)
	}
}

func TestDamageIsFoundAndMended(t *testing.T) {
	hurt := map[string]func(t *testing.T, path string){
		"flipped byte": func(t *testing.T, path string) {
			os.Chmod(path, 0o644)
			write(t, path, "wEights")
		},
		"flipped byte, time restored": func(t *testing.T, path string) {
			os.Chmod(path, 0o644)
			write(t, path, "wEights")
			os.Chtimes(path, stored, stored)
		},
		"truncated": func(t *testing.T, path string) { os.Truncate(path, 3) },
		"removed":   func(t *testing.T, path string) { os.Remove(path) },
	}
	for name, hurt := range hurt {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			files := map[string]string{"model.safetensors": "weights"}
			made := commit(t, s, "k", files)
			tree, err := s.readTree(made.Outputs["model"].Digest)
			if err != nil {
				t.Fatal(err)
			}
			sum := tree.Files[0].SHA256
			hurt(t, s.objectPath(sum))

			var damage *DamageError
			if err := s.Check(made.Outputs["model"].Digest); !errors.As(err, &damage) || damage.Object != sum {
				t.Errorf("Check = %v", err)
			}
			if _, err := s.Lookup("k"); name != "flipped byte, time restored" && (!errors.As(err, &damage) || damage.Artifact != "model") {
				t.Errorf("Lookup = %v", err)
			}
			found, err := s.Verify(context.Background())
			if err != nil || len(found) != 1 || found[0].Object != sum || len(found[0].UsedBy) != 1 {
				t.Errorf("Verify = %+v, %v", found, err)
			}
			if _, err := s.Lookup("k"); !errors.As(err, &damage) {
				t.Errorf("Lookup after Verify = %v", err)
			}
			again := commit(t, s, "k", files)
			if again.Outputs["model"] != made.Outputs["model"] {
				t.Errorf("made again: %v, was %v", again.Outputs, made.Outputs)
			}
			dir, err := s.Path(made.Outputs["model"].Digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, "model.safetensors")); err != nil || string(got) != "weights" {
				t.Errorf("after mending: %q, %v", got, err)
			}
			if found, err := s.Verify(context.Background()); err != nil || len(found) != 0 {
				t.Errorf("Verify after mending = %+v, %v", found, err)
			}
		})
	}
}

func TestTouchedButSoundIsTrustedAgain(t *testing.T) {
	s := open(t)
	made := commit(t, s, "k", map[string]string{"f": "x"})
	tree, _ := s.readTree(made.Outputs["model"].Digest)
	path := s.objectPath(tree.Files[0].SHA256)
	if err := os.Chtimes(path, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Lookup("k"); a == nil || err != nil {
		t.Errorf("Lookup = %v, %v", a, err)
	}
	if info, _ := os.Stat(path); !info.ModTime().Equal(stored) {
		t.Error("the blob is hashed again at every look-up")
	}
}

func TestDamagedRecordIsMadeAgain(t *testing.T) {
	s := open(t)
	commit(t, s, "k", map[string]string{"f": "x"})
	write(t, s.actionPath("k"), "{")
	var damage *DamageError
	if _, err := s.Lookup("k"); !errors.As(err, &damage) {
		t.Errorf("Lookup = %v", err)
	}
	if found, err := s.Verify(context.Background()); err != nil || len(found) != 1 || found[0].Object != "k" {
		t.Errorf("Verify = %+v, %v", found, err)
	}
}

func TestViewIsRebuilt(t *testing.T) {
	s := open(t)
	digest := commit(t, s, "k", map[string]string{"f": "x"}).Outputs["model"].Digest
	dir, _ := s.Path(digest)
	if err := os.Remove(filepath.Join(dir, "f")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "f"), "not x")
	dir, err := s.Path(digest)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "f")); string(got) != "x" {
		t.Errorf("the view holds %q", got)
	}
	write(t, filepath.Join(dir, "g"), "put here by somebody")
	if dir, err = s.Path(digest); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "g")); err == nil {
		t.Error("a step would read a file that is not in the artifact")
	}
}

func TestGC(t *testing.T) {
	s := open(t)
	kept := commit(t, s, "keep", map[string]string{"f": "shared", "g": "own"})
	commit(t, s, "drop", map[string]string{"f": "shared", "h": "gone"})
	write(t, filepath.Join(s.WorkDir("old"), "log.txt"), "…")
	halves := []string{s.path(tempPrefix + "1"), s.path("actions", tempPrefix+"2"), s.path("objects", tempPrefix+"3")}
	for _, path := range halves { // of an engine that was killed
		write(t, path, "{")
	}
	dry, err := s.GC(map[string]bool{"keep": true}, true)
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := s.Lookup("drop"); a == nil {
		t.Fatal("a dry run removed something")
	}
	wet, err := s.GC(map[string]bool{"keep": true}, false)
	if err != nil || wet != dry || wet.Actions != 1 || wet.Objects != 3 {
		t.Errorf("freed %+v (dry run: %+v), %v", wet, dry, err)
	}
	if a, _ := s.Lookup("drop"); a != nil {
		t.Error("the action is still there")
	}
	for _, path := range halves {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if err := s.Check(kept.Outputs["model"].Digest); err != nil {
		t.Error(err)
	}
}

func TestGCRefusesWhileOpenElsewhere(t *testing.T) {
	s := open(t)
	commit(t, s, "k", map[string]string{"f": "x"})
	other, err := Open(s.Root())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(nil, false); !errors.Is(err, errInUse) {
		t.Errorf("GC = %v", err)
	}
	other.Close()
	if _, err := s.GC(nil, false); err != nil {
		t.Error(err)
	}
}

func TestLockNamesItsHolder(t *testing.T) {
	s := open(t)
	first, err := s.Lock(context.Background(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	told := make(chan Holder, 1)
	got := make(chan error, 1)
	go func() {
		second, err := s.Lock(context.Background(), "k", func(h Holder) { told <- h })
		if err == nil {
			err = second.Unlock()
		}
		got <- err
	}()
	if h := <-told; h.PID != os.Getpid() || !strings.Contains(h.Command, "store") {
		t.Errorf("the holder is %+v", h)
	}
	if err := first.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
}

func TestLockOutlivesItsEngine(t *testing.T) {
	s := open(t)
	lock, err := s.Lock(context.Background(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	worker := exec.Command("sleep", "60")
	worker.ExtraFiles = []*os.File{lock.File()}
	if err := worker.Start(); err != nil {
		t.Skipf("no program to stand for a worker: %v", err)
	}
	lock.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Lock(ctx, "k", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked beside a living worker: %v", err)
	}
	worker.Process.Kill()
	worker.Wait()
	again, err := s.Lock(context.Background(), "k", nil)
	if err != nil {
		t.Fatal(err)
	}
	again.Unlock()
}

func TestDigestsFollowContent(t *testing.T) {
	s := open(t)
	path := filepath.Join(t.TempDir(), "f")
	old := time.Now().Add(-time.Hour)
	write(t, path, "one")
	os.Chtimes(path, old, old)
	digest := func() string {
		t.Helper()
		sums, err := s.Digests(nil, []string{path})
		if err != nil {
			t.Fatal(err)
		}
		return sums[0]
	}
	one := digest()
	if digest() != one {
		t.Error("the digest moved")
	}
	// Another size, and later an equal size with another time.
	write(t, path, "three")
	three := digest()
	write(t, path, "seven")
	if seven := digest(); one == three || three == seven {
		t.Errorf("digests %s, %s, %s", one, three, seven)
	}
}

func TestDigestsOfASettledFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	old := time.Now().Add(-time.Hour)
	write(t, path, "one")
	os.Chtimes(path, old, old)
	time.Sleep(settled + 100*time.Millisecond) // so that the digest is remembered
	var one string
	for _, text := range []string{"null", "[1]\n", "1 2 3 4 x \"y\"\n", "\n", ""} {
		s := open(t)
		write(t, s.stampsPath(), text)
		sums, err := s.Digests(nil, []string{path})
		if err != nil {
			t.Fatalf("the stamps are %q: %v", text, err)
		}
		one = sums[0]
	}
	s := open(t)
	if sums, err := s.Digests(nil, []string{path}); err != nil || sums[0] != one {
		t.Fatalf("%v, %v; want %s", sums, err, one)
	}
	write(t, path, "two")
	os.Chtimes(path, old, old) // as rsync -t, cp -p and tar do
	if sums, err := s.Digests(nil, []string{path}); err != nil || sums[0] == one {
		t.Errorf("another content of the same size and time has the digest of the first (%v)", err)
	}
}

func TestARecordOfNoDigestIsMadeAgain(t *testing.T) {
	s := open(t)
	made := commit(t, s, "k", map[string]string{"f": "x"})
	made.Outputs["model"] = Output{Kind: "model"}
	data, err := json.Marshal(made)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.actionPath("k"), string(data))
	var damage *DamageError
	if _, err := s.Lookup("k"); !errors.As(err, &damage) {
		t.Errorf("Lookup = %v", err)
	}
}
