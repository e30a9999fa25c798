package cpu

import (
	"fmt"

	"athanor/gpu"
)

// embed looks rows up in a table, and adds gradients to rows of it.
type embed struct {
	device       *device
	tokens, rows []float32 // [N, D] and the table [V, D]
	ids          []int32
	width        int
}

type lookupPhase struct{ *embed }
type scatterPhase struct{ *embed }

const (
	lookupTile  = 64 // tokens
	scatterTile = 64 // columns
)

// Embed sets out[n] = table[s.IDs[n]].
func (d *device) Embed(out, table gpu.Tensor, s *gpu.Stream) {
	d.embed.set("Embed", out, table, s)
	d.pool.run(ceilDiv(out.Rows, lookupTile), lookupPhase{&d.embed})
}

// EmbedBackward adds dOut[n] to row s.IDs[n] of dTable. A tile has some columns and goes through all tokens in order.
func (d *device) EmbedBackward(dTable, dOut gpu.Tensor, s *gpu.Stream) {
	d.embed.set("EmbedBackward", dOut, dTable, s)
	d.pool.run(ceilDiv(dOut.Cols, scatterTile), scatterPhase{&d.embed})
}

func (e *embed) set(op string, tokens, table gpu.Tensor, s *gpu.Stream) {
	checkStream(op, s, tokens.Rows)
	for n, id := range s.IDs {
		if id < 0 || int(id) >= table.Rows {
			panic(fmt.Sprintf("cpu: %s: token %d has id %d of a table of %d rows", op, n, id, table.Rows))
		}
	}
	e.width, e.ids = tokens.Cols, s.IDs
	e.tokens = view(op, "out", tokens, -1, -1)
	e.rows = view(op, "table", table, -1, tokens.Cols)
}

func (e lookupPhase) tile(i, _ int) {
	first := i * lookupTile
	for n, id := range e.ids[first:min(first+lookupTile, len(e.ids))] {
		copy(e.tokens[(first+n)*e.width:][:e.width], e.rows[int(id)*e.width:])
	}
}

func (e scatterPhase) tile(i, _ int) {
	first := i * scatterTile
	cols := min(scatterTile, e.width-first)
	for n, id := range e.ids {
		e.device.kernels.Add(e.rows[int(id)*e.width+first:][:cols], e.tokens[n*e.width+first:][:cols])
	}
}
