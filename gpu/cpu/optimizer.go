package cpu

import (
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/gpu/cpu/internal/simd"
)

// optimizerTile is how many elements a tile of the optimizer has at most.
const optimizerTile = 1 << 15

// adamW updates all tensors of a step in one phase, however small some are.
type adamW struct {
	device *device
	parts  []adamPart
	tiles  []optimizerSlice
}

// An adamPart is one tensor to update.
type adamPart struct {
	w, g, m, v []float32
	params     simd.AdamW
}

// An optimizerSlice is one tile: elements of a tensor from an offset on.
type optimizerSlice struct{ tensor, from int32 }

// AdamW applies decoupled AdamW (arXiv 1711.05101, algorithm 2) to every tensor.
func (d *device) AdamW(tensors []gpu.AdamWTensor, h gpu.AdamWStep) {
	a := &d.adamw
	a.parts, a.tiles = a.parts[:0], a.tiles[:0]
	for _, t := range tensors {
		if !t.Master.IsZero() {
			panic("cpu: AdamW: a master weight beside a float32 weight")
		}
		n := t.Weight.Len()
		a.tiles = appendTiles(a.tiles, len(a.parts), n)
		a.parts = append(a.parts, adamPart{
			w:      adamOperand("Weight", t.Weight, n),
			g:      adamOperand("Grad", t.Grad, n),
			m:      adamOperand("M", t.M, n),
			v:      adamOperand("V", t.V, n),
			params: adamParams(&t, &h),
		})
	}
	d.pool.run(len(a.tiles), a)
}

func adamParams(t *gpu.AdamWTensor, h *gpu.AdamWStep) simd.AdamW {
	step := float64(h.Step)
	return simd.AdamW{
		GradScale:  float32(h.GradScale),
		Beta1:      float32(h.Beta1),
		Beta1Rest:  float32(1 - h.Beta1),
		Beta2:      float32(h.Beta2),
		Beta2Rest:  float32(1 - h.Beta2),
		StepSize:   float32(t.LR / (1 - math.Pow(h.Beta1, step))),
		InvBias2:   float32(1 / math.Sqrt(1-math.Pow(h.Beta2, step))),
		Eps:        float32(h.Eps),
		WeightKeep: float32(1 - t.LR*t.Decay),
	}
}

func (a *adamW) tile(i, _ int) {
	p := &a.parts[a.tiles[i].tensor]
	from := int(a.tiles[i].from)
	to := min(len(p.w), from+optimizerTile)
	a.device.kernels.AdamW(p.w[from:to], p.g[from:to], p.m[from:to], p.v[from:to], &p.params)
}

// sumSquares adds the squares of tensors: those of a tile in float32 for a short run at a time, the rest in float64.
type sumSquares struct {
	device  *device
	tensors [][]float32
	tiles   []optimizerSlice
	sums    []float64 // one for each tile
}

// SumSquares is Σ g² over all the tensors.
func (d *device) SumSquares(tensors []gpu.Tensor) (float64, error) {
	s := &d.squares
	s.tensors, s.tiles = s.tensors[:0], s.tiles[:0]
	for _, t := range tensors {
		s.tiles = appendTiles(s.tiles, len(s.tensors), t.Len())
		s.tensors = append(s.tensors, view("SumSquares", "tensor", t, -1, -1))
	}
	if cap(s.sums) < len(s.tiles) {
		s.sums = make([]float64, len(s.tiles))
	}
	s.sums = s.sums[:len(s.tiles)]
	d.pool.run(len(s.tiles), s)
	sum := 0.0
	for _, x := range s.sums {
		sum += x
	}
	return sum, nil
}

func (s *sumSquares) tile(i, _ int) {
	const short = 1024
	t := s.tensors[s.tiles[i].tensor]
	from := int(s.tiles[i].from)
	t = t[from:min(len(t), from+optimizerTile)]
	sum := 0.0
	for j := 0; j < len(t); j += short {
		x := t[j:min(len(t), j+short)]
		sum += float64(s.device.kernels.Dot(x, x))
	}
	s.sums[i] = sum
}

// appendTiles cuts n elements of a tensor into tiles.
func appendTiles(tiles []optimizerSlice, tensor, n int) []optimizerSlice {
	for from := 0; from < n; from += optimizerTile {
		tiles = append(tiles, optimizerSlice{int32(tensor), int32(from)})
	}
	return tiles
}

// adamOperand is view for a tensor of which only the number of elements matters.
func adamOperand(name string, t gpu.Tensor, n int) []float32 {
	if t.Len() != n {
		panic(fmt.Sprintf("cpu: AdamW: %s has %d elements, not %d", name, t.Len(), n))
	}
	return view("AdamW", name, t, -1, -1)
}
