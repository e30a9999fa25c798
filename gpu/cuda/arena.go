package cuda

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

const (
	// grain is what allocations are rounded up to, in bytes: the widest alignment that any kernel asks for.
	grain = 256
	// chunkSize is how much memory is taken from the driver at a time, if it has that much.
	chunkSize = 256 << 20
	// tightGrain is what a chunk is rounded up to once memory is short: the driver's own pages.
	tightGrain = 2 << 20
)

// An arena hands out pieces of memory that it takes from the driver in large chunks and keeps: the driver's own
// allocation waits for the GPU. The work on a piece is queued in the order of the calls, so memory that was given back
// can be handed out at once.
type arena struct {
	driver driver.Driver
	alone  bool // take every piece from the driver by itself
	chunks []driver.Ptr
	free   []span // by address; neighbours of one chunk are merged
	taken  int64  // bytes from the driver
	used   int64  // bytes handed out
}

// A span is a piece of a chunk.
type span struct {
	at    driver.Ptr
	bytes int64
	chunk int
}

// aloneVariable is the environment variable that makes an arena take every piece from the driver by itself, no larger than
// asked. Only so can compute-sanitizer, or the address sanitizer on the emulator, see what lies beside a tensor.
const aloneVariable = "ATHANOR_CUDA_ALONE"

// single is the chunk of a piece that was taken by itself.
const single = -1

// alloc returns at least so many bytes, of unknown contents.
func (a *arena) alloc(bytes int64) (span, error) {
	if a.alone {
		return a.single(max(1, bytes))
	}
	bytes = max(grain, roundUp(bytes, grain))
	best := a.fit(bytes)
	if best < 0 {
		if err := a.grow(bytes); err != nil {
			return span{}, err
		}
		best = a.fit(bytes)
	}
	s := a.free[best]
	if s.bytes == bytes {
		a.free = slices.Delete(a.free, best, best+1)
	} else {
		a.free[best].at += driver.Ptr(bytes)
		a.free[best].bytes -= bytes
		s.bytes = bytes
	}
	a.used += s.bytes
	return s, nil
}

// single takes a piece by itself.
func (a *arena) single(bytes int64) (span, error) {
	at, err := a.driver.Alloc(bytes)
	if errors.Is(err, driver.ErrOutOfMemory) {
		err = a.outOfMemory(bytes)
	}
	if err != nil {
		return span{}, err
	}
	a.chunks = append(a.chunks, at)
	a.taken, a.used = a.taken+bytes, a.used+bytes
	return span{at, bytes, single}, nil
}

// fit is the smallest free span of so many bytes, or -1. Taking the smallest keeps large ones whole.
func (a *arena) fit(bytes int64) int {
	best := -1
	for i, s := range a.free {
		if s.bytes >= bytes && (best < 0 || s.bytes < a.free[best].bytes) {
			best = i
		}
	}
	return best
}

// grow takes a chunk from the driver that has room for so many bytes.
func (a *arena) grow(bytes int64) error {
	size := max(chunkSize, roundUp(bytes, tightGrain))
	at, err := a.driver.Alloc(size)
	if errors.Is(err, driver.ErrOutOfMemory) && size > roundUp(bytes, tightGrain) {
		size = roundUp(bytes, tightGrain)
		at, err = a.driver.Alloc(size)
	}
	if errors.Is(err, driver.ErrOutOfMemory) {
		return a.outOfMemory(bytes)
	}
	if err != nil {
		return err
	}
	a.chunks = append(a.chunks, at)
	a.taken += size
	a.insert(span{at, size, len(a.chunks) - 1})
	return nil
}

func (a *arena) outOfMemory(bytes int64) error {
	free, err := a.driver.Memory()
	if err != nil {
		return err
	}
	p := a.driver.Properties()
	unused := a.taken - a.used
	return fmt.Errorf("%w: %s were asked for; of the %s of %s, %s are in use here and %s are free (%s in pieces that are too small)",
		gpu.ErrOutOfMemory, bytesText(bytes), bytesText(p.Memory), p.Name, bytesText(a.used), bytesText(free+unused), bytesText(unused))
}

// release gives a span back.
func (a *arena) release(s span) error {
	a.used -= s.bytes
	if s.chunk == single {
		a.taken -= s.bytes
		i := slices.Index(a.chunks, s.at)
		a.chunks = slices.Delete(a.chunks, i, i+1)
		return a.driver.Free(s.at) // which waits for the work that uses it
	}
	a.insert(s)
	return nil
}

// insert adds a free span and merges it with its neighbours.
func (a *arena) insert(s span) {
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].at > s.at })
	if i < len(a.free) && a.free[i].follows(s) {
		s.bytes += a.free[i].bytes
		a.free = slices.Delete(a.free, i, i+1)
	}
	if i > 0 && s.follows(a.free[i-1]) {
		a.free[i-1].bytes += s.bytes
		return
	}
	a.free = slices.Insert(a.free, i, s)
}

// follows reports whether s begins where t ends, in the same chunk.
func (s span) follows(t span) bool { return s.chunk == t.chunk && t.at+driver.Ptr(t.bytes) == s.at }

// close gives all memory back to the driver.
func (a *arena) close() error {
	var errs []error
	for _, p := range a.chunks {
		errs = append(errs, a.driver.Free(p))
	}
	a.chunks, a.free = nil, nil
	return errors.Join(errs...)
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", n)
}
