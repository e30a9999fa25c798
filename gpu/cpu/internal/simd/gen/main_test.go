package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTreeAgrees fails if the generated files are not what this generator writes.
func TestTreeAgrees(t *testing.T) {
	want := files()
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Error(err)
		} else if string(got) != text {
			t.Errorf("%s is stale: run go generate ./gpu/cpu/internal/simd", name)
		}
	}
	have, err := filepath.Glob("../*.s")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if _, ok := want[filepath.Base(path)]; !ok {
			t.Errorf("%s is not generated: remove it", path)
		}
	}
}
