//go:build cuda

// Package nvidia is a driver.Driver on a real GPU: gorgonia.org/cu for what it binds, lacking.go for what it does not,
// and cuBLASLt for matrix products.
//
// A binary needs neither the CUDA toolkit nor, to start, a driver: libcuda.c opens libcuda.so.1 when a GPU is first asked
// for, and blas.c looks for libcublasLt. To build it takes a C compiler and cuda.h of CUDA 11 or 12.
//
// Start at [Open].
package nvidia

// #cgo LDFLAGS: -L${SRCDIR}/link -ldl
// int athanor_load_driver(void);
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"

	"athanor/gpu/cuda/internal/driver"
)

// A device is one GPU with its primary context, which cuBLASLt shares. A context belongs to a thread and a goroutine does
// not, so every method makes it current first.
type device struct {
	id         cu.Device
	context    cu.CUContext
	stream     cu.Stream
	module     cu.Module
	functions  map[string]cu.Function
	shared     map[string]int // bytes of shared memory that each function was allowed
	blas       *blas
	pinned     []unsafe.Pointer
	args       []unsafe.Pointer
	properties driver.Properties
}

// Probe describes a GPU without opening it.
func Probe(index int) (driver.Properties, error) {
	switch status := C.athanor_load_driver(); status {
	case 0:
	case -1:
		return driver.Properties{}, errors.New("no NVIDIA driver: libcuda.so.1 was not found; install the driver, or use --device cpu")
	case 100:
		return driver.Properties{}, errors.New("the NVIDIA driver finds no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES, or use --device cpu")
	default:
		return driver.Properties{}, fmt.Errorf("the NVIDIA driver does not start: cuInit returns error %d; look at nvidia-smi, or use --device cpu", int(status))
	}
	count, err := cu.NumDevices()
	if err != nil {
		return driver.Properties{}, fmt.Errorf("counting GPUs: %w", err)
	}
	if index < 0 || index >= count {
		return driver.Properties{}, fmt.Errorf("no GPU has index %d: this machine has %d, counted from 0 (CUDA_VISIBLE_DEVICES may hide some)", index, count)
	}
	return properties(cu.Device(index))
}

// Open opens a GPU by its index. image gives the kernels for its compute capability.
func Open(index int, image func(p driver.Properties) ([]byte, error)) (driver.Driver, error) {
	p, err := Probe(index)
	if err != nil {
		return nil, err
	}
	code, err := image(p)
	if err != nil {
		return nil, err
	}
	d := &device{id: cu.Device(index), properties: p, functions: map[string]cu.Function{}, shared: map[string]int{}}
	if err := d.open(code); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return d, nil
}

func properties(id cu.Device) (driver.Properties, error) {
	var p driver.Properties
	var errs [5]error
	p.Name, errs[0] = id.Name()
	for i, c := range p.Name { // cu returns the whole buffer where the driver wrote no end
		if c == 0 {
			p.Name = p.Name[:i]
			break
		}
	}
	p.Major, errs[1] = id.Attribute(cu.ComputeCapabilityMajor)
	p.Minor, errs[2] = id.Attribute(cu.ComputeCapabilityMinor)
	p.Multiprocessors, errs[3] = id.Attribute(cu.MultiprocessorCount)
	p.Memory, errs[4] = id.TotalMem()
	if err := errors.Join(errs[:]...); err != nil {
		return p, fmt.Errorf("asking the driver about GPU %d: %w", int(id), err)
	}
	return p, nil
}

func (d *device) open(code []byte) error {
	var err error
	if d.context, err = d.id.RetainPrimaryCtx(); err != nil {
		return fmt.Errorf("creating a context: %w", outOfMemory(err))
	}
	return d.do(func() error {
		if d.stream, err = cu.MakeStream(cu.NonBlocking); err != nil {
			return fmt.Errorf("creating a stream: %w", err)
		}
		if d.module, err = cu.LoadData(string(code)); err != nil {
			return fmt.Errorf("loading the kernels: %w%s", err, tooOld(cu.Version()))
		}
		d.blas, err = newBLAS()
		return err
	})
}

// tooOld says so of a driver that cannot load the kernels: their machine code is of CUDA 12, and a driver loads that of its
// own major release and of those before. version is 1000·major + 10·minor.
func tooOld(version int) string {
	if version >= 12000 {
		return ""
	}
	return fmt.Sprintf("; the NVIDIA driver is one of CUDA %d.%d, and the kernels need one of CUDA 12 or later, which are numbered from 525 on",
		version/1000, version%1000/10)
}

// do runs f in a thread whose context is the device's.
func (d *device) do(f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(d.context); err != nil {
		return err
	}
	return f()
}

// outOfMemory turns the driver's error into that of package driver.
func outOfMemory(err error) error {
	if errors.Is(err, cu.OutOfMemory) {
		return driver.ErrOutOfMemory
	}
	return err
}

func (d *device) Properties() driver.Properties { return d.properties }

func (d *device) Memory() (free int64, err error) {
	err = d.do(func() error {
		free, _, err = cu.MemInfo()
		return err
	})
	return free, err
}

func (d *device) Alloc(bytes int64) (p driver.Ptr, err error) {
	err = d.do(func() error {
		at, err := cu.MemAlloc(bytes)
		p = driver.Ptr(at)
		return outOfMemory(err)
	})
	return p, err
}

func (d *device) Free(p driver.Ptr) error {
	return d.do(func() error { return cu.MemFree(cu.DevicePtr(p)) })
}

func (d *device) Upload(dst driver.Ptr, src []byte) error {
	return d.do(func() error {
		return cu.MemcpyHtoDAsync(cu.DevicePtr(dst), unsafe.Pointer(unsafe.SliceData(src)), int64(len(src)), d.stream)
	})
}

func (d *device) Download(dst []byte, src driver.Ptr) error {
	return d.do(func() error {
		return cu.MemcpyDtoHAsync(unsafe.Pointer(unsafe.SliceData(dst)), cu.DevicePtr(src), int64(len(dst)), d.stream)
	})
}

func (d *device) Copy(dst, src driver.Ptr, bytes int64) error {
	return d.do(func() error {
		return cu.MemcpyDtoDAsync(cu.DevicePtr(dst), cu.DevicePtr(src), bytes, d.stream)
	})
}

func (d *device) Zero(dst driver.Ptr, bytes int64) error {
	return d.do(func() error { return cu.MemsetD8Async(cu.DevicePtr(dst), 0, bytes, d.stream) })
}

func (d *device) Launch(l driver.Launch) error {
	return d.do(func() error {
		f, err := d.function(l.Kernel, l.Shared)
		if err != nil {
			return err
		}
		d.args = d.args[:0]
		for i := range l.Args {
			d.args = append(d.args, unsafe.Pointer(&l.Args[i]))
		}
		return f.Launch(l.Grid[0], l.Grid[1], l.Grid[2], l.Block[0], l.Block[1], l.Block[2], l.Shared, d.stream, d.args)
	})
}

// sharedUnasked is the dynamic shared memory that every kernel may have unasked. The driver's limit is 48 KiB, what the
// kernel declares included; ours declare 1 KiB at most.
const sharedUnasked = 32 << 10

// function finds a kernel, and allows it more than the usual shared memory if it needs that.
func (d *device) function(name string, shared int) (cu.Function, error) {
	f, ok := d.functions[name]
	if !ok {
		var err error
		if f, err = d.module.Function(name); err != nil {
			return f, fmt.Errorf("the kernel %s: %w", name, err)
		}
		d.functions[name] = f
	}
	if shared > sharedUnasked && shared > d.shared[name] {
		if err := allowShared(f, shared); err != nil {
			return f, fmt.Errorf("the kernel %s with %d bytes of shared memory: %w", name, shared, err)
		}
		d.shared[name] = shared
	}
	return f, nil
}

func (d *device) Multiply(p driver.Product) error {
	return d.do(func() error { return d.blas.multiply(p, d.stream) })
}

func (d *device) Record(e driver.Event) (driver.Event, error) {
	err := d.do(func() error {
		if e == nil {
			made, err := cu.MakeEvent(cu.DisableTiming)
			if err != nil {
				return err
			}
			e = made
		}
		return e.(cu.Event).Record(d.stream)
	})
	return e, err
}

func (d *device) Wait(e driver.Event) error {
	return d.do(func() error { return e.(cu.Event).Synchronize() })
}

func (d *device) Sync() error {
	return d.do(func() error { return d.stream.Synchronize() })
}

// Close gives the context back, and with it everything that lies in it.
func (d *device) Close() error {
	if d.context == (cu.CUContext{}) {
		return nil
	}
	_ = d.do(func() error {
		if d.blas != nil {
			d.blas.close()
		}
		for _, p := range d.pinned {
			_ = cu.MemFreeHost(p)
		}
		return nil
	})
	d.context = cu.CUContext{}
	return d.id.ReleasePrimaryCtx()
}
