package gputest

import (
	"fmt"
	"math"

	"athanor/gpu"
)

func ropeTrials() []trial {
	var all []trial
	for _, c := range []struct {
		heads, headSize int
		lengths         []int
		scale           float64
		first           int // position of each segment's first token
	}{
		{1, 2, []int{1}, 1, 0},
		{3, 6, []int{17}, 1, 0},
		{4, 32, []int{33, 1, 65}, 1, 0},
		{2, 64, []int{129, 128}, 1.25, 0},
		{1, 128, []int{257}, 1, 0},
		{5, 16, []int{3, 3}, 1, 131000},
	} {
		name := fmt.Sprintf("heads%d,E%d,N%v,scale%g,first%d", c.heads, c.headSize, c.lengths, c.scale, c.first)
		all = append(all, trial{name: name, run: func(f *fixture) {
			s := f.stream(7, c.lengths...)
			for n := range s.Positions {
				s.Positions[n] += int32(c.first)
			}
			r := rope(c.headSize, c.scale)
			for _, inverse := range []bool{false, true} {
				x := f.inout(s.Len(), c.heads*c.headSize)
				f.Rope(x, r, s, inverse)
				f.result(fmt.Sprintf("x, inverse=%v", inverse), x)
			}
		}})
	}
	return all
}

// rope has the angles of Llama with theta 10,000.
func rope(headSize int, scale float64) *gpu.Rope {
	r := &gpu.Rope{HeadSize: headSize, Scale: scale}
	for e := range headSize / 2 {
		r.InvFreq = append(r.InvFreq, math.Pow(10000, -2*float64(e)/float64(headSize)))
	}
	return r
}
