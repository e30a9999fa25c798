package cpu

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"athanor/gpu"
)

// cacheLine is what allocations are aligned to, in bytes: also the width of the widest vector register.
const cacheLine = 64

// hugePage is the size of large pages in bytes. Tensors of at least one ask for them, as walking through many small
// pages takes elementwise operators a third of their time.
const hugePage = 2 << 20

// A buffer is one allocation: what the Mem of a tensor refers to.
type buffer struct {
	data   []float32
	zero   bool // all elements are 0, whatever data holds: Zero was the last to touch it
	mapped bool // data is a mapping of its own, not the garbage collector's
}

// floats returns the elements.
func (b *buffer) floats() []float32 {
	if b.zero {
		clear(b.data)
		b.zero = false
	}
	return b.data
}

// memory counts what is allocated.
//
// Tensors of at least a large page are mappings of their own. In Go's heap they would make the garbage collector wait until
// there is as much garbage as there are tensors; and what they leave would be zeroed for the next ones, also where those have
// but room to align.
type memory struct {
	used, limit int64                // bytes; no limit if 0
	mapped      map[*buffer]struct{} // for Close
	slab        []float32            // the rest of the last one
}

// A slab is some large pages for tensors that are smaller than one: without them, weights of small models are read a third
// slower in decoding. Tensors of few small pages would only waste room.
const slabSize, leastInSlab = 8 * hugePage / 4, 1 << 13

// buffer returns n zeros for a tensor.
func (m *memory) buffer(n int) (*buffer, error) {
	switch {
	case n >= hugePage/4:
		data, err := mapFloats(n)
		if err != nil {
			return nil, err
		}
		b := &buffer{data: data, mapped: true}
		m.mapped[b] = struct{}{}
		return b, nil
	case n < leastInSlab:
		return &buffer{data: alignedFloats(n)}, nil
	}
	size := roundUp(n, cacheLine/4)
	if len(m.slab) < size {
		m.slab = alignedFloats(slabSize)
	}
	x := m.slab[:n:n]
	m.slab = m.slab[size:]
	return &buffer{data: x}, nil
}

// free lets the system have a mapping back, and the garbage collector all else: a slab when all of it is free.
func (m *memory) free(b *buffer) {
	if b.mapped {
		unmapFloats(b.data)
		delete(m.mapped, b)
	}
	b.data = nil
}

// mapFloats maps n zeros that begin at a large page.
func mapFloats(n int) ([]float32, error) {
	size := mappedSize(n)
	all, err := unix.MmapPtr(-1, 0, nil, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping %d MiB: %w", size>>20, err)
	}
	before := -uintptr(all) & (hugePage - 1)
	start := unsafe.Add(all, before)
	if before > 0 {
		_ = unix.MunmapPtr(all, before)
	}
	_ = unix.MunmapPtr(unsafe.Add(start, size), hugePage-before)
	x := unsafe.Slice((*float32)(start), n)
	adviseHuge(x)
	return x, nil
}

func unmapFloats(x []float32) {
	_ = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(x)), mappedSize(len(x)))
}

// mappedSize is the whole pages that n numbers need, in bytes.
func mappedSize(n int) uintptr { return uintptr(roundUp(4*n, unix.Getpagesize())) }

// Alloc returns a zeroed tensor that begins at a cache line.
func (d *device) Alloc(t gpu.DType, rows, cols int) (gpu.Tensor, error) {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("cpu: a tensor of %d×%d", rows, cols))
	}
	if t != gpu.F32 {
		return gpu.Tensor{}, fmt.Errorf("cpu: no %v tensors: this device computes in float32 only", t)
	}
	size := 4 * int64(rows) * int64(cols)
	if m := &d.memory; m.limit > 0 && m.used+size > m.limit {
		return gpu.Tensor{}, fmt.Errorf("cpu: %w: a %d×%d tensor needs %d MiB, %d of %d MiB are in use",
			gpu.ErrOutOfMemory, rows, cols, size>>20, m.used>>20, m.limit>>20)
	}
	b, err := d.memory.buffer(rows * cols)
	if err != nil {
		return gpu.Tensor{}, fmt.Errorf("cpu: %w: a %d×%d tensor: %w", gpu.ErrOutOfMemory, rows, cols, err)
	}
	d.memory.used += size
	return gpu.Tensor{Rows: rows, Cols: cols, Type: t, Mem: b}, nil
}

// Free gives the memory back.
func (d *device) Free(t gpu.Tensor) {
	b, ok := t.Mem.(*buffer)
	if !ok || b.data == nil && t.Len() > 0 {
		panic("cpu: Free of what is not an allocation, or freed before")
	}
	d.memory.used -= 4 * int64(len(b.data))
	d.memory.free(b)
}

// alignedFloats returns n zeros that begin at a cache line, or many at a large page.
func alignedFloats(n int) []float32 {
	align := cacheLine / 4
	if n >= hugePage/4 {
		align = hugePage / 4
	}
	all := make([]float32, n+align)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(all)))/4) & (align - 1)
	all = all[skip:][:n:n]
	if n >= hugePage/4 {
		adviseHuge(all)
	}
	return all
}

// grow returns buf with at least n elements, of unknown contents.
func grow(buf *[]float32, n int) []float32 {
	if cap(*buf) < n {
		*buf = alignedFloats(n)
	}
	*buf = (*buf)[:cap(*buf)]
	return (*buf)[:n]
}

// view returns the elements of operand name of operator op, which must have the given shape; -1 stands for any.
func view(op, name string, t gpu.Tensor, rows, cols int) []float32 {
	b, ok := t.Mem.(*buffer)
	if !ok || t.Type != gpu.F32 {
		panic(fmt.Sprintf("cpu: %s: %s is not a float32 tensor of this device", op, name))
	}
	if rows >= 0 && t.Rows != rows || cols >= 0 && t.Cols != cols {
		panic(fmt.Sprintf("cpu: %s: %s is %d×%d, not %d×%d", op, name, t.Rows, t.Cols, rows, cols))
	}
	return b.floats()[t.Offset:][:t.Len():t.Len()]
}

// sum is view for an operand that a product is added to, and returns what to add it to: nil if the operand is zero.
func sum(op, name string, t gpu.Tensor, rows, cols int) (to, add []float32) {
	if b, ok := t.Mem.(*buffer); ok && b.zero && t.Len() == len(b.data) {
		b.zero = false
		return view(op, name, t, rows, cols), nil
	}
	to = view(op, name, t, rows, cols)
	return to, to
}

// optional is view for an operand that may be left out: then it returns nil.
func optional(op, name string, t gpu.Tensor, rows, cols int) []float32 {
	if t.IsZero() {
		return nil
	}
	return view(op, name, t, rows, cols)
}

// checkStream panics unless s has n tokens.
func checkStream(op string, s *gpu.Stream, n int) {
	if s.Len() != n {
		panic(fmt.Sprintf("cpu: %s: a stream of %d tokens with a tensor of %d rows", op, s.Len(), n))
	}
}

// Write fills dst from host memory.
func (d *device) Write(dst gpu.Tensor, src []float32) {
	if len(src) != dst.Len() {
		panic(fmt.Sprintf("cpu: Write of %d numbers to a %d×%d tensor", len(src), dst.Rows, dst.Cols))
	}
	copy(view("Write", "dst", dst, -1, -1), src)
}

// Read copies src to host memory.
func (d *device) Read(dst []float32, src gpu.Tensor) {
	if len(dst) != src.Len() {
		panic(fmt.Sprintf("cpu: Read of a %d×%d tensor into %d numbers", src.Rows, src.Cols, len(dst)))
	}
	copy(dst, view("Read", "src", src, -1, -1))
}

// Zero sets all elements of t to 0: of a whole allocation not before they are read, as gradients mostly get their first
// sum next.
func (d *device) Zero(t gpu.Tensor) {
	if b, ok := t.Mem.(*buffer); ok && t.Len() == len(b.data) {
		b.zero = true
		return
	}
	clear(view("Zero", "t", t, -1, -1))
}

// Copy sets dst to src, which has the same shape.
func (d *device) Copy(dst, src gpu.Tensor) {
	copy(view("Copy", "dst", dst, src.Rows, src.Cols), view("Copy", "src", src, -1, -1))
}

// Sync has nothing to wait for: every operator is done when it returns, and none can fail.
func (d *device) Sync() error { return nil }
