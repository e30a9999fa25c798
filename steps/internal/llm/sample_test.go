package llm

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// TestSampler draws evenly from the whole of a distribution and compares frequencies and log-probabilities with what was
// asked for.
func TestSampler(t *testing.T) {
	logits := []float32{1, 3, 2, float32(math.Inf(-1)), 2.5}
	p := func(temperature float64, ids ...int) map[int32]float64 {
		want, sum := map[int32]float64{}, 0.0
		for _, id := range ids {
			want[int32(id)] = math.Exp(float64(logits[id]) / temperature)
			sum += want[int32(id)]
		}
		for id := range want {
			want[id] /= sum
		}
		return want
	}
	cases := map[string]struct {
		draw gpu.Draw
		want map[int32]float64
	}{
		"greedy":          {gpu.Draw{}, map[int32]float64{1: 1}},
		"all":             {gpu.Draw{Temperature: 1}, p(1, 0, 1, 2, 4)},
		"hot":             {gpu.Draw{Temperature: 3, TopP: 1}, p(3, 0, 1, 2, 4)},
		"top-k":           {gpu.Draw{Temperature: 1, TopK: 2}, p(1, 1, 4)},
		"top-k of all":    {gpu.Draw{Temperature: 1, TopK: 5}, p(1, 0, 1, 2, 4)},
		"top-p":           {gpu.Draw{Temperature: 1, TopP: 0.75}, p(1, 1, 4)}, // 0.474, 0.762 with the second
		"top-p of one":    {gpu.Draw{Temperature: 1, TopP: 0.01}, p(1, 1)},
		"top-k and top-p": {gpu.Draw{Temperature: 2, TopK: 3, TopP: 0.999}, p(2, 1, 2, 4)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			const draws = 2000
			var s sampler
			count := map[int32]float64{}
			for i := range draws {
				test.draw.Uniform = (float64(i) + 0.5) / draws
				id, logp := s.draw(logits, test.draw)
				want := math.Log(test.want[id])
				if name == "greedy" {
					want = math.Log(p(1, 0, 1, 2, 4)[1])
				}
				if math.Abs(logp-want) > 1e-9 {
					t.Fatalf("token %d: log-probability %v, want %v", id, logp, want)
				}
				count[id]++
			}
			for id, want := range test.want {
				if d := math.Abs(count[id] - want*draws); d > 1 {
					t.Errorf("token %d was drawn %v times of %d, want %v", id, count[id], draws, want*draws)
				}
			}
		})
	}
}

// TestSamplerOnTheHostAndOnDevices: the host draws what a device draws, which gpu/gputest holds to the specification.
func TestSamplerOnTheHostAndOnDevices(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	device := ref.Open()
	var s sampler
	for range 3000 {
		V := 1 + random.IntN(60)
		values := make([]float32, V)
		ties := random.IntN(2) == 0
		for i := range values {
			if values[i] = float32(3 * random.NormFloat64()); ties {
				values[i] = float32(random.IntN(8))
			}
		}
		if V > 20 && random.IntN(100) == 0 {
			values[7] = float32([]float64{math.NaN(), math.Inf(1)}[random.IntN(2)])
		}
		d := gpu.Draw{
			Temperature: []float64{0, 0.5, 1, 2}[random.IntN(4)], TopK: random.IntN(V + 2), TopP: min(1, 1.2*random.Float64()), Uniform: random.Float64(),
		}
		logits, err := device.Alloc(gpu.F32, 1, V)
		if err != nil {
			t.Fatal(err)
		}
		device.Write(logits, values)
		ids, logp := make([]int32, 1), make([]float64, 1)
		if err := device.(gpu.Sampler).Sample(ids, logp, logits, []gpu.Draw{d}); err != nil {
			t.Fatal(err)
		}
		if id, p := s.draw(values, d); id != ids[0] || math.Abs(p-logp[0]) > 1e-12 {
			t.Fatalf("logits %v, %+v: the host draws %d with %v, the device %d with %v", values, d, id, p, ids[0], logp[0])
		}
	}
}

// TestGenerateOnTheHostAndOnDevices: an answer is the same whether the device samples or the host.
func TestGenerateOnTheHostAndOnDevices(t *testing.T) {
	for _, o := range []Sampling{
		{MaxTokens: 20, Temperature: 1, Seed: 5}, {MaxTokens: 20, Temperature: 0.8, TopK: 5, TopP: 0.9, Seed: 7, Slots: 2}, {MaxTokens: 5},
	} {
		var answers [2][][]int32
		for i, dev := range []gpu.Device{ref.Open(), onlyDevice{ref.Open()}} {
			m, err := New(dev, tiny(true))
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err = m.Init(1); err == nil {
				answers[i], err = m.Generate(t.Context(), prompts, o, nil)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(answers[0], answers[1]) {
			t.Errorf("%+v: the device gives %v, the host %v", o, answers[0], answers[1])
		}
	}
}

// TestGenerateFromDamagedWeights: no token is drawn from what is not a number.
func TestGenerateFromDamagedWeights(t *testing.T) {
	for _, dev := range []gpu.Device{ref.Open(), onlyDevice{ref.Open()}} {
		m, err := New(dev, tiny(true))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		dev.Write(m.norm.Weight, slices.Repeat([]float32{float32(math.NaN())}, m.norm.Weight.Len()))
		if _, err := m.Generate(t.Context(), prompts, Sampling{MaxTokens: 3}, nil); err == nil || !strings.Contains(err.Error(), "not a number") {
			t.Errorf("%T: %v", dev, err)
		}
	}
}

// TestTruncate compares what is kept with a sorted list, for many random distributions with ties.
func TestTruncate(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var s sampler
	for range 2000 {
		logits := make([]float32, 1+random.IntN(40))
		for i := range logits {
			logits[i] = float32(random.IntN(8))
		}
		d := gpu.Draw{TopK: random.IntN(len(logits) + 2), TopP: random.Float64()}
		s.logits = logits
		total := s.weigh(7, 1)

		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
		var want []int32
		var sum float64
		for _, id := range order {
			if len(want) > 0 && (len(want) == d.TopK || sum >= d.TopP*total) {
				break
			}
			want = append(want, id)
			sum += s.weights[id]
		}
		slices.Sort(want)
		got := s.truncate(d, total)
		var kept []int32
		for id, w := range s.weights {
			if w > 0 {
				kept = append(kept, int32(id))
			}
		}
		if !slices.Equal(kept, want) || math.Abs(got-sum) > 1e-9 {
			t.Fatalf("logits %v, top-k %d, top-p %v: kept %v of weight %v, want %v of %v", logits, d.TopK, d.TopP, kept, got, want, sum)
		}
	}
}
