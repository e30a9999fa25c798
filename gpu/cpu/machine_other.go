//go:build !linux

package cpu

import "runtime"

// totalMemory is the memory of the machine in bytes, 0 if unknown.
func totalMemory() int64 { return 0 }

// processorName is the architecture where the maker's name is not at hand.
func processorName() string { return runtime.GOARCH }

// adviseHuge would ask for large pages.
func adviseHuge([]float32) {}
