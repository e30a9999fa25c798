// Package minhash finds documents that are nearly copies of earlier ones: MinHash signatures cut into buckets
// (locality-sensitive hashing; Broder 1997, Indyk and Motwani 1998), then the exact Jaccard similarity of those that
// share a bucket. A pair of similarity s shares one with probability 1-(1-s^hashes)^buckets ([Probability]); nothing is
// called a copy that is not one.
//
// What a document's elements are is its users' business: steps/dataset takes the hashes of five words in a row from
// steps/internal/ngram. Start at [New], then [NewFinder].
package minhash

import (
	"math"
	"slices"

	"athanor/steps/internal/ngram"
)

// A Scheme computes the bucket keys of a set: buckets groups of hashes MinHashes each. It may be used by several
// goroutines.
type Scheme struct {
	buckets, hashes int
	flip, factor    []uint64 // of hash k: x ↦ (x ^ flip[k])·factor[k] modulo 2^64
}

// New makes a scheme. Two schemes of the same numbers are the same.
func New(buckets, hashes int) *Scheme {
	s := &Scheme{buckets: buckets, hashes: hashes}
	for k := range uint64(buckets * hashes) {
		s.flip = append(s.flip, ngram.Mix(2*k+1))
		s.factor = append(s.factor, ngram.Mix(2*k+2)|1) // odd: then the map is one to one
	}
	return s
}

// Buckets is the number of keys that a set has.
func (s *Scheme) Buckets() int { return s.buckets }

// AppendKeys adds the set's key in each bucket to dst; an empty set has none. The elements are hashes, evenly spread over
// 64 bits; that some occur twice does not matter. Two sets have equal keys in bucket b when their MinHashes there are
// all equal.
func (s *Scheme) AppendKeys(dst, elements []uint64) []uint64 {
	if len(elements) == 0 {
		return dst
	}
	for b := range s.buckets {
		key := uint64(b + 1)
		for k := b * s.hashes; k < (b+1)*s.hashes; k++ {
			key = ngram.Mix(key ^ least(elements, s.flip[k], s.factor[k]))
		}
		dst = append(dst, key)
	}
	return dst
}

// least is the MinHash of elements under one hash function. Four minima side by side keep the processor busy.
func least(elements []uint64, flip, factor uint64) uint64 {
	a, b, c, d := uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64), uint64(math.MaxUint64)
	for len(elements) >= 4 {
		a = min(a, (elements[0]^flip)*factor)
		b = min(b, (elements[1]^flip)*factor)
		c = min(c, (elements[2]^flip)*factor)
		d = min(d, (elements[3]^flip)*factor)
		elements = elements[4:]
	}
	for _, x := range elements {
		a = min(a, (x^flip)*factor)
	}
	return min(a, b, c, d)
}

// Probability is the chance that two sets of a similarity share a bucket.
func Probability(similarity float64, buckets, hashes int) float64 {
	return 1 - math.Pow(1-math.Pow(similarity, float64(hashes)), float64(buckets))
}

// Set sorts elements and drops repeated ones, in place.
func Set(elements []uint64) []uint64 {
	slices.Sort(elements)
	return slices.Compact(elements)
}

// Similarity is the Jaccard similarity of two sets made by [Set]: what they share over what they have together. That of
// two empty sets is 0.
func Similarity(a, b []uint64) float64 {
	shared, total := 0, len(a)+len(b)
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			a = a[1:]
		case a[0] > b[0]:
			b = b[1:]
		default:
			shared++
			a, b = a[1:], b[1:]
		}
	}
	if total == 0 {
		return 0
	}
	return float64(shared) / float64(total-shared)
}
