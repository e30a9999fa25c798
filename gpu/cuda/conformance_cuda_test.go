//go:build cuda && !cudaemu

package cuda

import (
	"testing"

	"athanor/gpu"
	"athanor/gpu/gputest"
)

// openGPU opens the first GPU, whatever the number of threads. On a machine without one the libraries that
// internal/nvidia/testdata/fake/build.sh makes stand for it, if LD_LIBRARY_PATH names them.
func openGPU(int) (gpu.Device, error) { return Open(0) }

func TestConformance(t *testing.T) {
	if !Available() {
		_, err := Open(0)
		t.Skip(err)
	}
	gputest.Run(t, inChunks(openGPU), gputest.Tolerance{F32: 1e-5, Products: 3e-4, BF16: 1e-2})
}

func BenchmarkOperators(b *testing.B) {
	if !Available() {
		_, err := Open(0)
		b.Skip(err)
	}
	for _, of := range []gpu.DType{gpu.BF16, gpu.F32} {
		b.Run(of.String(), func(b *testing.B) { gputest.Bench(b, openGPU, of) })
	}
}
