package minhash

import "slices"

// members keeps, for each shared bucket, the documents that stay, as linked lists in two slices: millions of small
// slices would take several times the memory.
type members struct {
	head  []int32 // of each bucket, an index into nodes, -1 when it is empty
	nodes []node
	found []int
}

type node struct {
	document uint32
	next     int32
}

func newMembers(buckets int) *members {
	return &members{head: slices.Repeat([]int32{-1}, buckets)}
}

// of lists the documents in the buckets, in order. The slice is good until the next call.
func (m *members) of(buckets []int) []int {
	m.found = m.found[:0]
	for _, b := range buckets {
		for i := m.head[b]; i >= 0; i = m.nodes[i].next {
			m.found = append(m.found, int(m.nodes[i].document))
		}
	}
	slices.Sort(m.found)
	m.found = slices.Compact(m.found)
	return m.found
}

// add notes a document that stays in those of its buckets that are not full.
func (m *members) add(d member) {
	for _, b := range d.buckets {
		size := 0
		for i := m.head[b]; i >= 0; i = m.nodes[i].next {
			size++
		}
		if size < MostCompared {
			m.nodes = append(m.nodes, node{uint32(d.number), m.head[b]})
			m.head[b] = int32(len(m.nodes) - 1)
		}
	}
}
