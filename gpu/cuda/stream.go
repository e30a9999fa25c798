package cuda

import (
	"encoding/binary"
	"fmt"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// A numbers is a list of the host's that also stands on the GPU. It is sent again only when it has changed: an operator
// that is given the same stream as the one before costs a comparison.
type numbers struct {
	host []int32
	sent bool
	on   buffer
}

// list returns where a list of the host's stands on the GPU.
func (d *device) list(n *numbers, host []int32) driver.Ptr {
	if n.sent && slices.Equal(n.host, host) {
		return n.on.span.at
	}
	n.host, n.sent = append(n.host[:0], host...), true
	at := d.reserve(&n.on, int64(4*len(host)))
	d.send(at, len(host), 4, func(to []byte, i int) { binary.LittleEndian.PutUint32(to, uint32(host[i])) })
	return at
}

// send uploads n elements of the given size, each encoded by put.
func (d *device) send(to driver.Ptr, n, size int, put func(to []byte, i int)) {
	if d.fault != nil {
		return
	}
	d.keep(d.staging.upload(to, n, size, func(bytes []byte, from, end int) {
		for i := from; i < end; i++ {
			put(bytes[(i-from)*size:], i)
		}
	}))
}

// streamCopy is what the GPU has of the stream that is being worked on.
type streamCopy struct {
	ids, positions     numbers
	byID               tokensByID
	slots, at, lengths numbers // in key/value caches
}

// tokensByID lists the tokens of a stream sorted by id, those of one id in the order of the stream, so that no two blocks
// of a kernel add to one row of the table.
type tokensByID struct {
	of                 []int32 // the ids that it was made of
	order, starts, ids []int32
	gpu                struct{ order, starts, ids numbers }
}

// set sorts the tokens unless it was done for the same ids.
func (t *tokensByID) set(ids []int32) {
	if len(t.of) > 0 && slices.Equal(t.of, ids) {
		return
	}
	t.of = append(t.of[:0], ids...)
	t.order, t.starts, t.ids = t.order[:0], t.starts[:0], t.ids[:0]
	for n := range ids {
		t.order = append(t.order, int32(n))
	}
	slices.SortStableFunc(t.order, func(a, b int32) int { return int(ids[a]) - int(ids[b]) })
	for i, n := range t.order {
		if i == 0 || ids[n] != t.ids[len(t.ids)-1] {
			t.starts, t.ids = append(t.starts, int32(i)), append(t.ids, ids[n])
		}
	}
	t.starts = append(t.starts, int32(len(ids)))
}

// checkStream panics unless s has n tokens.
func checkStream(op string, s *gpu.Stream, n int) {
	if s.Len() != n {
		panic(fmt.Sprintf("cuda: %s: a stream of %d tokens with a tensor of %d rows", op, s.Len(), n))
	}
}
