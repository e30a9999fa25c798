//go:build cudaemu

package main

import "testing"

// TestCUDAScripts runs testdata/cuda/*.txtar: the command on a GPU, which the emulator stands for.
func TestCUDAScripts(t *testing.T) { runScripts(t, "testdata/cuda") }
