// Package driver is what the host logic of gpu/cuda asks of a GPU: memory, copies, kernels by name, matrix products and
// events, all in the order of one stream. internal/nvidia implements it with the CUDA driver, the emulator with host
// memory and the same kernels compiled as plain C++.
//
// It knows no operator and no tensor. Start at [Driver].
package driver

import "errors"

// ErrOutOfMemory is wrapped by the error of an allocation that did not fit.
var ErrOutOfMemory = errors.New("out of GPU memory")

// A Ptr is an address in the GPU's memory; 0 is none.
type Ptr uint64

// Properties describe a GPU.
type Properties struct {
	Name            string
	Major, Minor    int   // compute capability
	Multiprocessors int   // that blocks of threads are spread over
	Memory          int64 // bytes in all
}

// A Launch is a grid of blocks of threads that run one kernel.
type Launch struct {
	Kernel      string
	Grid, Block [3]int
	Shared      int      // bytes of shared memory per block beside what the kernel declares
	Args        []uint64 // one cell for each parameter: a pointer, or the bits of an int, a long long or a float
}

// A Type is the number format of a matrix.
type Type uint8

const (
	F32 Type = iota
	BF16
)

// Size is the bytes of one element.
func (t Type) Size() int {
	if t == BF16 {
		return 2
	}
	return 4
}

// A Product is D = C + op(A)·op(B), all row-major, accumulated in float32. op(A) is M×K and op(B) is K×N; a transposed
// operand is stored the other way round. The leading dimensions count elements from one stored row to the next. C has D's type
// and leading dimension and may be D itself; 0 leaves it out. A bfloat16 result is rounded once.
type Product struct {
	M, N, K        int
	A, B, C, D     Ptr
	LDA, LDB, LDD  int
	TransA, TransB bool
	In             Type // of A and B
	Out            Type // of C and D
}

// An Event marks a place in the stream.
type Event any

// A Driver is an open GPU with one stream. Its methods are called from one goroutine at a time, in any thread. Work is
// queued and done in order; an error may belong to work that was queued before.
type Driver interface {
	Properties() Properties
	// Memory is how many bytes can be allocated now.
	Memory() (free int64, err error)
	Alloc(bytes int64) (Ptr, error)
	Free(p Ptr) error

	// Pinned returns page-locked host memory, which the GPU copies from and to by itself, until Close.
	Pinned(bytes int) ([]byte, error)
	// Upload and Download copy from and to pinned memory, which the caller leaves alone until they are done.
	Upload(dst Ptr, src []byte) error
	Download(dst []byte, src Ptr) error
	Copy(dst, src Ptr, bytes int64) error
	Zero(dst Ptr, bytes int64) error

	Launch(l Launch) error
	Multiply(p Product) error

	// Record queues an event, anew if it was recorded before; the first time it is nil.
	Record(e Event) (Event, error)
	// Wait returns when the stream has come to the event.
	Wait(e Event) error
	// Sync returns when the stream is empty.
	Sync() error
	Close() error
}
