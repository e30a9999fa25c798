// Package kernels holds the CUDA C++ of gpu/cuda and what it was compiled to. README.md in it says what each kernel does
// and how it is launched; it leaves launching to gpu/cuda, and running without a GPU to gpu/cuda/internal/emu.
//
// Start at [Image]. After a change of a kernel, go generate compiles all of them again; the package compile says what it
// needs. A test fails until that is done.
package kernels

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"path"
	"slices"
)

//go:generate go run -tags cuda ./compile image

// Source is the kernels' source text.
//
//go:embed *.cu *.cuh
var Source embed.FS

// Compiler is the release of NVRTC that compiles the kernels. The PTX of 12.8 loads in every driver that knows a GPU which
// needs it: those older than Hopper and Hopper itself have machine code here.
const Compiler = "12.8"

// A Target is a kind of GPU to compile for.
type Target struct {
	Name         string // as NVRTC's option --gpu-architecture has it, and the image's file
	Major, Minor int    // the compute capability
	Machine      bool   // machine code for GPUs of this major and no lower minor number, else PTX for all from here on
}

// Targets lists what is compiled, in the order in which an image is looked for.
var Targets = []Target{
	{"sm_90a", 9, 0, true},
	{"sm_80", 8, 0, true},
	{"compute_80", 8, 0, false},
}

// Options are NVRTC's options beside the architecture. A kernel that spills registers does not compile.
var Options = []string{"--std=c++17", "--device-as-default-execution-space", "--ptxas-options=-v", "--ptxas-options=-warn-spills"}

// Files lists the sources by name: the headers too, or only what is compiled.
func Files(headers bool) []string {
	entries, err := fs.ReadDir(Source, ".")
	if err != nil {
		panic(err) // it is part of the program
	}
	var names []string
	for _, e := range entries {
		if headers || path.Ext(e.Name()) == ".cu" {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// Digest identifies everything that the images depend on: compiler, targets, options and sources.
func Digest() string {
	hash := sha256.New()
	add := func(text string) {
		sum := sha256.Sum256([]byte(text))
		hash.Write(sum[:])
	}
	add(Compiler)
	for _, t := range Targets {
		add(t.Name)
	}
	for _, o := range Options {
		add(o)
	}
	for _, name := range Files(true) {
		text, err := fs.ReadFile(Source, name)
		if err != nil {
			panic(err) // it is part of the program
		}
		add(name)
		add(string(text))
	}
	return hex.EncodeToString(hash.Sum(nil))
}
