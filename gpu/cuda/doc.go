// Package cuda runs the operators of package gpu on an NVIDIA GPU, in float32 or with weights and activations in bfloat16.
//
// Start at [Open]. One file holds one family of operators, forward beside backward. They are host logic in plain Go, written
// against the small interface internal/driver: they check shapes, lay out working memory and queue kernels and matrix
// products. Two packages implement it:
//
//	internal/nvidia  a GPU, through gorgonia.org/cu and cuBLASLt; build tag cuda
//	internal/emu     host memory, and the same kernels as plain C++; build tag cudaemu, for tests
//
// The kernels and what each asks of a launch stand in kernels/README.md. Without either tag, Open is an error that says
// how to build.
//
// # Order
//
// Everything happens in the order of one stream: operators queue and return. What comes back to the host waits: Read, the
// results of LMHead, LMHeadLoss, SumSquares and Sample, Sync. Numbers on their way to the GPU pass through page-locked memory
// (staging.go), so the caller's own may change as soon as an operator has returned. The first error is kept, everything after it
// does nothing, and Sync returns it.
//
// # Memory
//
// Tensors and working memory come from an arena (arena.go) that takes large chunks from the driver and keeps them: after the
// first step of a training nothing is allocated.
//
// # Same bits
//
// No kernel adds to memory in an order that depends on timing, the cut into chunks follows from the shapes, and cuBLASLt is asked
// for its algorithm once for each shape. So a GPU of one kind gives the same bits in every run.
package cuda
