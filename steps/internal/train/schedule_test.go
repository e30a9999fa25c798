package train

import (
	"math"
	"slices"
	"testing"
)

func TestScheduleFollowsItsClosedForm(t *testing.T) {
	const total, warmup, batch = 1000, 100, 10
	cosine := func(final float64) func(float64) float64 {
		return func(p float64) float64 { return final + (1-final)*0.5*(1+math.Cos(math.Pi*p)) }
	}
	late := func(x, p float64) float64 { // the place in a decay over the last quarter, p being the place after warm-up
		at := (warmup + p*(total-warmup)) / total
		return max(0, (at-0.75)/0.25) * x
	}
	for _, c := range []struct {
		name     string
		schedule Schedule
		after    func(p float64) float64 // share of the peak, at place p of the run after its warm-up
	}{
		{"cosine", Schedule{Shape: Cosine, Final: 0.1}, cosine(0.1)},
		{"cosine to zero", Schedule{Shape: Cosine}, cosine(0)},
		{"linear", Schedule{Shape: Linear, Final: 0.2}, func(p float64) float64 { return 1 - 0.8*p }},
		{"constant", Schedule{Shape: Constant, Final: 0.1}, func(float64) float64 { return 1 }},
		{"wsd", Schedule{Shape: WSD, Final: 0.1, Decay: 0.25}, func(p float64) float64 { return 1 - 0.9*late(1, p) }},
		{"wsd with a root", Schedule{Shape: WSDSqrt, Decay: 0.25}, func(p float64) float64 { return 1 - math.Sqrt(late(1, p)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.schedule
			s.Peak, s.Warmup, s.Total = 3e-4, warmup, total
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			for from := int64(0); from < total; from += batch {
				want := 3e-4 * float64(from+batch) / warmup
				if from >= warmup {
					want = 3e-4 * c.after(float64(from-warmup)/(total-warmup))
				}
				if got := s.At(from, from+batch); math.Abs(got-want) > 1e-15 {
					t.Errorf("at %d: %g, want %g", from, got, want)
				}
			}
		})
	}
}

func TestScheduleThatCannotBeFollowed(t *testing.T) {
	for name, s := range map[string]Schedule{
		"no shape":                 {Total: 10},
		"longer warm-up than run":  {Total: 10, Warmup: 11, Shape: Cosine},
		"warm-up and decay in all": {Total: 10, Warmup: 6, Decay: 0.5, Shape: WSD},
	} {
		if s.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestBatchesAddUpToTheToken(t *testing.T) {
	for _, c := range []struct {
		name  string
		b     Batches
		sizes []int64
	}{
		{"even", Batches{Tokens: 10, Total: 30}, []int64{10, 10, 10}},
		{"a short rest joins the last step", Batches{Tokens: 10, Total: 34}, []int64{10, 10, 14}},
		{"a long rest is a step", Batches{Tokens: 10, Total: 37}, []int64{10, 10, 10, 7}},
		{"less than a batch", Batches{Tokens: 10, Total: 7}, []int64{7}},
		{"a ramp", Batches{Tokens: 10, Total: 100, Ramp: []Ramp{{0.2, 20}, {0.6, 40}}}, []int64{10, 10, 20, 20, 40}},
		{"a ramp between steps", Batches{Tokens: 10, Total: 100, Ramp: []Ramp{{0.25, 30}}}, []int64{10, 10, 10, 30, 40}},
		{"a ramp from the start", Batches{Tokens: 10, Total: 40, Ramp: []Ramp{{0, 20}}}, []int64{20, 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.b.Validate(); err != nil {
				t.Fatal(err)
			}
			var sizes []int64
			var consumed int64
			for consumed < c.b.Total {
				size := c.b.Size(consumed)
				sizes = append(sizes, size)
				consumed += size
			}
			if !slices.Equal(sizes, c.sizes) {
				t.Errorf("steps of %v, want %v", sizes, c.sizes)
			}
			if consumed != c.b.Total || c.b.Size(consumed) != 0 {
				t.Errorf("%d tokens of %d, then %d more", consumed, c.b.Total, c.b.Size(consumed))
			}
			if two := c.b.TokensOf(2); two != min(c.b.Total, c.b.Size(0)+c.b.Size(c.b.Size(0))) || c.b.TokensOf(99) != c.b.Total {
				t.Errorf("%d tokens in the first two steps, %d in 99", two, c.b.TokensOf(99))
			}
			if bound := c.b.Bound(); bound < slices.Max(c.sizes) || bound > c.b.Total {
				t.Errorf("no step exceeds %d tokens", bound)
			}
		})
	}
}

func TestBatchesThatMakeNoRun(t *testing.T) {
	for name, b := range map[string]Batches{
		"nothing":         {},
		"empty batch":     {Total: 10},
		"out of order":    {Total: 10, Tokens: 1, Ramp: []Ramp{{0.5, 2}, {0.2, 4}}},
		"beyond the end":  {Total: 10, Tokens: 1, Ramp: []Ramp{{1.5, 2}}},
		"ramp to nothing": {Total: 10, Tokens: 1, Ramp: []Ramp{{0.5, 0}}},
	} {
		if b.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMeanBatch(t *testing.T) {
	b := Batches{Tokens: 100, Total: 100_000, Ramp: []Ramp{{At: 0.5, Tokens: 200}, {At: 0.9, Tokens: 1000}}}
	n := int64(0)
	for at := int64(0); at < b.Total; n++ {
		at += b.Size(at)
	}
	if got := b.Mean(); got != b.Total/n { // 500 + 200 + 10 steps
		t.Errorf("a mean of %d tokens, not %d", got, b.Total/n)
	}
	if got := (Batches{Tokens: 7, Total: 70}).Mean(); got != 7 {
		t.Errorf("a mean of %d tokens, not 7", got)
	}
}
