// Package kernels holds the CUDA C++ of gpu/cuda and what it was compiled to. README.md in it says what each kernel does
// and how it is launched; it leaves launching to gpu/cuda, and running without a GPU to gpu/cuda/internal/emu.
package kernels

import "embed"

// Source is the kernels' source text.
//
//go:embed *.cu *.cuh
var Source embed.FS
