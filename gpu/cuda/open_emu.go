//go:build cudaemu

package cuda

import (
	"os"

	"athanor/gpu/cuda/internal/driver"
	"athanor/gpu/cuda/internal/emu"
)

// available keeps "auto" from the emulator, which is slow and for tests.
func available() bool { return false }

// openDriver opens the emulator. The index is the seed of the order in which the threads of kernels run;
// ATHANOR_EMULATOR has its settings.
func openDriver(index int) (driver.Driver, error) {
	s, err := emu.Parse(os.Getenv("ATHANOR_EMULATOR"))
	if err != nil {
		return nil, err
	}
	d := emu.Open(uint64(index), s)
	if err := supported(d.Properties()); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}
