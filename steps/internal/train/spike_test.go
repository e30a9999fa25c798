package train

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"athanor/gpu/ref"
)

func TestGuard(t *testing.T) {
	steady := func(n int) (list []float64) {
		for i := range n {
			list = append(list, 2+0.01*float64(i%5))
		}
		return list
	}
	for _, c := range []struct {
		name    string
		losses  []float64
		skipped []int // indices
	}{
		{"steady", steady(40), nil},
		{"one outlier", append(append(steady(20), 9), steady(10)...), []int{20}},
		{"before half a window", append([]float64{2, 2.01, 9}, steady(10)...), nil},
		{"downwards", append(steady(20), 0.1), nil},
		{"two outliers, the second smaller", append(append(append(steady(20), 1000), steady(5)...), 9), []int{20, 26}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for figure, judge := range map[string]func(g *guard, x float64) string{
				"loss":          func(g *guard, x float64) string { return g.judge(x, 1) },
				"gradient norm": func(g *guard, x float64) string { return g.judge(1, x) },
			} {
				g, skipped := &guard{rule: Spikes{Sigma: 6, Window: 16}}, []int(nil)
				for i, x := range c.losses {
					if why := judge(g, x); why != "" {
						skipped = append(skipped, i)
						if !strings.Contains(why, "the "+figure) || !strings.Contains(why, fmt.Sprintf("%.4g", x)) {
							t.Error(why)
						}
					}
				}
				if !slices.Equal(skipped, c.skipped) || len(g.Loss) > 16 || len(g.Norm) > 16 {
					t.Errorf("%s: skipped %v, want %v; %d and %d values kept", figure, skipped, c.skipped, len(g.Loss), len(g.Norm))
				}
			}
		})
	}
}

func TestGuardAcceptsALastingChange(t *testing.T) {
	g := &guard{rule: Spikes{Sigma: 6, Window: 16}}
	for i := range 32 {
		g.judge(2+0.1*float64(i%2), 1)
	}
	skipped := 0
	for i := range 64 {
		if g.judge(5+0.1*float64(i%2), 1) != "" {
			skipped++
		}
	}
	if skipped == 0 || skipped > 8 {
		t.Errorf("%d of 64 steps are skipped after the loss has risen for good", skipped)
	}
}

// loud is a Source that marks the batches of one step, and an Objective that takes their loss tenfold.
type loud struct {
	Packed
	CrossEntropy
	steps, at int
}

func (s *loud) Next(tokens int64) ([]*Batch, error) {
	batches, err := s.Packed.Next(tokens)
	s.steps++
	for _, b := range batches {
		b.Extra = s.steps == s.at
	}
	return batches, err
}

func (s *loud) Loss(b *Batch, h *Head) float64 {
	loss := s.CrossEntropy.Loss(b, h)
	if b.Extra == true {
		loss *= 10
		for i := range h.DLogp {
			h.DLogp[i] *= 10
		}
	}
	return loss
}

func TestLoopLeavesOutASpike(t *testing.T) {
	const at = 10
	m := newModel(t, ref.Open())
	source := &loud{Packed: Packed{Loader: counting(), Context: 12, Micro: 20}, at: at}
	loop := newLoop(m, source, nil)
	loop.Objective = source
	loop.Spikes = Spikes{Sigma: 6, Window: 8}
	rt := newRuntime(t, t.TempDir())
	before, after := 0.0, 0.0 // Σw² around the step
	loop.Observer, loop.ObserveEvery = observe(func(step int64) {
		sum := 0.0
		for _, p := range m.Params() {
			for _, w := range ref.Float64(p.Weight) {
				sum += w * w
			}
		}
		switch step {
		case at - 1:
			before = sum
		case at:
			after = sum
		}
	}), 1
	summary, err := loop.Run(context.Background(), rt)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Skipped != 1 || summary.Empty != 0 || before == 0 || before != after {
		t.Errorf("%+v; Σw² is %g before the step and %g after it", summary, before, after)
	}
	for i, line := range readMetrics(t, rt.MetricsFile()) {
		if has := strings.Contains(line, `"skipped":1`); has != (strings.Contains(line, `"loss"`) && strings.Contains(line, `"step":10,`)) {
			t.Errorf("line %d: %s", i, line)
		}
	}
}

// observe is an Observer without figures.
type observe func(step int64)

func (o observe) Observe(_ context.Context, step, _ int64) (map[string]float64, error) {
	o(step)
	return nil, nil
}

func (observe) State() ([]byte, error) { return nil, nil }

func (observe) Restore([]byte) error { return nil }

func TestRulesThatCannotHold(t *testing.T) {
	for _, bad := range []interface{ Validate() error }{
		Spikes{Sigma: 6, Window: 1}, Spikes{Window: 8}, Average{Kind: "median"}, Average{Kind: EMA, Decay: 1},
		Average{Kind: Mean, Every: -1}, Average{Kind: Mean, Last: 3},
	} {
		if bad.Validate() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	for _, good := range []interface{ Validate() error }{
		Spikes{}, Spikes{Sigma: 6, Window: 128}, Average{}, Average{Kind: EMA}, Average{Kind: Mean, Every: 5, Last: 3},
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}
