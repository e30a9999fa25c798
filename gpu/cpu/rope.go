package cpu

import (
	"fmt"
	"math"
	"slices"

	"athanor/gpu"
)

// rope turns heads by their position (arXiv 2104.09864).
type rope struct {
	device       *device
	x            []float32
	positions    []int32
	width, heads int // of a row of x
	tileRows     int
	inverse      bool
	table        *ropeTable
	tables       []*ropeTable // the most recently made last
}

// maxTables is how many tables are kept: a model uses one, and some change theta as they go.
const maxTables = 4

// A ropeTable holds the cosines and sines for positions below rows, [rows][E/2] each.
type ropeTable struct {
	of             gpu.Rope
	rows           int
	cos, sin, nsin []float32
}

type ropePhase struct{ *rope }

// Rope rotates each head of x in place.
func (d *device) Rope(x gpu.Tensor, r *gpu.Rope, s *gpu.Stream, inverse bool) {
	const op = "Rope"
	checkStream(op, s, x.Rows)
	if r.HeadSize <= 0 || r.HeadSize%2 != 0 || len(r.InvFreq) != r.HeadSize/2 || x.Cols%r.HeadSize != 0 {
		panic(fmt.Sprintf("cpu: Rope: %d angles for heads of %d in rows of %d", len(r.InvFreq), r.HeadSize, x.Cols))
	}
	if x.Len() == 0 {
		return
	}
	p := &d.rope
	p.x = view(op, "x", x, -1, -1)
	p.positions, p.inverse = s.Positions, inverse
	p.width, p.heads = x.Cols, x.Cols/r.HeadSize
	p.tileRows = max(1, 1<<14/x.Cols)
	p.table = p.find(r, int(slices.Max(s.Positions))+1)
	d.pool.run(ceilDiv(x.Rows, p.tileRows), ropePhase{p})
}

// find returns the table of r for at least rows positions. Tables are told apart by what they are made of, as a caller
// may change r.
func (p *rope) find(r *gpu.Rope, rows int) *ropeTable {
	i := slices.IndexFunc(p.tables, func(t *ropeTable) bool {
		return t.of.HeadSize == r.HeadSize && t.of.Scale == r.Scale && slices.Equal(t.of.InvFreq, r.InvFreq)
	})
	if i >= 0 {
		if p.tables[i].rows >= rows {
			return p.tables[i]
		}
		rows = max(rows, 2*p.tables[i].rows)
		p.tables = slices.Delete(p.tables, i, i+1)
	}
	if len(p.tables) == maxTables {
		p.tables = slices.Delete(p.tables, 0, 1)
	}
	p.tables = append(p.tables, newRopeTable(r, rows))
	return p.tables[len(p.tables)-1]
}

func newRopeTable(r *gpu.Rope, rows int) *ropeTable {
	n := rows * len(r.InvFreq)
	t := &ropeTable{of: *r, rows: rows, cos: alignedFloats(n), sin: alignedFloats(n), nsin: alignedFloats(n)}
	t.of.InvFreq = slices.Clone(r.InvFreq)
	for i := range n {
		angle := float64(i/len(r.InvFreq)) * r.InvFreq[i%len(r.InvFreq)]
		sin, cos := math.Sincos(angle)
		t.cos[i] = float32(cos * r.Scale)
		t.sin[i] = float32(sin * r.Scale)
		t.nsin[i] = -t.sin[i]
	}
	return t
}

func (p ropePhase) tile(i, _ int) {
	size := p.width / p.heads
	half := size / 2
	sines := p.table.sin
	if p.inverse {
		sines = p.table.nsin
	}
	for n := i * p.tileRows; n < min(len(p.positions), (i+1)*p.tileRows); n++ {
		at := int(p.positions[n]) * half
		cos, sin := p.table.cos[at:][:half], sines[at:][:half]
		for h := range p.heads {
			x := p.x[n*p.width+h*size:][:size]
			p.device.kernels.Rotate(x[:half], x[half:], cos, sin)
		}
	}
}
