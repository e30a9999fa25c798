// Package extsort sorts more pairs of numbers than fit into memory: sorted runs go to a scratch file and are merged when
// they are read. The order that comes out does not depend on how much memory there was.
//
// Start at [New]. What the pairs mean is their users' business: steps/internal/minhash sorts buckets, steps/dataset
// counts lines.
package extsort

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// A Pair is ordered by its key, then by its value.
type Pair struct{ Key, Value uint64 }

// Size is what a pair takes, in memory and on disk, in bytes.
const Size = 16

// runBuffer is what reading one run takes, in bytes.
const runBuffer = 1 << 16

func compare(a, b Pair) int {
	if c := cmp.Compare(a.Key, b.Key); c != 0 {
		return c
	}
	return cmp.Compare(a.Value, b.Value)
}

// A Sorter takes pairs in any order and gives them back sorted. Its methods are called from one goroutine.
type Sorter struct {
	dir    string
	limit  int // most pairs in memory
	sum    bool
	buffer []Pair
	file   *os.File
	ends   []int64 // where each run ends in the file
}

// New makes a sorter with a scratch file in dir and at most memory bytes (but 24 pairs in any case) for the pairs; merging
// takes 64 KiB for each run besides. With sum, pairs of equal keys become one whose value is the sum of theirs.
func New(dir string, memory int64, sum bool) *Sorter {
	// The buffer doubles as it fills: for a moment there are two, the old one half as large.
	return &Sorter{dir: dir, limit: int(max(memory/Size*2/3, 16)), sum: sum}
}

// Add takes a pair. The error is one of writing the scratch file.
func (s *Sorter) Add(p Pair) error {
	if len(s.buffer) >= s.limit {
		s.order()
		// Summing may have made room enough; otherwise the run goes to the file.
		if len(s.buffer) > s.limit/2 {
			if err := s.spill(); err != nil {
				return fmt.Errorf("sorting in %s: %w", s.dir, err)
			}
		}
	}
	if n := len(s.buffer); n == cap(s.buffer) {
		grown := make([]Pair, n, min(max(2*n, 1024), s.limit))
		copy(grown, s.buffer)
		s.buffer = grown
	}
	s.buffer = append(s.buffer, p)
	return nil
}

// order sorts what is in memory and joins equal keys.
func (s *Sorter) order() {
	slices.SortFunc(s.buffer, compare)
	if !s.sum {
		return
	}
	kept := s.buffer[:0]
	for _, p := range s.buffer {
		if n := len(kept); n > 0 && kept[n-1].Key == p.Key {
			kept[n-1].Value += p.Value
			continue
		}
		kept = append(kept, p)
	}
	s.buffer = kept
}

// spill appends what is in memory, sorted, to the file.
func (s *Sorter) spill() error {
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "sort-*")
		if err != nil {
			return err
		}
		s.file = f
	}
	w := bufio.NewWriterSize(s.file, 1<<20)
	var data [Size]byte
	for _, p := range s.buffer {
		binary.LittleEndian.PutUint64(data[:8], p.Key)
		binary.LittleEndian.PutUint64(data[8:], p.Value)
		if _, err := w.Write(data[:]); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.ends = append(s.ends, s.begin(len(s.ends))+int64(len(s.buffer))*Size)
	s.buffer = s.buffer[:0]
	return nil
}

func (s *Sorter) begin(run int) int64 {
	if run == 0 {
		return 0
	}
	return s.ends[run-1]
}

// Sorted yields all pairs in order; after an error it ends. No more can be added once it has been called.
func (s *Sorter) Sorted() iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		s.order()
		merged, err := s.merge()
		if err != nil {
			yield(Pair{}, fmt.Errorf("sorting in %s: %w", s.dir, err))
			return
		}
		var sum Pair
		open := false
		for len(merged) > 0 {
			p := merged[0].next
			if err := merged.advance(); err != nil {
				yield(Pair{}, fmt.Errorf("sorting in %s: %w", s.dir, err))
				return
			}
			if !s.sum {
				if !yield(p, nil) {
					return
				}
				continue
			}
			if open && sum.Key == p.Key {
				sum.Value += p.Value
				continue
			}
			if open && !yield(sum, nil) {
				return
			}
			sum, open = p, true
		}
		if open {
			yield(sum, nil)
		}
	}
}

// merge opens every run, the one in memory included.
func (s *Sorter) merge() (runs, error) {
	memory := s.buffer
	all := runs{{read: func() (Pair, error) {
		if len(memory) == 0 {
			return Pair{}, io.EOF
		}
		p := memory[0]
		memory = memory[1:]
		return p, nil
	}}}
	for i := range s.ends {
		section := io.NewSectionReader(s.file, s.begin(i), s.ends[i]-s.begin(i))
		in := bufio.NewReaderSize(section, runBuffer)
		all = append(all, &run{read: func() (p Pair, err error) {
			var data [Size]byte
			if _, err := io.ReadFull(in, data[:]); err != nil {
				return p, err
			}
			return Pair{binary.LittleEndian.Uint64(data[:8]), binary.LittleEndian.Uint64(data[8:])}, nil
		}})
	}
	kept := all[:0]
	for _, r := range all {
		var err error
		if r.next, err = r.read(); err == nil {
			kept = append(kept, r)
		} else if !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	heap.Init(&kept)
	return kept, nil
}

// Close removes the scratch file. It may be called again.
func (s *Sorter) Close() error {
	s.buffer = nil
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file, s.ends = nil, nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// A run is one sorted sequence, with its next pair.
type run struct {
	next Pair
	read func() (Pair, error)
}

// runs is a heap, the run with the least next pair first.
type runs []*run

func (r runs) Len() int           { return len(r) }
func (r runs) Less(i, j int) bool { return compare(r[i].next, r[j].next) < 0 }
func (r runs) Swap(i, j int)      { r[i], r[j] = r[j], r[i] }
func (r *runs) Push(x any)        { *r = append(*r, x.(*run)) }
func (r *runs) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}

// advance takes the next pair of the first run.
func (r *runs) advance() error {
	first := (*r)[0]
	var err error
	switch first.next, err = first.read(); {
	case errors.Is(err, io.EOF):
		heap.Pop(r)
	case err != nil:
		return err
	case len(*r) > 1:
		heap.Fix(r, 0)
	}
	return nil
}
