//go:build cudaemu

package cuda

import (
	"athanor/gpu/cuda/internal/driver"
	"athanor/gpu/cuda/internal/emu"
)

// Built tells whether this binary can open GPUs at all.
const Built = true

// openDriver opens the emulator. The index is the seed of the order in which the threads of kernels run.
func openDriver(index int) (driver.Driver, error) { return emu.Open(uint64(index)), nil }
