package ref

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// Rope (arXiv 2104.09864, section 3.2.2) turns the pair (x[e], x[e+E/2]) of each head by φ = position·InvFreq[e]:
//
//	x'[e]     = scale · ( x[e]·cos φ − x[e+E/2]·sin φ )
//	x'[e+E/2] = scale · ( x[e+E/2]·cos φ + x[e]·sin φ )
//
// The backward of a rotation is its transpose, the rotation by −φ; scale stays.
func (Device) Rope(x gpu.Tensor, r *gpu.Rope, s *gpu.Stream, inverse bool) {
	N, E := s.Len(), r.HeadSize
	if E <= 0 || E%2 != 0 || x.Cols%E != 0 {
		panic(fmt.Sprintf("ref: Rope: head size %d in rows of %d", E, x.Cols))
	}
	heads := x.Cols / E
	want("Rope", "x", x, N, heads*E)
	wantLen("Rope", "InvFreq", len(r.InvFreq), E/2)
	wantLen("Rope", "Positions", len(s.Positions), N)
	xs := values(x)
	for n := range N {
		for h := range heads {
			head := xs[(n*heads+h)*E:][:E]
			for e := range E / 2 {
				angle := float64(s.Positions[n]) * r.InvFreq[e]
				if inverse {
					angle = -angle
				}
				sin, cos := math.Sincos(angle)
				a, b := head[e], head[e+E/2]
				head[e] = r.Scale * (a*cos - b*sin)
				head[e+E/2] = r.Scale * (b*cos + a*sin)
			}
		}
	}
}
