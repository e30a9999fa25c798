package store

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMaterialIsKeptBesideTheRecord(t *testing.T) {
	s := open(t)
	made := commit(t, s, "k", map[string]string{"f": "x"})
	if got, err := s.Material("k"); err != nil || string(got) != `{"made of":"this"}` {
		t.Errorf("Material = %s, %v", got, err)
	}
	if got, err := s.Material("never made"); got != nil || err != nil {
		t.Errorf("of a key that was never made: %s, %v", got, err)
	}
	// Damaged outputs explain as well.
	if err := os.RemoveAll(s.objectPath(made.Outputs["model"].Digest)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Material("k"); err != nil || len(got) == 0 {
		t.Errorf("without the outputs: %s, %v", got, err)
	}
}

// Stores that an engine before there were two lines has filled are read as they are.
func TestARecordOfOneLine(t *testing.T) {
	s := open(t)
	made := commit(t, s, "k", map[string]string{"f": "x"})
	data, err := json.Marshal(struct {
		*Action
		Material any `json:"material"`
	}{made, map[string]int{"seed": 7}})
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"\n", ""} {
		write(t, s.actionPath("k"), string(data)+end)
		if found, err := s.Lookup("k"); err != nil || found == nil || found.Outputs["model"] != made.Outputs["model"] {
			t.Errorf("Lookup = %+v, %v", found, err)
		}
		if got, err := s.Material("k"); err != nil || string(got) != `{"seed":7}` {
			t.Errorf("Material = %s, %v", got, err)
		}
	}
	if found, err := s.Verify(context.Background()); err != nil || len(found) != 0 {
		t.Errorf("Verify = %v, %v", found, err)
	}
}

func TestVerifyReadsBothLines(t *testing.T) {
	s := open(t)
	commit(t, s, "k", map[string]string{"f": "x"})
	data, err := os.ReadFile(s.actionPath("k"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.actionPath("k"), strings.TrimSuffix(string(data), "}\n"))
	if found, err := s.Verify(context.Background()); err != nil || len(found) != 1 || found[0].Reason != "damaged" || found[0].Object != "k" {
		t.Errorf("Verify = %v, %v", found, err)
	}
	if made, err := s.Lookup("k"); made != nil || err != nil {
		t.Errorf("after that, Lookup = %v, %v", made, err)
	}
}

// Digests are remembered by stores of later processes, whatever the names, and only as they were written.
func TestStampsAreTrustedAsWritten(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	var paths []string
	names := []string{"plain", "two words", "a\nb\t\"c\"", "é"}
	if runtime.GOOS == "linux" { // others want UTF-8
		names = append(names, "\xff\xfe")
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		write(t, path, name)
		paths = append(paths, path)
	}
	paths = append(paths, os.DevNull)
	time.Sleep(settled + 100*time.Millisecond)
	first := digests(t, root, paths)
	stamps := filepath.Join(root, "files.txt")
	text, err := os.ReadFile(stamps)
	if err != nil {
		t.Fatal(err)
	}
	if known, ok := parseStamps(string(text)); !ok || len(known) != len(paths)-1 {
		t.Fatalf("%d stamps of %d files", len(known), len(paths)-1)
	}
	info, err := os.Stat(stamps)
	if err != nil {
		t.Fatal(err)
	}
	if again := digests(t, root, paths); strings.Join(again, " ") != strings.Join(first, " ") {
		t.Errorf("then %q, now %q", first, again)
	}
	if now, err := os.Stat(stamps); err != nil || !os.SameFile(now, info) {
		t.Errorf("the stamps were written although nothing had changed (%v)", err)
	}
	// A stamp that somebody has changed is not trusted, nor one cut short.
	for name, bad := range map[string][]byte{
		"changed": bytes.Replace(text, []byte(first[0]), []byte(first[1]), 1), "cut": text[:len(text)/2], "ends early": text[:len(text)-1],
	} {
		write(t, stamps, string(bad))
		if again := digests(t, root, paths); strings.Join(again, " ") != strings.Join(first, " ") {
			t.Errorf("%s: %q, want %q", name, again, first)
		}
	}
}

// digests asks a store that has just been opened.
func digests(t *testing.T, root string, paths []string) []string {
	t.Helper()
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sums, err := s.Digests(nil, paths)
	if err != nil {
		t.Fatal(err)
	}
	return sums
}
