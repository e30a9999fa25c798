package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// An allocation is what the Mem of a tensor refers to.
type allocation struct {
	owner *device
	span  span
	freed bool
}

// Alloc returns a zeroed tensor.
func (d *device) Alloc(t gpu.DType, rows, cols int) (gpu.Tensor, error) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("cuda: a tensor of %d×%d", rows, cols))
	}
	if d.fault != nil {
		return gpu.Tensor{}, d.fault
	}
	bytes := int64(rows) * int64(cols) * int64(elementType(t).Size())
	s, err := d.arena.alloc(bytes)
	if err != nil {
		return gpu.Tensor{}, fmt.Errorf("cuda: a %d×%d tensor of %v: %w", rows, cols, t, err)
	}
	d.keep(d.driver.Zero(s.at, s.bytes))
	return gpu.Tensor{Rows: rows, Cols: cols, Type: t, Mem: &allocation{owner: d, span: s}}, nil
}

// Free gives an allocation back.
func (d *device) Free(t gpu.Tensor) {
	a, ok := t.Mem.(*allocation)
	if !ok || a.owner != d || a.freed || t.Offset != 0 {
		panic("cuda: Free of what is not an allocation, or freed before")
	}
	a.freed = true
	d.keep(d.arena.release(a.span))
}

// elementType is a tensor's type as the driver calls it.
func elementType(t gpu.DType) driver.Type {
	switch t {
	case gpu.F32:
		return driver.F32
	case gpu.BF16:
		return driver.BF16
	}
	panic(fmt.Sprintf("cuda: no tensors of %v", t))
}

// at is the address of an operand's first element. It must have the given shape; -1 stands for any.
func (d *device) at(op, name string, t gpu.Tensor, rows, cols int) driver.Ptr {
	a, ok := t.Mem.(*allocation)
	if !ok || a.owner != d {
		panic(fmt.Sprintf("cuda: %s: %s is not a tensor of this device", op, name))
	}
	if a.freed {
		panic(fmt.Sprintf("cuda: %s: %s was freed", op, name))
	}
	if rows >= 0 && t.Rows != rows || cols >= 0 && t.Cols != cols {
		panic(fmt.Sprintf("cuda: %s: %s is %d×%d, not %d×%d", op, name, t.Rows, t.Cols, rows, cols))
	}
	return a.span.at + driver.Ptr(t.Offset*elementType(t.Type).Size())
}

// typed is at for an operand of a certain type.
func (d *device) typed(op, name string, t gpu.Tensor, of gpu.DType, rows, cols int) driver.Ptr {
	p := d.at(op, name, t, rows, cols)
	if t.Type != of {
		panic(fmt.Sprintf("cuda: %s: %s is of %v, not %v", op, name, t.Type, of))
	}
	return p
}

// optional is typed for an operand that may be left out: then it returns 0.
func (d *device) optional(op, name string, t gpu.Tensor, of gpu.DType, rows, cols int) driver.Ptr {
	if t.IsZero() {
		return 0
	}
	return d.typed(op, name, t, of, rows, cols)
}

// Write fills dst from host memory, rounding to its type.
func (d *device) Write(dst gpu.Tensor, src []float32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("cuda: Write of %d numbers to a %d×%d tensor", len(src), dst.Rows, dst.Cols))
	}
	at := d.at("Write", "dst", dst, -1, -1)
	fill := func(to []byte, from, end int) { copy(to, bytesOf(src[from:end])) }
	if dst.Type == gpu.BF16 {
		fill = func(to []byte, from, end int) {
			for i, v := range src[from:end] {
				binary.LittleEndian.PutUint16(to[2*i:], toBF16(v))
			}
		}
	}
	if d.fault == nil {
		d.keep(d.staging.upload(at, len(src), elementType(dst.Type).Size(), fill))
	}
}

// Read waits for src and copies it to host memory.
func (d *device) Read(dst []float32, src gpu.Tensor) {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("cuda: Read of a %d×%d tensor into %d numbers", src.Rows, src.Cols, len(dst)))
	}
	at := d.at("Read", "src", src, -1, -1)
	take := func(bytes []byte, from, end int) { copy(bytesOf(dst[from:end]), bytes) }
	if src.Type == gpu.BF16 {
		take = func(bytes []byte, from, end int) {
			for i := range end - from {
				dst[from+i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(bytes[2*i:])) << 16)
			}
		}
	}
	if d.fault == nil {
		d.late(d.staging.download(at, len(dst), elementType(src.Type).Size(), take))
	}
}

// bytesOf is the memory of numbers: the processors that GPUs are used from are little-endian, as GPUs are.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}

// toBF16 rounds to nearest, ties to even. A NaN stays one.
func toBF16(v float32) uint16 {
	bits := math.Float32bits(v)
	if v != v {
		return 0x7fff
	}
	return uint16((bits + 0x7fff + bits>>16&1) >> 16)
}

// Zero sets all elements of t to 0.
func (d *device) Zero(t gpu.Tensor) {
	at := d.at("Zero", "t", t, -1, -1)
	if d.fault == nil && t.Len() > 0 {
		d.keep(d.driver.Zero(at, int64(t.Len()*elementType(t.Type).Size())))
	}
}

// Copy sets dst to src.
func (d *device) Copy(dst, src gpu.Tensor) {
	to, from := d.typed("Copy", "dst", dst, src.Type, src.Rows, src.Cols), d.at("Copy", "src", src, -1, -1)
	if d.fault == nil && src.Len() > 0 {
		d.keep(d.driver.Copy(to, from, int64(src.Len()*elementType(src.Type).Size())))
	}
}

// A buffer is memory of the device's own that grows and is kept.
type buffer struct {
	span span
}

// reserve returns at least so many bytes, of unknown contents.
func (d *device) reserve(b *buffer, bytes int64) driver.Ptr {
	if b.span.bytes >= bytes {
		return b.span.at
	}
	if b.span.bytes > 0 {
		d.keep(d.arena.release(b.span))
	}
	s, err := d.arena.alloc(bytes)
	if err != nil {
		d.keep(fmt.Errorf("working memory of an operator: %w", err))
		s = span{}
	}
	b.span = s
	return s.at
}
