package bpe

import (
	"encoding/binary"
	"math/bits"
	"runtime"
	"sync"
	"unsafe"
)

// Most words of a text have been seen before. Each worker keeps the ids of words in two tables of fixed size, in which a
// new word takes the place of an older one: no lists, no locks, no garbage, and at most some 6 MB for each goroutine that
// encodes. Words of up to 16 bytes are compared as two integers and lie, with their ids, in one cache line; each has two
// places to be in.
const (
	shortKey  = 16
	shortSets = 1 << 14
	longKey   = 128
	longSlots = 1 << 12
)

// A shortWordEntry is 64 bytes. An empty one has size 0.
type shortWordEntry struct {
	lo, hi uint64
	ids    [11]int32
	n      uint8 // number of ids
	size   uint8 // bytes of the word
}

type longWordEntry struct {
	key []byte
	ids []int32
}

// A worker is the memory that one goroutine encodes with.
type worker struct {
	short   [shortSets][2]shortWordEntry
	long    [longSlots]longWordEntry
	scratch scratch
}

// maxScratch is how much of a very long word's memory a worker keeps, in tokens.
const maxScratch = 1 << 16

// workers lends workers, at most as many as processors are kept. (A sync.Pool would forget the words at each garbage
// collection.)
type workers struct {
	mu   sync.Mutex
	free []*worker
}

func (p *workers) get() *worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		w := p.free[n-1]
		p.free = p.free[:n-1]
		return w
	}
	return &worker{}
}

func (p *workers) put(w *worker) {
	if cap(w.scratch.ids) > maxScratch {
		w.scratch = scratch{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.free) < runtime.GOMAXPROCS(0) {
		p.free = append(p.free, w)
	}
}

// load returns the n ≤ 16 bytes of s from i on, zeros after them.
func load(s string, i, n int) (lo, hi uint64) {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	if i+16 <= len(b) {
		lo = binary.LittleEndian.Uint64(b[i:])
		if n <= 8 {
			return lo & (1<<(8*n) - 1), 0
		}
		return lo, binary.LittleEndian.Uint64(b[i+8:]) & (1<<(8*(n-8)) - 1)
	}
	var buf [16]byte
	copy(buf[:], b[i:i+n])
	return binary.LittleEndian.Uint64(buf[:]), binary.LittleEndian.Uint64(buf[8:])
}

func hashShort(lo, hi uint64, n int) uint64 {
	h, l := bits.Mul64(lo^0xa0761d6478bd642f, hi^uint64(n)^0xe7037ed1a0b428db)
	return h ^ l
}

// hashLong is for words longer than 16 bytes.
func hashLong(s string) uint64 {
	h := uint64(len(s)) * 0x9e3779b97f4a7c15
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	last := binary.LittleEndian.Uint64(b[len(b)-8:])
	for ; len(b) > 8; b = b[8:] {
		hi, lo := bits.Mul64(h^binary.LittleEndian.Uint64(b), 0xa0761d6478bd642f)
		h = hi ^ lo
	}
	hi, lo := bits.Mul64(h^last, 0xe7037ed1a0b428db)
	return hi ^ lo
}
