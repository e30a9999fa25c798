//go:build cuda

package nvidia

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu/cuda/internal/driver"
)

// TestErrors opens machines on which something is missing, each in a process of its own.
func TestErrors(t *testing.T) {
	const variable = "NVIDIA_TEST_INDEX"
	if index := os.Getenv(variable); index != "" {
		var i int
		_, _ = fmt.Sscan(index, &i)
		d, err := Open(i, func(driver.Properties) ([]byte, error) { return []byte("//\x00"), nil })
		fmt.Println("error:", err)
		if err == nil {
			fmt.Println("opened:", d.Properties().Name, d.Close())
		}
		return
	}
	if hasDriver() {
		t.Skip("this machine has a driver, which would be found first")
	}
	if _, err := exec.LookPath("g++"); err != nil {
		t.Skip("no g++ to build a driver without a GPU")
	}
	whole, half := t.TempDir(), t.TempDir()
	if out, err := exec.Command("testdata/fake/build.sh", whole).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(whole, "libcuda.so.1"), filepath.Join(half, "libcuda.so.1")); err != nil {
		t.Fatal(err)
	}
	python := t.TempDir() // a virtual environment with pip's nvidia-cublas
	packages := filepath.Join(python, "lib/python3.12/site-packages/nvidia/cu13/lib")
	for path, to := range map[string]string{
		filepath.Join(python, "bin", "python3"):      "/bin/true",
		filepath.Join(packages, "libcublasLt.so.13"): filepath.Join(whole, "libcublasLt.so.13"),
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.Symlink(to, path)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, index, libraries string
		env                    []string
		want                   []string
	}{
		{"all is well", "0", whole, nil, []string{"opened: Fake GPU <nil>"}},
		{"no driver", "0", "", nil, []string{"no NVIDIA driver", "libcuda.so.1 was not found", "--device cpu"}},
		{"no GPU", "0", whole, []string{"FAKE_CUDA_INIT=100"}, []string{"finds no GPU", "CUDA_VISIBLE_DEVICES"}},
		{"a driver that does not start", "0", whole, []string{"FAKE_CUDA_INIT=999"}, []string{"cuInit returns error 999", "nvidia-smi"}},
		{"an old driver", "0", whole, []string{"FAKE_CUDA_VERSION=11040"}, []string{"loading the kernels", "is one of CUDA 11.4", "from 525 on"}},
		{"no such GPU", "3", whole, nil, []string{"no GPU has index 3: this machine has 1"}},
		{"no cuBLASLt", "0", half, []string{"ATHANOR_CUBLASLT="}, []string{"Fake GPU: no cuBLASLt", "Looked for libcublasLt.so.13", "LD_LIBRARY_PATH", "pip's nvidia-cublas"}},
		{"the cuBLASLt of the Python on the PATH", "0", half, []string{"ATHANOR_CUBLASLT=", "VIRTUAL_ENV=", "PATH=" + filepath.Join(python, "bin")}, []string{"opened: Fake GPU <nil>"}},
		{"a cuBLASLt that is none", "0", half, []string{"ATHANOR_CUBLASLT=" + filepath.Join(whole, "libcuda.so.1")}, []string{"has no function cublasLtGetVersion"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.name == "no cuBLASLt" && len(installed()) > 0 {
				t.Skipf("this machine has %s", installed()[0])
			}
			command := exec.Command(os.Args[0], "-test.run=^TestErrors$")
			command.Env = append(os.Environ(), variable+"="+c.index, "LD_LIBRARY_PATH="+c.libraries)
			command.Env = append(command.Env, c.env...)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range c.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("%q is not in\n%s", want, out)
				}
			}
		})
	}
}

// hasDriver reports whether this machine has a driver of its own.
func hasDriver() bool {
	_, err := Probe(0)
	return err == nil || !strings.Contains(err.Error(), "libcuda.so.1 was not found")
}

// installed lists the cuBLASLt that stand where they usually do.
func installed() []string {
	var found []string
	for _, folder := range blasFolders() {
		for _, name := range blasNames {
			if path := filepath.Join(folder, name); exists(path) {
				found = append(found, path)
			}
		}
	}
	return found
}
