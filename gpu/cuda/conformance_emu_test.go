//go:build cudaemu

package cuda

import (
	"testing"

	"athanor/gpu/gputest"
)

// TestConformance runs the suite on the emulator. What the suite takes for a number of threads is here the seed of the
// order in which the threads of kernels run: a race shows as bits that differ.
func TestConformance(t *testing.T) {
	gputest.Run(t, Open, gputest.Tolerance{F32: 1e-5, Products: 3e-4, BF16: 1e-2})
}
