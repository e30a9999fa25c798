package train

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"athanor/gpu/ref"
)

func TestAverageSamples(t *testing.T) {
	const total = 100
	ends := []int64{7, 20, 33, 50, 55, 80, 95, 100} // of the steps
	for _, c := range []struct {
		average Average
		want    []int64
	}{
		{Average{Kind: Mean}, ends},
		{Average{Kind: Mean, Every: 50}, []int64{50, 100}},
		{Average{Kind: Mean, Every: 30}, []int64{20, 50, 80, 100}}, // 10, 40, 70, 100
		{Average{Kind: Mean, Every: 30, Last: 2}, []int64{80, 100}},
		{Average{Kind: Mean, Every: 1000}, []int64{100}},
		{Average{Kind: Mean, Every: 1, Last: 1}, []int64{100}},
	} {
		var got []int64
		from := int64(0)
		for _, to := range ends {
			if c.average.due(from, to, total) {
				got = append(got, to)
			}
			from = to
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v: samples after %v, want %v", c.average, got, c.want)
		}
	}
}

// TestAverageOfTheWay compares the average with one of weights that were written down on the way.
func TestAverageOfTheWay(t *testing.T) {
	for _, average := range []Average{{Kind: Mean}, {Kind: EMA, Decay: 0.8}, {Kind: Mean, Every: 90, Last: 3}, {Kind: EMA, Decay: 0.8, Every: 90}} {
		t.Run(fmt.Sprintf("%+v", average), func(t *testing.T) {
			m := newModel(t, ref.Open())
			loop := newLoop(m, &Packed{Loader: counting(), Context: 12, Micro: 20}, nil)
			loop.Average = average
			var way [][]float64
			var tokens []int64
			loop.Observer, loop.ObserveEvery = observe(func(int64) {
				var weights []float64
				for _, p := range m.Params() {
					weights = append(weights, ref.Float64(p.Weight)...)
				}
				way, tokens = append(way, weights), append(tokens, loop.state.Tokens)
			}), 1
			if _, err := loop.Run(context.Background(), newRuntime(t, t.TempDir())); err != nil {
				t.Fatal(err)
			}
			var chosen [][]float64
			from := int64(0)
			for i, to := range tokens {
				if average.due(from, to, runTokens) {
					chosen = append(chosen, way[i])
				}
				from = to
			}
			samples, err := loop.UseAverage()
			if err != nil || samples != int64(len(chosen)) {
				t.Fatalf("an average of %d samples, want %d: %v", samples, len(chosen), err)
			}
			at := 0
			for _, p := range m.Params() {
				for _, got := range ref.Float64(p.Weight) {
					want := 0.0
					for i, weights := range chosen {
						share := 1 / float64(len(chosen))
						if average.Kind == EMA {
							share = 0.2 * math.Pow(0.8, float64(len(chosen)-1-i))
							if i == 0 {
								share /= 0.2
							}
						}
						want += share * weights[at]
					}
					if math.Abs(got-want) > 1e-6 {
						t.Fatalf("%s: weight %d is %g in the average, want %g", p.Name, at, got, want)
					}
					at++
				}
			}
		})
	}
}
