package cuda

import (
	"fmt"

	"athanor/gpu"
	"athanor/gpu/cuda/internal/driver"
)

// Embed sets out[n] = table[s.IDs[n]].
func (d *device) Embed(out, table gpu.Tensor, s *gpu.Stream) {
	const op = "Embed"
	checkIDs(op, s, out.Rows, table.Rows)
	os := d.at(op, "out", out, -1, -1)
	ts := d.typed(op, "table", table, out.Type, -1, out.Cols)
	ids := d.list(&d.stream.ids, s.IDs)
	d.rows(kernel("gather_rows", out.Type), out.Rows, rowThreads, pointer(os), pointer(ts), pointer(ids), integer(out.Cols))
}

// EmbedBackward adds dOut[n] to row s.IDs[n] of dTable. A block takes one id and adds its tokens in their order.
func (d *device) EmbedBackward(dTable, dOut gpu.Tensor, s *gpu.Stream) {
	const op = "EmbedBackward"
	checkIDs(op, s, dOut.Rows, dTable.Rows)
	dos := d.at(op, "dOut", dOut, -1, -1)
	ts := d.typed(op, "dTable", dTable, gpu.F32, -1, dOut.Cols)
	if s.Len() == 0 {
		return
	}
	t := &d.stream.byID
	t.set(s.IDs)
	order, starts, ids := d.list(&t.gpu.order, t.order), d.list(&t.gpu.starts, t.starts), d.list(&t.gpu.ids, t.ids)
	d.launch(driver.Launch{
		Kernel: kernel("embed_backward", dOut.Type), Grid: [3]int{len(t.ids), (dOut.Cols + 1023) / 1024, 1}, Block: [3]int{rowThreads, 1, 1},
		Args: []uint64{pointer(ts), pointer(dos), pointer(order), pointer(starts), pointer(ids), integer(dOut.Cols)},
	})
}

// checkIDs panics unless the stream has n tokens, each of which has one of the rows of a table.
func checkIDs(op string, s *gpu.Stream, n, rows int) {
	checkStream(op, s, n)
	for i, id := range s.IDs {
		if id < 0 || int(id) >= rows {
			panic(fmt.Sprintf("cuda: %s: token %d has id %d of a table of %d rows", op, i, id, rows))
		}
	}
}
