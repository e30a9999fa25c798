package gputest

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// sampleTrials draw from random logits, in many ways in each trial. Devices add weights up in different orders, so another
// token would be right where a uniform number, or TopP, meets the end of a token's share to within 1e-12 or so. The
// generator's seed fixes the numbers, and none here does; so ids must be the specification's.
func sampleTrials() []trial {
	var all []trial
	for _, V := range []int{1, 2, 33, 513, 5003} {
		all = append(all, trial{name: fmt.Sprintf("V%d", V), run: func(f *fixture) {
			f.sample(V, f.anyDraws(V, 24), f.normal)
		}})
	}
	alike := []gpu.Draw{
		{Temperature: 1}, {Temperature: 1, TopK: 1, Uniform: 0.9}, {Temperature: 2, TopK: 50, Uniform: 0.999}, {},
		{Temperature: 1, TopP: 0.25, Uniform: 0.5}, {Temperature: 0.5, TopK: 70, TopP: 0.5, Uniform: 1 - 1.0/(1<<53)},
	}
	return append(all,
		// Most tokens are as likely as others: ids decide.
		trial{name: "ties", run: func(f *fixture) { f.sample(300, f.anyDraws(300, 24), f.integer(2)) }},
		trial{name: "alike", run: func(f *fixture) { f.sample(128, alike, func() float32 { return -3 }) }},
		trial{name: "zeros", run: func(f *fixture) {
			f.sample(128, alike, func() float32 { return float32(math.Copysign(0, f.rng.NormFloat64())) })
		}},
		// Of many tokens all but a few are impossible.
		trial{name: "masked", run: func(f *fixture) {
			f.sample(1000, f.anyDraws(1000, 12), func() float32 {
				if f.rng.IntN(20) > 0 {
					return float32(math.Inf(-1))
				}
				return 30 * f.normal()
			})
		}},
		trial{name: "long", run: func(f *fixture) { f.sample(40000, f.anyDraws(40000, 4), f.integer(3)) }},
		trial{name: "damaged", run: func(f *fixture) {
			damage := []float32{nan(), -nan(), float32(math.Inf(1)), float32(math.Inf(-1))}
			i := -1
			f.sample(40, make([]gpu.Draw, 4), func() float32 {
				if i++; i/40 == 3 || i%40 == 17 {
					return damage[i/40]
				}
				return f.normal()
			})
		}},
	)
}

// anyDraws are n draws from V tokens, at the extremes of each number too.
func (f *fixture) anyDraws(V, n int) []gpu.Draw {
	draws := make([]gpu.Draw, n)
	for i := range draws {
		draws[i] = gpu.Draw{
			Temperature: []float64{1, 0.7, 30, 0.05, 1, 0}[f.rng.IntN(6)],
			TopK:        []int{0, 1, 3, V / 2, V, V + 5, 0, 40}[f.rng.IntN(8)],
			TopP:        []float64{0, 1e-9, 0.3, 0.9, 0.9999, 1}[f.rng.IntN(6)],
			Uniform:     f.rng.Float64(),
		}
		if i%8 == 7 {
			draws[i].Uniform = 0
		}
	}
	return draws
}

// sample draws from as many rows of V logits as there are draws.
func (f *fixture) sample(V int, draws []gpu.Draw, logit func() float32) {
	n := len(draws)
	logits := f.tensor(gpu.F32, n, V, true, logit)
	ids, logp := make([]int32, n), f.nans(n)
	if err := f.Device.(gpu.Sampler).Sample(ids, logp, logits, draws); err != nil {
		f.t.Fatal(err)
	}
	numbers := make([]float64, n)
	for i, id := range ids {
		numbers[i] = float64(id)
	}
	f.host("ids", numbers).exact = true
	f.host("logp", logp).alwaysF32()
}
