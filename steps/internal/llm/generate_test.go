package llm

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// inference returns a model that has reserved nothing yet.
func inference(t *testing.T, c Config) *Model {
	t.Helper()
	m, err := New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.Init(1); err != nil {
		t.Fatal(err)
	}
	return m
}

var prompts = [][]int32{{1, 4, 2}, {7}, {3, 3, 3, 10, 9}, {5, 6}, {8, 1, 0, 0}}

// TestDecodingEqualsForward: greedy answers from the key/value cache are those of a full forward for every token, with
// more prompts than slots, so that slots are used again.
func TestDecodingEqualsForward(t *testing.T) {
	for _, tied := range []bool{true, false} {
		m := inference(t, tiny(tied))
		var emitted [5][]float64
		got, err := m.Generate(t.Context(), prompts, Sampling{MaxTokens: 6, Slots: 2, Stop: []int32{0}},
			func(seq int, _ int32, logp float64) error {
				emitted[seq] = append(emitted[seq], logp)
				return nil
			})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Inference(16); err != nil {
			t.Fatal(err)
		}
		for i, prompt := range prompts {
			text := slices.Clone(prompt)
			for j, id := range got[i] {
				s := &gpu.Stream{}
				targets := slices.Repeat([]int32{gpu.NoTarget}, len(text))
				targets[len(text)-1] = id
				s.Append(text, targets, 0)
				logp, _ := forward(t, m, s, 1)
				logits := make([]float32, m.Config.VocabSize)
				if err := m.Logits(logits, len(text)-1); err != nil {
					t.Fatal(err)
				}
				if best := slices.Index(logits, slices.Max(logits)); int32(best) != id {
					t.Errorf("prompt %d, token %d: %d from the cache, %d from a full forward", i, j, id, best)
				}
				if d := math.Abs(emitted[i][j] - logp[len(text)-1]); d > 1e-6 {
					t.Errorf("prompt %d, token %d: log-probability %v from the cache, %v from a full forward",
						i, j, emitted[i][j], logp[len(text)-1])
				}
				text = append(text, id)
			}
			if n := len(got[i]); n != 6 && got[i][n-1] != 0 {
				t.Errorf("prompt %d: the answer %v ends for no reason", i, got[i])
			}
		}
	}
}

// TestPitfall13SamplerAgreesWithTrainer: the log-probabilities that come with sampled tokens are those that training
// computes for them at the same temperature.
func TestPitfall13SamplerAgreesWithTrainer(t *testing.T) {
	const temperature = 1.3
	m := inference(t, tiny(false))
	var sampled []float64
	answers, err := m.Generate(t.Context(), prompts[:1], Sampling{MaxTokens: 12, Temperature: temperature, Seed: 3},
		func(_ int, _ int32, logp float64) error {
			sampled = append(sampled, logp)
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	text := slices.Concat(prompts[0], answers[0])
	s := &gpu.Stream{}
	s.Append(text, append(slices.Clone(text[1:]), gpu.NoTarget), 0)
	if err := m.Inference(s.Len()); err != nil {
		t.Fatal(err)
	}
	logp, _ := forward(t, m, s, temperature)
	for i, want := range logp[len(prompts[0])-1 : len(text)-1] {
		if math.Abs(sampled[i]-want) > 1e-6 {
			t.Errorf("token %d: log-probability %v when sampled, %v in training", i, sampled[i], want)
		}
	}
}

// TestAnswersDoNotDependOnCompany: an answer is the same for any number of slots and whatever comes after it, and
// another seed gives another.
func TestAnswersDoNotDependOnCompany(t *testing.T) {
	m := inference(t, tiny(true))
	generate := func(o Sampling, prompts ...[]int32) [][]int32 {
		o.MaxTokens, o.Temperature, o.Stop = 8, 1, []int32{2}
		answers, err := m.Generate(t.Context(), prompts, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		return answers
	}
	want := generate(Sampling{Seed: 5}, prompts...)
	for _, slots := range []int{1, 2, 3} {
		if got := generate(Sampling{Seed: 5, Slots: slots}, prompts...); !reflect.DeepEqual(got, want) {
			t.Errorf("%d slots: %v, want %v", slots, got, want)
		}
	}
	if got := generate(Sampling{Seed: 5}, prompts[0], prompts[1]); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("the first two alone: %v, want %v", got, want[:2])
	}
	if got := generate(Sampling{Seed: 6}, prompts...); reflect.DeepEqual(got, want) {
		t.Error("another seed gives the same answers")
	}
	same := generate(Sampling{Seed: 5}, prompts[0], prompts[0], prompts[0])
	if reflect.DeepEqual(same[0], same[1]) && reflect.DeepEqual(same[1], same[2]) {
		t.Errorf("the answers to one prompt given three times are all %v", same[0])
	}
}

func TestGenerateErrors(t *testing.T) {
	m := inference(t, tiny(true))
	stop := errors.New("enough")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cases := map[string]struct {
		ctx     context.Context
		prompts [][]int32
		o       Sampling
		emit    func(int, int32, float64) error
	}{
		"empty prompt":  {t.Context(), [][]int32{{1}, {}}, Sampling{MaxTokens: 1}, nil},
		"outside":       {t.Context(), [][]int32{{11}}, Sampling{MaxTokens: 1}, nil},
		"no tokens":     {t.Context(), prompts, Sampling{}, nil},
		"temperature":   {t.Context(), prompts, Sampling{MaxTokens: 1, Temperature: -1}, nil},
		"top-p":         {t.Context(), prompts, Sampling{MaxTokens: 1, TopP: 1.5}, nil},
		"emit":          {t.Context(), prompts, Sampling{MaxTokens: 1}, func(int, int32, float64) error { return stop }},
		"a context end": {cancelled, prompts, Sampling{MaxTokens: 1}, nil},
	}
	for name, test := range cases {
		if _, err := m.Generate(test.ctx, test.prompts, test.o, test.emit); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if answers, err := m.Generate(t.Context(), nil, Sampling{MaxTokens: 1}, nil); err != nil || len(answers) != 0 {
		t.Errorf("no prompts: %v, %v", answers, err)
	}
}

// TestSampler draws many times and compares frequencies and log-probabilities with the distribution asked for.
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
		o    Sampling
		want map[int32]float64
	}{
		"greedy":          {Sampling{}, map[int32]float64{1: 1}},
		"all":             {Sampling{Temperature: 1}, p(1, 0, 1, 2, 4)},
		"hot":             {Sampling{Temperature: 3, TopP: 1}, p(3, 0, 1, 2, 4)},
		"top-k":           {Sampling{Temperature: 1, TopK: 2}, p(1, 1, 4)},
		"top-k of all":    {Sampling{Temperature: 1, TopK: 5}, p(1, 0, 1, 2, 4)},
		"top-p":           {Sampling{Temperature: 1, TopP: 0.75}, p(1, 1, 4)}, // 0.474, 0.762 with the second
		"top-p of one":    {Sampling{Temperature: 1, TopP: 0.01}, p(1, 1)},
		"top-k and top-p": {Sampling{Temperature: 2, TopK: 3, TopP: 0.999}, p(2, 1, 2, 4)},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			const draws = 20000
			var s sampler
			random := rand.New(rand.NewPCG(1, 2))
			count := map[int32]float64{}
			for range draws {
				id, logp, err := s.draw(logits, test.o, random)
				if err != nil {
					t.Fatal(err)
				}
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
				if d := math.Abs(count[id]/draws - want); d > 0.02 {
					t.Errorf("token %d was drawn %v of the time, want %v", id, count[id]/draws, want)
				}
			}
		})
	}
	var s sampler
	if _, _, err := s.draw([]float32{0, float32(math.NaN())}, Sampling{}, nil); err == nil {
		t.Error("a logit that is not a number: no error")
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
		o := Sampling{Temperature: 1, TopK: random.IntN(len(logits) + 2), TopP: random.Float64()}
		total := s.weigh(logits, 7, 1)

		order := make([]int32, len(logits))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(logits[b], logits[a]) })
		var want []int32
		var sum float64
		for _, id := range order {
			if len(want) > 0 && (len(want) == o.TopK || sum >= o.TopP*total) {
				break
			}
			want = append(want, id)
			sum += s.weights[id]
		}
		got := s.truncate(o, total)
		slices.Sort(s.kept)
		slices.Sort(want)
		if !slices.Equal(s.kept, want) || math.Abs(got-sum) > 1e-9 {
			t.Fatalf("logits %v, top-k %d, top-p %v: kept %v of weight %v, want %v of %v", logits, o.TopK, o.TopP, s.kept, got, want, sum)
		}
	}
}
