//go:build cuda

package nvidia

// What gorgonia.org/cu does not bind.

// #include <stddef.h>
// int cuMemHostAlloc(void **p, size_t bytes, unsigned flags);
// int cuFuncSetAttribute(void *function, int attribute, int value);
import "C"

import (
	"fmt"
	"unsafe"

	"gorgonia.org/cu"
)

// maxDynamicShared is CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
const maxDynamicShared = 8

// allowShared lets a kernel be launched with so many bytes of dynamic shared memory: where they and what it declares are more
// than 48 KiB, it must be asked for.
func allowShared(f cu.Function, bytes int) error {
	handle := *(*unsafe.Pointer)(unsafe.Pointer(&f)) // cu.Function is a CUfunction, which it does not show
	return status(C.cuFuncSetAttribute(handle, maxDynamicShared, C.int(bytes)))
}

// Pinned returns page-locked host memory.
func (d *device) Pinned(bytes int) (memory []byte, err error) {
	err = d.do(func() error {
		var p unsafe.Pointer
		if err := status(C.cuMemHostAlloc(&p, C.size_t(bytes), 0)); err != nil {
			return fmt.Errorf("%d bytes of page-locked host memory: %w", bytes, err)
		}
		d.pinned = append(d.pinned, p)
		memory = unsafe.Slice((*byte)(p), bytes)
		return nil
	})
	return memory, err
}

func status(code C.int) error {
	if code == 0 {
		return nil
	}
	return fmt.Errorf("CUDA error %d", int(code))
}
