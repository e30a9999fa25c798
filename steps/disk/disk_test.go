package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// A look stays as it was, another one sees what is there now, and so does none.
func TestALookIsOfOneTime(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a")
	write(t, file, "one")
	sees := func(l *Look) (names []string, size int64) {
		t.Helper()
		entries, err := l.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name)
			if e.Path != filepath.Join(dir, e.Name) {
				t.Errorf("the path of %s is %s", e.Name, e.Path)
			}
		}
		f, err := l.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		return names, f.Size
	}
	first := NewLook()
	sees(first)
	write(t, file, "three")
	write(t, filepath.Join(dir, "b"), "")
	for _, c := range []struct {
		name string
		look *Look
		want []string
		size int64
	}{
		{"the first look", first, []string{"a"}, 3},
		{"a new look", NewLook(), []string{"a", "b"}, 5},
		{"none", nil, []string{"a", "b"}, 5},
	} {
		if names, size := sees(c.look); !slices.Equal(names, c.want) || size != c.size {
			t.Errorf("%s sees %q and %d bytes, want %q and %d", c.name, names, size, c.want, c.size)
		}
	}
}

func TestReadTreeReadsWhatIsNotSkipped(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"x/y/z/f", "x/no/deep/f", "f"} {
		write(t, filepath.Join(dir, name), "")
	}
	if err := os.Symlink(filepath.Join(dir, "x"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	l := NewLook()
	l.ReadTree(dir, func(e Entry) bool { return e.Name == "no" })
	var got []string
	for path := range l.folders {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, name)
	}
	slices.Sort(got)
	if want := []string{".", "x", "x/y", "x/y/z"}; !slices.Equal(got, want) {
		t.Errorf("folders read: %q, want %q", got, want)
	}
	entries, err := l.ReadDir(dir)
	if err != nil || len(entries) != 3 || !entries[1].Link || entries[1].Dir || !entries[2].Dir {
		t.Errorf("entries %+v, %v", entries, err)
	}
}

func TestStatAll(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range 300 {
		path := filepath.Join(dir, string(rune('a'+i%26)), string(rune('a'+i/26)))
		write(t, path, string(make([]byte, i)))
		paths = append(paths, path)
	}
	paths = append(paths, os.DevNull, dir)
	for _, l := range []*Look{nil, NewLook()} {
		for range 2 { // what has been seen, too
			files, err := l.StatAll(paths)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range files {
				if i < 300 && f.Size != int64(i) || f.Regular != (i < 300) {
					t.Errorf("%s is %+v", paths[i], f)
				}
			}
		}
		gone := []string{paths[0], filepath.Join(dir, "gone"), filepath.Join(dir, "too")}
		var failed *fs.PathError
		if _, err := l.StatAll(gone); !errors.As(err, &failed) || failed.Path != gone[1] {
			t.Errorf("the error is %v, want one about %s", err, gone[1])
		}
	}
}

func TestALookIsForSeveral(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "x", "f"), "")
	l := NewLook()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			l.ReadTree(dir, func(Entry) bool { return false })
			if files, err := l.StatAll([]string{filepath.Join(dir, "x", "f")}); err != nil || !files[0].Regular {
				t.Errorf("%v, %v", files, err)
			}
		})
	}
	all.Wait()
}
