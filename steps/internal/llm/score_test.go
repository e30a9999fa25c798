package llm

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/ref"
)

// lastScores reads the score of the last token of each conversation.
func lastScores(t *testing.T, m *Model, conversations [][]int32) []float64 {
	t.Helper()
	s := &gpu.Stream{}
	s.Reset()
	for _, ids := range conversations {
		targets := make([]int32, len(ids))
		for i := range targets[:len(ids)-1] {
			targets[i] = gpu.NoTarget
		}
		s.Append(ids, targets, 0)
	}
	if err := m.Inference(s.Len()); err != nil {
		t.Fatal(err)
	}
	all, _ := forward(t, m, s, 1)
	var last []float64
	for _, end := range s.Starts[1:] {
		last = append(last, all[end-1])
	}
	return last
}

// TestScoreTransformers: a reward model of transformers gives the same scores here, before and after it is saved.
func TestScoreTransformers(t *testing.T) {
	dir := filepath.Join("testdata", "score")
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		IDs    [][]int32
		Scores []float64
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	processor, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close()
	for _, dev := range []gpu.Device{ref.Open(), processor} {
		m, err := LoadScore(dev, dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.Config.ScoreShift = 0.25
		saved := t.TempDir()
		if err := m.Save(saved); err != nil {
			t.Fatal(err)
		}
		again, err := LoadScore(dev, saved, 0)
		if err != nil {
			t.Fatal(err)
		}
		if again.Config.ScoreShift != 0.25 || !again.Config.Score {
			t.Errorf("saved and read: %+v", again.Config)
		}
		for _, m := range []*Model{m, again} {
			if e := relative(lastScores(t, m, want.IDs), want.Scores); e > 1e-5 {
				t.Errorf("%s: scores %v, transformers has %v", dev.Info().Kind, lastScores(t, m, want.IDs), want.Scores)
			}
			m.Close()
		}
	}
}

// TestScoreGradient compares every gradient with central differences, for a loss that weighs each score at random.
func TestScoreGradient(t *testing.T) {
	const step = 1e-4
	c := tiny(false)
	c.Score = true
	s := randomStream(c.VocabSize, 3, 4, 1, 5)
	m := newModel(t, c, s.Len()+3)
	weights := make([]float64, s.Len())
	for i, target := range s.Targets {
		if target != gpu.NoTarget {
			weights[i] = math.Sin(float64(i + 1))
		}
	}
	loss := func() (sum float64) { // in float64: LogProbs passes on float32
		forward(t, m, s, 1)
		for i, score := range ref.Float64(m.buffers.score.Slice(0, s.Len())) {
			sum += weights[i] * score
		}
		return sum
	}
	loss()
	m.ZeroGrad()
	if err := m.Backward(s, 1, weights, nil); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params() {
		w := ref.Float64(p.Weight)
		want := make([]float64, len(w))
		for i, v := range w {
			w[i] = v + step
			ref.WriteFloat64(p.Weight, w)
			above := loss()
			w[i] = v - step
			ref.WriteFloat64(p.Weight, w)
			want[i] = (above - loss()) / (2 * step)
			w[i] = v
		}
		ref.WriteFloat64(p.Weight, w)
		if e := relative(ref.Float64(p.Grad), want); e > 1e-5 {
			t.Errorf("%s: gradient and central differences differ by %.1e of the largest", p.Name, e)
		}
	}
}

// TestScoreFromLanguageModel: a language model gives its trunk; the head is initial, and depends on the seed alone.
func TestScoreFromLanguageModel(t *testing.T) {
	for _, tied := range []bool{false, true} {
		c := tiny(tied)
		dir := t.TempDir()
		if err := WriteInitial(t.Context(), dir, c, 1); err != nil {
			t.Fatal(err)
		}
		head := func(seed uint64) []float64 {
			m, err := LoadScore(ref.Open(), dir, seed)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			last := m.Params()[len(m.Params())-1]
			if last.Name != "score.weight" || int64(weightsOf(m)) != m.Config.Parameters() {
				t.Errorf("the last of %d weights is %s; the configuration counts %d", weightsOf(m), last.Name, m.Config.Parameters())
			}
			return ref.Float64(last.Weight)
		}
		one, two := head(1), head(2)
		if relative(head(1), one) != 0 || relative(two, one) == 0 {
			t.Errorf("heads %v and %v of two seeds", one, two)
		}
	}
}

func weightsOf(m *Model) (n int) {
	for _, p := range m.Params() {
		n += p.Weight.Len()
	}
	return n
}

// TestScoreIsNoLanguageModel: a reward model neither loads as a language model nor writes.
func TestScoreIsNoLanguageModel(t *testing.T) {
	dir := filepath.Join("testdata", "score")
	if _, err := Load(ref.Open(), dir); !errors.Is(err, ErrScore) {
		t.Errorf("loaded as a language model: %v", err)
	}
	m, err := LoadScore(ref.Open(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Generate(t.Context(), [][]int32{{1}}, Sampling{MaxTokens: 1}, nil); !errors.Is(err, ErrScore) {
		t.Errorf("it generates: %v", err)
	}
	two := t.TempDir()
	if err := os.CopyFS(two, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(two, "config.json")
	data, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), `"0": "LABEL_0"`, `"0": "LABEL_0", "1": "LABEL_1"`, 1)
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadScore(ref.Open(), two, 0); err == nil || !strings.Contains(err.Error(), "2 labels") {
		t.Errorf("a classifier of two labels: %v", err)
	}
}
