package gputest

import (
	"fmt"
	"testing"

	"athanor/gpu"
)

func decodeTrials() []trial {
	var all []trial
	for _, c := range []struct{ H, G, E, B, T int }{
		{1, 1, 2, 1, 1}, {4, 1, 16, 3, 17}, {6, 2, 64, 2, 65}, {3, 3, 20, 5, 129}, {8, 2, 32, 1, 300},
	} {
		all = append(all, trial{name: fmt.Sprintf("H%d,G%d,E%d,B%d,T%d", c.H, c.G, c.E, c.B, c.T), run: func(f *fixture) {
			cache := gpu.Cache{K: f.inout(c.B*c.T, c.G*c.E), V: f.inout(c.B*c.T, c.G*c.E), Capacity: c.T}
			var slots, positions, lengths []int32
			for b := range c.B { // the sequences backwards, each at its own position
				t := f.rng.IntN(c.T)
				slots = append(slots, int32(c.B-1-b))
				positions = append(positions, int32(t))
				lengths = append(lengths, int32(t+1))
			}
			f.Store(cache, f.in(c.B, c.G*c.E), f.in(c.B, c.G*c.E), slots, positions)
			out := f.out(c.B, c.H*c.E)
			f.DecodeAttention(out, f.in(c.B, c.H*c.E), cache, c.E, slots, lengths)
			f.result("K", cache.K)
			f.result("V", cache.V)
			f.result("out", out)
		}})
	}
	return all
}

// decodeEqualsAttention generates two sequences of different lengths token by token, and compares with Attention over
// both as one stream. The rest of the cache is NaN: nothing behind a sequence's end may be read.
func (s *suite) decodeEqualsAttention(t *testing.T) {
	const H, G, E, capacity = 4, 2, 32, 70
	for _, v := range s.variants(false) {
		t.Run(v.String(), func(t *testing.T) {
			var whole, steps []result
			v.run(t, s.devices[1], trial{run: func(f *fixture) {
				stream := f.stream(7, 70, 41)
				N := stream.Len()
				q, k, v := f.in(N, H*E), f.in(N, G*E), f.in(N, G*E)
				out, lse := f.out(N, H*E), f.kept(N, H)
				f.Attention(out, lse, q, k, v, E, stream)

				cache := gpu.Cache{K: f.out(3*capacity, G*E), V: f.out(3*capacity, G*E), Capacity: capacity}
				decoded := f.out(N, H*E)
				for n := range N {
					slot := []int32{2} // the first sequence stands behind the second
					if n >= 70 {
						slot[0] = 1
					}
					position := stream.Positions[n]
					f.Store(cache, k.Slice(n, n+1), v.Slice(n, n+1), slot, []int32{position})
					f.DecodeAttention(decoded.Slice(n, n+1), q.Slice(n, n+1), cache, E, slot, []int32{position + 1})
				}
				f.result("Attention", out)
				f.result("DecodeAttention", decoded)
				whole, steps = f.results[:1], f.results[1:]
			}})
			s.compare(t, "DecodeAttention", v, 1, steps, whole)
		})
	}
}
