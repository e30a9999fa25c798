package tokens

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// smallDocuments are those of testdata/indexed.py.
func smallDocuments() [][]int32 {
	long := make([]int32, 300)
	for i := range long {
		long[i] = int32(100 + i)
	}
	return [][]int32{{1, 2, 3}, {0}, {}, {65534, 7, 7, 7, 42}, long}
}

func writeIndexed(t *testing.T, base string, vocab int, docs [][]int32) {
	t.Helper()
	w, err := CreateIndexed(base, vocab)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range docs {
		if err := w.Append(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// The files are byte for byte those that numpy writes, and read back as the same ids.
func TestIndexedNumpy(t *testing.T) {
	for _, c := range []struct {
		name  string
		vocab int
	}{
		{"small16", 65535},
		{"small32", 65536},
	} {
		base := filepath.Join(t.TempDir(), c.name)
		writeIndexed(t, base, c.vocab, smallDocuments())
		for _, ext := range []string{".bin", ".idx"} {
			got, err := os.ReadFile(base + ext)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join("testdata", c.name+ext))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("%s%s differs from numpy's", c.name, ext)
			}
		}
		ix, err := OpenIndexed(filepath.Join("testdata", c.name))
		if err != nil {
			t.Fatal(err)
		}
		if ix.Len() != 5 || ix.Tokens() != 309 {
			t.Errorf("%s: %d documents, %d tokens", c.name, ix.Len(), ix.Tokens())
		}
		for i, want := range smallDocuments() {
			if got := ix.Append(nil, i, 0, ix.Size(i)); !slices.Equal(got, want) {
				t.Errorf("%s document %d: %v, want %v", c.name, i, got, want)
			}
		}
		if got := ix.Append([]int32{9}, 3, 1, 5); !slices.Equal(got, []int32{9, 7, 7, 7, 42}) {
			t.Errorf("%s: tokens 1:5 of document 3 appended to 9 are %v", c.name, got)
		}
		if err := ix.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestLengthsNumpy(t *testing.T) {
	want := []int64{5, 0, 123456789012}
	got, err := readLengths("testdata/small.npy")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("numpy's lengths read as %v, %v", got, err)
	}
	path := filepath.Join(t.TempDir(), "x.npy")
	if err := writeLengths(path, want); err != nil {
		t.Fatal(err)
	}
	ours, _ := os.ReadFile(path)
	theirs, _ := os.ReadFile("testdata/small.npy")
	if !bytes.Equal(ours, theirs) {
		t.Errorf("%q differs from numpy's %q", ours, theirs)
	}
	for _, damaged := range [][]byte{nil, theirs[:5], theirs[:40], theirs[:len(theirs)-1], append(slices.Clone(theirs), 0)} {
		if err := os.WriteFile(path, damaged, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := readLengths(path); err == nil {
			t.Errorf("%d bytes of a damaged file were read", len(damaged))
		}
	}
}

func TestIndexedDamage(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(idx, bin []byte) ([]byte, []byte)
		want   string
	}{
		{"no index", func(_, bin []byte) ([]byte, []byte) { return nil, bin }, "x.idx: not a Megatron index"},
		{"other magic", func(idx, bin []byte) ([]byte, []byte) { idx[0] = 'X'; return idx, bin }, "not a Megatron index"},
		{"other version", func(idx, bin []byte) ([]byte, []byte) { idx[9] = 2; return idx, bin }, "version 2"},
		{"other numbers", func(idx, bin []byte) ([]byte, []byte) { idx[17] = 6; return idx, bin }, "number format 6"},
		{"index cut short", func(idx, bin []byte) ([]byte, []byte) { return idx[:len(idx)-1], bin }, "damaged: 5 sequences"},
		{"huge count", func(idx, bin []byte) ([]byte, []byte) { idx[25] = 0xff; return idx, bin }, "damaged"},
		{"wrong size", func(idx, bin []byte) ([]byte, []byte) { idx[indexHeader]++; return idx, bin }, "damaged: sequence 1"},
		{"ids cut short", func(idx, bin []byte) ([]byte, []byte) { return idx, bin[:100] }, "x.bin has 100 bytes, its index says 618"},
		{"no ids", func(idx, bin []byte) ([]byte, []byte) { return idx, nil }, "x.bin has 0 bytes"},
	} {
		base := filepath.Join(t.TempDir(), "x")
		writeIndexed(t, base, 65535, smallDocuments())
		idx, _ := os.ReadFile(base + ".idx")
		bin, _ := os.ReadFile(base + ".bin")
		idx, bin = c.damage(idx, bin)
		if err := os.WriteFile(base+".idx", idx, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(base+".bin", bin, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIndexed(base); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", c.name, err, c.want)
		}
	}
}

func TestIndexedRejectsIDs(t *testing.T) {
	for _, id := range []int32{-1, 100, 70000} {
		w, err := CreateIndexed(filepath.Join(t.TempDir(), "x"), 100)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append([]int32{99, id}); err == nil {
			t.Errorf("the id %d was written for a vocabulary of 100", id)
		}
		w.Abort()
	}
}
