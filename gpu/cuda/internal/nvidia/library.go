//go:build cuda

package nvidia

// #include <stdlib.h>
// #include "blas.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"
)

// blasNames are the files of cuBLASLt, the newest first. Its interface as far as blas.h has it is the same in all.
var blasNames = []string{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}

// blasFolders are where toolkits and pip put it; LD_LIBRARY_PATH and the system's own folders come first.
func blasFolders() []string {
	var folders []string
	for _, pattern := range []string{
		"/usr/local/cuda/lib64", "/usr/local/cuda-*/lib64", "/usr/local/cuda/targets/*/lib", "/opt/cuda/lib64",
		"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
	} {
		found, _ := filepath.Glob(pattern) // the pattern is well formed
		folders = append(folders, found...)
	}
	for _, root := range pythons() {
		for _, packages := range []string{"site-packages", "dist-packages"} {
			found, _ := filepath.Glob(filepath.Join(root, "lib", "python3*", packages, "nvidia", "*", "lib"))
			folders = append(folders, found...)
		}
	}
	return folders
}

// pythons lists where Python may have been installed, that of the PATH before others.
func pythons() []string {
	var roots []string
	add := func(root string) {
		if root != "" && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	add(os.Getenv("VIRTUAL_ENV"))
	add(os.Getenv("CONDA_PREFIX"))
	for _, name := range []string{"python3", "python"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		add(filepath.Dir(filepath.Dir(path))) // of a virtual environment, whose python is a link to another's
		if path, err = filepath.EvalSymlinks(path); err == nil {
			add(filepath.Dir(filepath.Dir(path)))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		add(filepath.Join(home, ".local"))
	}
	for _, root := range []string{"/usr/local", "/usr", "/opt/venv", "/opt/conda"} {
		add(root)
	}
	return roots
}

// blasVariable names a file of cuBLASLt that stands elsewhere.
const blasVariable = "ATHANOR_CUBLASLT"

var blasLoaded bool

// loadBLAS opens the first cuBLASLt that there is. One that is there and cannot be opened is an error of its own.
func loadBLAS() error {
	if blasLoaded {
		return nil
	}
	candidates := blasNames // found by the dynamic linker: LD_LIBRARY_PATH, ld.so.cache
	folders := blasFolders()
	if path := os.Getenv(blasVariable); path != "" {
		candidates, folders = []string{path}, nil
	}
	for _, folder := range folders {
		for _, name := range blasNames {
			if path := filepath.Join(folder, name); exists(path) {
				candidates = append(candidates, path)
			}
		}
	}
	var broken []error
	for _, path := range candidates {
		err := openBLAS(path)
		if err == nil {
			blasLoaded = true
			return nil
		}
		if filepath.IsAbs(path) {
			broken = append(broken, err)
		}
	}
	text := ""
	if len(broken) > 0 {
		text = "\n" + errors.Join(broken...).Error()
	}
	return fmt.Errorf("no cuBLASLt can be opened, which computes matrix products. It is part of the CUDA toolkit and of "+
		"pip's nvidia-cublas; set LD_LIBRARY_PATH, or %s to its file. Looked for %s in LD_LIBRARY_PATH, the system's libraries%s%s",
		blasVariable, strings.Join(blasNames, ", "), list(folders), text)
}

func list(folders []string) string {
	if len(folders) == 0 {
		return ""
	}
	return " and " + strings.Join(folders, ", ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func openBLAS(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	message := make([]byte, 512)
	if C.athanor_blas_load(name, (*C.char)(unsafe.Pointer(&message[0])), C.size_t(len(message))) != 0 {
		text, _, _ := strings.Cut(string(message), "\x00")
		return errors.New(text)
	}
	return nil
}
