package llm

import (
	"context"
	"errors"
	"math"
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
// computes for them at the same temperature, whether the device samples or the host.
func TestPitfall13SamplerAgreesWithTrainer(t *testing.T) {
	const temperature = 1.3
	for name, dev := range map[string]gpu.Device{"device": ref.Open(), "host": onlyDevice{ref.Open()}} {
		m, err := New(dev, tiny(false))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var sampled []float64
		emit := func(_ int, _ int32, logp float64) error {
			sampled = append(sampled, logp)
			return nil
		}
		var answers [][]int32
		err = m.Init(1)
		if err == nil {
			answers, err = m.Generate(t.Context(), prompts[:1], Sampling{MaxTokens: 12, Temperature: temperature, Seed: 3}, emit)
		}
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
				t.Errorf("%s: token %d: log-probability %v when sampled, %v in training", name, i, sampled[i], want)
			}
		}
	}
}

// onlyDevice is a device without what a device need not have.
type onlyDevice struct{ gpu.Device }

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
