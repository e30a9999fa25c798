package ref

import "athanor/gpu"

// Embed sets out[n] = table[id[n]].
func (Device) Embed(out, table gpu.Tensor, s *gpu.Stream) {
	N, V, D := s.Len(), table.Rows, table.Cols
	want("Embed", "out", out, N, D)
	o, w := values(out), values(table)
	for n, id := range s.IDs {
		wantBelow("Embed", "id", id, V)
		for d := range D {
			o[n*D+d] = w[int(id)*D+d]
		}
	}
}

// EmbedBackward does dTable[v] += Σ over n with id[n] = v of dOut[n].
func (Device) EmbedBackward(dTable, dOut gpu.Tensor, s *gpu.Stream) {
	N, V, D := s.Len(), dTable.Rows, dTable.Cols
	want("EmbedBackward", "dOut", dOut, N, D)
	dw, do := values(dTable), values(dOut)
	for n, id := range s.IDs {
		wantBelow("EmbedBackward", "id", id, V)
		for d := range D {
			dw[int(id)*D+d] += do[n*D+d]
		}
	}
}
