package cuda

import (
	"math"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// The parameters of kernels, each in a cell of 8 bytes.
func pointer(p driver.Ptr) uint64 { return uint64(p) }
func integer(v int) uint64        { return uint64(uint32(int32(v))) }
func long(v int) uint64           { return uint64(v) }
func float(v float64) uint64      { return uint64(math.Float32bits(float32(v))) }

// kernel is the name of the variant of a kernel for tensors of type t.
func kernel(name string, t gpu.DType) string {
	if t == gpu.BF16 {
		return name + "_bf16"
	}
	return name + "_f32"
}

// rowThreads is how many threads share a row of a tensor, and vocabularyThreads a row of logits.
const (
	rowThreads        = 128
	vocabularyThreads = 256
)

// rows queues a kernel whose every block takes one of n rows.
func (d *device) rows(name string, n, threads int, args ...uint64) {
	if n > 0 {
		d.launch(driver.Launch{Kernel: name, Grid: [3]int{n, 1, 1}, Block: [3]int{threads, 1, 1}, Args: args})
	}
}

// elements queues a kernel that goes through n elements in a stride of the grid.
func (d *device) elements(name string, n int, args ...uint64) {
	if n == 0 {
		return
	}
	const threads = 256
	blocks := min((n+4*threads-1)/(4*threads), 2048)
	d.launch(driver.Launch{Kernel: name, Grid: [3]int{blocks, 1, 1}, Block: [3]int{threads, 1, 1}, Args: args})
}

func roundUpTo(n, to int) int { return (n + to - 1) / to * to }

// The buffers of a device that operators use as they run, by what is in them.
const (
	partialSums = iota
	tensorList
	gatheredRows
	gatheredGradients
	logitRows
	rowStates
	tokenRows
	tokenFactors
	hostResults
	attentionWork
	roundedLeft
	roundedRight
	drawSettings
	scratchCount
)
