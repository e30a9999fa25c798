//go:build cuda

package nvidia

// #include <stdlib.h>
// #include "blas.h"
import "C"

import (
	"fmt"
	"math/bits"
	"unsafe"

	"gorgonia.org/cu"

	"athanor/gpu/cuda/internal/driver"
)

// workspace is the GPU memory that cuBLASLt may use as scratch: what NVIDIA advises for Hopper.
const workspace = 32 << 20

// blas is cuBLASLt with the products that it has been asked for. The heuristics are asked once for each shape: they take
// longer than a small product, and the same algorithm gives the same bits.
type blas struct {
	handle  unsafe.Pointer
	scratch cu.DevicePtr
	plans   map[C.athanor_shape]*C.athanor_matmul
}

func newBLAS() (*blas, error) {
	if err := loadBLAS(); err != nil {
		return nil, err
	}
	b := &blas{plans: map[C.athanor_shape]*C.athanor_matmul{}}
	if err := blasError(C.athanor_blas_create(&b.handle)); err != nil {
		return nil, fmt.Errorf("cuBLASLt %d does not start: %w", C.athanor_blas_version(), err)
	}
	var err error
	if b.scratch, err = cu.MemAlloc(workspace); err != nil {
		return nil, fmt.Errorf("the workspace of cuBLASLt, %d MiB: %w", workspace>>20, outOfMemory(err))
	}
	return b, nil
}

func (b *blas) close() {
	for _, p := range b.plans {
		C.athanor_blas_free(p)
		C.free(unsafe.Pointer(p))
	}
	if b.scratch != 0 {
		_ = cu.MemFree(b.scratch)
	}
	C.athanor_blas_destroy(b.handle)
}

// multiply queues a product. cuBLASLt is column-major, and a row-major matrix is its own transpose there: it is asked for
// Dᵀ = op(B)ᵀ·op(A)ᵀ, with the operands as they lie.
func (b *blas) multiply(p driver.Product, stream cu.Stream) error {
	c, beta := p.C, 1.0
	if c == 0 {
		c, beta = p.D, 0
	}
	shape := C.athanor_shape{
		transA: flag(p.TransB), transB: flag(p.TransA),
		m: C.int64_t(p.N), n: C.int64_t(p.M), k: C.int64_t(p.K),
		lda: C.int64_t(p.LDB), ldb: C.int64_t(p.LDA), ldd: C.int64_t(p.LDD),
		in: dataType(p.In), out: dataType(p.Out),
		alignA: alignment(p.B), alignB: alignment(p.A), alignC: alignment(c), alignD: alignment(p.D),
	}
	plan, err := b.plan(shape)
	if err != nil {
		return fmt.Errorf("a product of %d×%d by %d×%d: %w", p.M, p.K, p.K, p.N, err)
	}
	return blasError(C.athanor_blas_run(b.handle, plan, address(p.B), address(p.A), C.float(beta), address(c), address(p.D),
		address(driver.Ptr(b.scratch)), workspace, unsafe.Pointer(stream.C())))
}

func (b *blas) plan(shape C.athanor_shape) (*C.athanor_matmul, error) {
	if p, ok := b.plans[shape]; ok {
		return p, nil
	}
	p := (*C.athanor_matmul)(C.malloc(C.sizeof_athanor_matmul))
	if err := blasError(C.athanor_blas_plan(b.handle, &shape, workspace, p)); err != nil {
		C.free(unsafe.Pointer(p))
		return nil, err
	}
	b.plans[shape] = p
	return p, nil
}

func flag(set bool) C.int {
	if set {
		return 1
	}
	return 0
}

// dataType is a cudaDataType: CUDA_R_16BF or CUDA_R_32F.
func dataType(t driver.Type) C.int {
	if t == driver.BF16 {
		return 14
	}
	return 0
}

// alignment is the greatest power of two up to 256 that divides an address. Rows of a slice begin anywhere.
func alignment(p driver.Ptr) C.uint32_t {
	return C.uint32_t(1) << min(8, bits.TrailingZeros64(uint64(p)))
}

// address is a place in the GPU's memory as C passes it.
func address(p driver.Ptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&p)) // go vet takes a conversion for an address of Go's
}

func blasError(status C.int) error {
	if status == 0 {
		return nil
	}
	name := map[C.int]string{
		1: "not initialized", 3: "allocation failed", 7: "invalid value", 8: "architecture mismatch", 11: "mapping error",
		13: "execution failed", 14: "internal error", 15: "not supported",
	}[status]
	return fmt.Errorf("cuBLASLt status %d (%s)", int(status), name)
}
