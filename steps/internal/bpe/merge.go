package bpe

import "math/bits"

// A mergeTable says which two neighbouring tokens become one, and in which order of precedence. It is a hash table with
// open addressing, at most half full, for the lookup is the innermost work of encoding.
type mergeTable struct {
	shift uint
	slots []mergeSlot
	n     int
}

// A mergeSlot is one merge: tokens left and right, packed, become id. A lower rank goes first.
type mergeSlot struct {
	pair uint64
	rank uint32
	id   int32
}

const (
	noPair = ^uint64(0)
	noRank = ^uint32(0)
)

func pack(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func newMergeTable(n int) *mergeTable {
	size := bits.Len(uint(2*n + 1))
	t := &mergeTable{shift: uint(64 - size), slots: make([]mergeSlot, 1<<size)}
	for i := range t.slots {
		t.slots[i] = mergeSlot{pair: noPair, rank: noRank}
	}
	return t
}

func (t *mergeTable) slot(pair uint64) *mergeSlot {
	mask := uint64(len(t.slots) - 1)
	for i := (pair * 0x9e3779b97f4a7c15) >> t.shift; ; i = (i + 1) & mask {
		if s := &t.slots[i&mask]; s.pair == pair || s.pair == noPair {
			return s
		}
	}
}

// add states a merge; a later statement about the same pair replaces an earlier one.
func (t *mergeTable) add(left, right int32, rank uint32, id int32) {
	s := t.slot(pack(left, right))
	if s.pair == noPair {
		t.n++
	}
	*s = mergeSlot{pair: pack(left, right), rank: rank, id: id}
}

// find returns the rank of a merge and its result; noRank if the two do not merge.
func (t *mergeTable) find(left, right int32) (uint32, int32) {
	s := t.slot(pack(left, right))
	return s.rank, s.id
}

// A scratch holds the memory of one goroutine's merging.
type scratch struct {
	ids   []int32
	ranks []uint32 // of the pair that begins at the place
	made  []int32  // what that pair becomes
	next  []int32
	prev  []int32
	heap  []uint64
}

// shortWord is the length up to which looking at every pair is faster than keeping a heap of them.
const shortWord = 48

// merge applies the merges to s.ids, lowest rank first and of equal ones the leftmost, until none applies. It returns
// the tokens that are left, in the scratch's memory.
func (t *mergeTable) merge(s *scratch) []int32 {
	if len(s.ids) <= shortWord {
		return t.mergeShort(s)
	}
	return t.mergeLong(s)
}

func (t *mergeTable) mergeShort(s *scratch) []int32 {
	ids := s.ids
	n := len(ids)
	if cap(s.ranks) < n {
		s.ranks, s.made = make([]uint32, shortWord), make([]int32, shortWord)
	}
	ranks, made := s.ranks[:n], s.made[:n]
	for i := 0; i+1 < n; i++ {
		ranks[i], made[i] = t.find(ids[i], ids[i+1])
	}
	for n > 1 {
		best, at := noRank, 0
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
		if best == noRank {
			break
		}
		ids[at] = made[at]
		copy(ids[at+1:n], ids[at+2:n])
		copy(ranks[at+1:n], ranks[at+2:n])
		copy(made[at+1:n], made[at+2:n])
		n--
		if at > 0 {
			ranks[at-1], made[at-1] = t.find(ids[at-1], ids[at])
		}
		if at+1 < n {
			ranks[at], made[at] = t.find(ids[at], ids[at+1])
		}
	}
	return ids[:n]
}

// mergeLong keeps the pairs in a heap of rank<<32|place. An entry is stale, and skipped, if the pair at its place has
// another rank by now: a pair's rank changes with either of its tokens, for these only grow.
func (t *mergeTable) mergeLong(s *scratch) []int32 {
	ids := s.ids
	n := int32(len(ids))
	s.grow(int(n))
	heap := s.heap[:0]
	for i := range n {
		s.prev[i], s.next[i], s.ranks[i] = i-1, i+1, noRank
		if i+1 < n {
			if s.ranks[i], s.made[i] = t.find(ids[i], ids[i+1]); s.ranks[i] != noRank {
				heap = append(heap, uint64(s.ranks[i])<<32|uint64(i))
			}
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	look := func(i int32) {
		s.ranks[i] = noRank
		if j := s.next[i]; j < n {
			if s.ranks[i], s.made[i] = t.find(ids[i], ids[j]); s.ranks[i] != noRank {
				heap = append(heap, uint64(s.ranks[i])<<32|uint64(i))
				siftUp(heap)
			}
		}
	}
	for len(heap) > 0 {
		top := heap[0]
		last := len(heap) - 1
		heap[0] = heap[last]
		heap = heap[:last]
		siftDown(heap, 0)
		i := int32(uint32(top))
		if s.ranks[i] != uint32(top>>32) {
			continue
		}
		ids[i] = s.made[i]
		gone := s.next[i]
		s.next[i] = s.next[gone]
		s.ranks[gone] = noRank
		if s.next[i] < n {
			s.prev[s.next[i]] = i
		}
		look(i)
		if s.prev[i] >= 0 {
			look(s.prev[i])
		}
	}
	s.heap = heap
	out := ids[:0]
	for i := int32(0); i < n; i = s.next[i] {
		out = append(out, ids[i])
	}
	return out
}

func (s *scratch) grow(n int) {
	if cap(s.next) < n {
		s.ranks, s.made = make([]uint32, n), make([]int32, n)
		s.next, s.prev = make([]int32, n), make([]int32, n)
	}
	s.ranks, s.made, s.next, s.prev = s.ranks[:n], s.made[:n], s.next[:n], s.prev[:n]
}

// siftUp moves the last entry of a binary heap, smallest on top, to its place.
func siftUp(h []uint64) {
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 2
		if h[p] <= h[i] {
			return
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
}

// siftDown moves entry i to its place.
func siftDown(h []uint64, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[i] <= h[c] {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}
