package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// The layers of ARCHITECTURE.md. A package may import what its own layer and the layers named here hold.
var layers = []struct {
	prefix string
	may    []string
	reason string
}{
	{"athanor/gpu", nil, "operators know tensors, not recipes: another program could use them"},
	{"athanor/dsl", nil, "the language is tested, and could be edited, without a step type or an engine"},
	{"athanor/steps", []string{"athanor/gpu"}, "a step sees its Runtime, never HCL, the store or the terminal: the same code runs in a worker on another machine"},
	{"athanor/engine", []string{"athanor/dsl", "athanor/steps"}, "the engine moves artifacts and never computes with tensors"},
}

func TestImportsRunOneWay(t *testing.T) {
	for _, imports := range listImports(t) {
		for _, layer := range layers {
			if !within(imports.ImportPath, layer.prefix) {
				continue
			}
			for _, path := range imports.Imports {
				if strings.HasPrefix(path, "athanor/") && !within(path, layer.prefix) && !withinAny(path, layer.may) {
					t.Errorf("%s imports %s: %s", imports.ImportPath, path, layer.reason)
				}
			}
		}
	}
}

// Each main package but the engine is a generator or an extractor; C is for the race detector and CUDA alone.
func TestDefaultBuildNeedsNoC(t *testing.T) {
	for _, imports := range listImports(t) {
		if len(imports.CgoFiles) > 0 {
			t.Errorf("%s needs cgo: %v", imports.ImportPath, imports.CgoFiles)
		}
	}
}

func TestNoPackageIsCalledUtil(t *testing.T) {
	for _, imports := range listImports(t) {
		switch imports.Name {
		case "util", "utils", "common", "types", "helpers", "misc":
			t.Errorf("%s is called %s, which says nothing of what it is for", imports.ImportPath, imports.Name)
		}
	}
}

type packageImports struct {
	ImportPath, Name  string
	Imports, CgoFiles []string
}

func listImports(t *testing.T) []packageImports {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Name,Imports,CgoFiles", "athanor/...")
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []packageImports
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p packageImports
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) < len(layers) {
		t.Fatalf("go list found only %d packages", len(list))
	}
	return list
}

func within(path, prefix string) bool { return path == prefix || strings.HasPrefix(path, prefix+"/") }

func withinAny(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if within(path, p) {
			return true
		}
	}
	return false
}
