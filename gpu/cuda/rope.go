package cuda

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// A ropeTable is the angles of a Rope on the GPU. Tables are told apart by what is in them, as a caller may change his.
type ropeTable struct {
	invFreq []float64
	on      buffer
}

// maxTables is how many tables are kept: a model uses one, and some change theta as they go.
const maxTables = 4

// Rope rotates each head of x in place.
func (d *device) Rope(x gpu.Tensor, r *gpu.Rope, s *gpu.Stream, inverse bool) {
	const op = "Rope"
	checkStream(op, s, x.Rows)
	if r.HeadSize <= 0 || r.HeadSize%2 != 0 || len(r.InvFreq) != r.HeadSize/2 || x.Cols%r.HeadSize != 0 {
		panic(fmt.Sprintf("cuda: Rope: %d angles for heads of %d in rows of %d", len(r.InvFreq), r.HeadSize, x.Cols))
	}
	xs := d.at(op, "x", x, -1, -1)
	if x.Len() == 0 {
		return
	}
	back := 0
	if inverse {
		back = 1
	}
	positions := d.list(&d.stream.positions, s.Positions)
	d.launch(driver.Launch{
		Kernel: kernel("rope", x.Type), Grid: [3]int{x.Rows, 1, 1}, Block: [3]int{32, 4, 1},
		Args: []uint64{pointer(xs), pointer(positions), pointer(d.angles(r.InvFreq)), float(r.Scale), integer(x.Cols / r.HeadSize), integer(r.HeadSize), integer(back)},
	})
}

// angles returns where a table stands on the GPU.
func (d *device) angles(invFreq []float64) driver.Ptr {
	for _, t := range d.ropes {
		if slices.Equal(t.invFreq, invFreq) {
			return t.on.span.at
		}
	}
	t := &ropeTable{}
	if len(d.ropes) == maxTables {
		t = d.ropes[0]
		d.ropes = append(d.ropes[:0], d.ropes[1:]...)
	}
	d.ropes = append(d.ropes, t)
	t.invFreq = append(t.invFreq[:0], invFreq...)
	at := d.reserve(&t.on, int64(8*len(invFreq)))
	d.send(at, len(invFreq), 8, func(to []byte, i int) { binary.LittleEndian.PutUint64(to, math.Float64bits(invFreq[i])) })
	return at
}
