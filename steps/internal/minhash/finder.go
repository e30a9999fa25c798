package minhash

import (
	"errors"
	"iter"

	"athanor/steps/internal/extsort"
)

// MostCompared is how many documents of one bucket are remembered to compare later ones with: the first that stay. It
// bounds the work where thousands of documents share a template and are no copies.
const MostCompared = 64

// A Finder says which documents are copies of earlier ones that stay. Documents are numbered from 0 in the order in which
// they are added, so that of several copies the first is the one that stays.
//
// Memory: what New was given for sorting (half of it at a time), and 16 bytes for each bucket that several documents
// share. Scratch space: 16 bytes for each key, and as much again for those in shared buckets.
type Finder struct {
	keys, members *extsort.Sorter
	documents     uint64
}

// NewFinder makes a finder that sorts in dir with about memory bytes.
func NewFinder(dir string, memory int64) *Finder {
	return &Finder{keys: extsort.New(dir, memory/2, false), members: extsort.New(dir, memory/2, false)}
}

// Add takes the next document by its bucket keys.
func (f *Finder) Add(keys []uint64) error {
	for _, key := range keys {
		if err := f.keys.Add(extsort.Pair{Key: key, Value: f.documents}); err != nil {
			return err
		}
	}
	f.documents++
	return nil
}

// A Copy is a document that is much like an earlier one.
type Copy struct {
	Document, Of int
	Similarity   float64
}

// Copies yields the copies in order, each with the first of the earlier documents that stay and that it is like.
// similarity compares two documents that share a bucket; from threshold on one is a copy. It is called once. After an
// error it ends.
func (f *Finder) Copies(threshold float64, similarity func(earlier, later int) (float64, error)) iter.Seq2[Copy, error] {
	return func(yield func(Copy, error) bool) {
		shared, err := f.shared()
		if err != nil {
			yield(Copy{}, err)
			return
		}
		kept := newMembers(shared)
		for document, err := range f.documentsOf() {
			if err != nil {
				yield(Copy{}, err)
				return
			}
			copied := false
			for _, earlier := range kept.of(document.buckets) {
				s, err := similarity(earlier, document.number)
				if err != nil {
					yield(Copy{}, err)
					return
				}
				if copied = s >= threshold; copied {
					if !yield(Copy{Document: document.number, Of: earlier, Similarity: s}, nil) {
						return
					}
					break
				}
			}
			if !copied {
				kept.add(document)
			}
		}
	}
}

// shared numbers the buckets that hold several documents, notes their members in f.members, and returns how many they
// are.
func (f *Finder) shared() (buckets int, err error) {
	var first extsort.Pair
	members := 0
	for p, err := range f.keys.Sorted() {
		if err != nil {
			return 0, err
		}
		if members == 0 || p.Key != first.Key {
			first, members = p, 1
			continue
		}
		if members++; members == 2 {
			if err := f.members.Add(extsort.Pair{Key: first.Value, Value: uint64(buckets)}); err != nil {
				return 0, err
			}
			buckets++
		}
		if err := f.members.Add(extsort.Pair{Key: p.Value, Value: uint64(buckets - 1)}); err != nil {
			return 0, err
		}
	}
	return buckets, f.keys.Close()
}

// A member is a document with the shared buckets that it is in.
type member struct {
	number  int
	buckets []int
}

// documentsOf yields the documents that are in shared buckets, in order. The slice is good until the next.
func (f *Finder) documentsOf() iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		var m member
		for p, err := range f.members.Sorted() {
			if err != nil {
				yield(m, err)
				return
			}
			if len(m.buckets) > 0 && m.number != int(p.Key) {
				if !yield(m, nil) {
					return
				}
				m.buckets = m.buckets[:0]
			}
			m.number = int(p.Key)
			m.buckets = append(m.buckets, int(p.Value))
		}
		if len(m.buckets) > 0 {
			yield(m, nil)
		}
	}
}

// Close removes what is on disk.
func (f *Finder) Close() error { return errors.Join(f.keys.Close(), f.members.Close()) }
