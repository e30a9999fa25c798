//go:build cudaemu

// Package emu is a driver.Driver without a GPU: memory is the host's, the kernels are compiled as plain C++ (emulator.h
// says how) and a matrix product is three loops. So all of gpu/cuda, kernels included, runs in tests on any machine that
// has g++; it says nothing about speed.
//
// Like a GPU it is late: work waits in a queue until somebody waits for it, so that memory which is used again too early
// is used wrongly here as well. The order of the threads of a kernel comes from a seed.
//
// Start at [Open]; [Settings] makes it fail as GPUs do.
package emu

// #cgo CXXFLAGS: -std=c++17 -O2 -DATHANOR_EMULATOR -I${SRCDIR} -Wno-unknown-pragmas
// #include <stdlib.h>
// #include <string.h>
// int athanor_launch(const char *name, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
//                    unsigned shared, void **args, unsigned long long seed);
// const char *athanor_error(void);
// static const char *launch(const char *name, const unsigned *shape, unsigned shared, void **args, unsigned long long seed) {
//     return athanor_launch(name, shape[0], shape[1], shape[2], shape[3], shape[4], shape[5], shared, args, seed) ? athanor_error() : NULL;
// }
// void athanor_multiply(int m, int n, int k, const void *a, const void *b, const void *c, void *d, int lda, int ldb, int ldd,
//                       int transA, int transB, int in, int out);
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"athanor/gpu/cuda/internal/driver"
	_ "athanor/gpu/cuda/kernels" // the C++ includes its files: a change of them changes this import
)

const (
	maxArgs   = 64 // of a kernel
	longQueue = 48 // operations that wait at most
)

// A device is host memory and a queue.
type device struct {
	Settings
	seed    uint64
	queued  []func() error
	count   int // operations queued so far
	done    int // and done
	used    int64
	sizes   map[driver.Ptr]int64
	pinned  []unsafe.Pointer
	names   map[string]*C.char
	cells   unsafe.Pointer // [maxArgs] values of arguments
	pointer unsafe.Pointer // [maxArgs] addresses of the values
	err     error          // of an operation that nobody waited for
	faulty  int            // launches so far of the kernel that is to fail
}

// Open returns an emulated GPU. The seed decides in which order the threads of kernels run.
func Open(seed uint64, s Settings) driver.Driver {
	d := &device{Settings: s, seed: seed, sizes: map[driver.Ptr]int64{}, names: map[string]*C.char{}}
	d.cells, d.pointer = C.malloc(8*maxArgs), C.malloc(8*maxArgs)
	for i := range maxArgs {
		*(*unsafe.Pointer)(unsafe.Add(d.pointer, 8*i)) = unsafe.Add(d.cells, 8*i)
	}
	return d
}

func (d *device) Properties() driver.Properties {
	return driver.Properties{Name: "emulated GPU", Major: d.Major, Minor: d.Minor, Multiprocessors: 4, Memory: d.Settings.Memory}
}

func (d *device) Memory() (int64, error) { return d.Settings.Memory - d.used, nil }

// Alloc returns memory full of NaN: a GPU's is not zero either.
func (d *device) Alloc(bytes int64) (driver.Ptr, error) {
	if d.used+bytes > d.Settings.Memory {
		return 0, driver.ErrOutOfMemory
	}
	p := C.aligned_alloc(256, C.size_t((bytes+255)/256*256))
	if p == nil {
		return 0, driver.ErrOutOfMemory
	}
	C.memset(p, 0xff, C.size_t(bytes))
	at := driver.Ptr(uintptr(p))
	d.used += bytes
	d.sizes[at] = bytes
	return at, nil
}

func (d *device) Free(p driver.Ptr) error {
	bytes, ok := d.sizes[p]
	if !ok {
		return fmt.Errorf("no memory was allocated at %#x", uint64(p))
	}
	err := d.Sync()
	d.used -= bytes
	delete(d.sizes, p)
	C.free(address(p))
	return err
}

func (d *device) Pinned(bytes int) ([]byte, error) {
	p := C.malloc(C.size_t(bytes))
	if p == nil {
		return nil, fmt.Errorf("%d bytes of host memory: %w", bytes, driver.ErrOutOfMemory)
	}
	d.pinned = append(d.pinned, p)
	return unsafe.Slice((*byte)(p), bytes), nil
}

// address is a place in the emulated memory as C passes it.
func address(p driver.Ptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&p)) // go vet takes a conversion for an address of Go's
}

func view(p driver.Ptr, bytes int64) []byte { return unsafe.Slice((*byte)(address(p)), bytes) }

// queue adds work. Its error comes out when somebody waits.
func (d *device) queue(work func() error) error {
	d.queued = append(d.queued, work)
	d.count++
	if len(d.queued) >= longQueue {
		d.run(d.count)
	}
	return nil
}

// run does the work up to the operation that is number until.
func (d *device) run(until int) {
	n := max(0, until-d.done)
	for _, work := range d.queued[:n] {
		if err := work(); err != nil && d.err == nil {
			d.err = err
		}
	}
	d.queued = append(d.queued[:0], d.queued[n:]...)
	d.done += n
}

func (d *device) Upload(dst driver.Ptr, src []byte) error {
	return d.queue(func() error { copy(view(dst, int64(len(src))), src); return nil })
}

func (d *device) Download(dst []byte, src driver.Ptr) error {
	return d.queue(func() error { copy(dst, view(src, int64(len(dst)))); return nil })
}

func (d *device) Copy(dst, src driver.Ptr, bytes int64) error {
	return d.queue(func() error { copy(view(dst, bytes), view(src, bytes)); return nil })
}

func (d *device) Zero(dst driver.Ptr, bytes int64) error {
	return d.queue(func() error { clear(view(dst, bytes)); return nil })
}

func (d *device) Launch(l driver.Launch) error {
	if len(l.Args) > maxArgs {
		return fmt.Errorf("kernel %s with %d arguments", l.Kernel, len(l.Args))
	}
	l.Args = append([]uint64(nil), l.Args...)
	order := d.seed + 1000003*uint64(d.count)
	return d.queue(func() error { return d.launch(l, order) })
}

func (d *device) launch(l driver.Launch, order uint64) error {
	if l.Kernel == d.Fault {
		if d.faulty++; d.faulty == d.After+1 {
			return errors.New("an illegal memory access was encountered")
		}
	}
	name, ok := d.names[l.Kernel]
	if !ok {
		name = C.CString(l.Kernel)
		d.names[l.Kernel] = name
	}
	copy(unsafe.Slice((*uint64)(d.cells), maxArgs), l.Args)
	var shape [6]C.uint
	for i := range 3 {
		shape[i], shape[3+i] = C.uint(l.Grid[i]), C.uint(l.Block[i])
	}
	if message := C.launch(name, &shape[0], C.uint(l.Shared), (*unsafe.Pointer)(d.pointer), C.ulonglong(order)); message != nil {
		return errors.New(C.GoString(message))
	}
	return nil
}

func (d *device) Multiply(p driver.Product) error {
	return d.queue(func() error {
		C.athanor_multiply(C.int(p.M), C.int(p.N), C.int(p.K), address(p.A), address(p.B), address(p.C), address(p.D),
			C.int(p.LDA), C.int(p.LDB), C.int(p.LDD), flag(p.TransA), flag(p.TransB), C.int(p.In), C.int(p.Out))
		return nil
	})
}

func flag(set bool) C.int {
	if set {
		return 1
	}
	return 0
}

// Record returns the number of the last operation queued.
func (d *device) Record(driver.Event) (driver.Event, error) { return d.count, nil }

func (d *device) Wait(e driver.Event) error {
	d.run(e.(int))
	return d.err
}

func (d *device) Sync() error {
	d.run(d.count)
	return d.err
}

func (d *device) Close() error {
	err := d.Sync()
	for _, p := range d.pinned {
		C.free(p)
	}
	for _, n := range d.names {
		C.free(unsafe.Pointer(n))
	}
	C.free(d.cells)
	C.free(d.pointer)
	if err == nil && len(d.sizes) > 0 {
		err = fmt.Errorf("%d allocations of the GPU were not freed", len(d.sizes))
	}
	return err
}
