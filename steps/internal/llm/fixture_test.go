package llm

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/safetensors"
)

// TestTransformers loads folders that transformers wrote and compares logits, loss and every gradient with what it
// computes, to 1e-4 of the largest. testdata/make_fixtures.py wrote them.
func TestTransformers(t *testing.T) {
	processor, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer processor.Close()
	for _, dev := range []gpu.Device{ref.Open(), processor} {
		for _, name := range []string{"untied", "tied", "gqa", "bfloat16", "linear", "llama3", "yarn"} {
			t.Run(dev.Info().Kind+" "+name, func(t *testing.T) {
				dir := filepath.Join("testdata", name)
				m, err := Load(dev, dir)
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				compareWithTransformers(t, m, dir)
			})
		}
	}
}

// TestThreads: a step of training and an answer have the same bits for any number of threads, with dimensions that fill
// no block of the CPU's kernels evenly.
func TestThreads(t *testing.T) {
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	for _, p := range dev.Precisions() {
		t.Run(string(p), func(t *testing.T) { sameForThreads(t, p) })
	}
}

func sameForThreads(t *testing.T, p gpu.Precision) {
	c := Config{
		VocabSize: 301, HiddenSize: 90, IntermediateSize: 130, NumHiddenLayers: 2, NumAttentionHeads: 6, NumKeyValueHeads: 3,
		HeadDim: 18, RMSNormEps: 1e-5, RopeTheta: 1e4, MaxPositionEmbeddings: 512, InitializerRange: 0.1, TieWordEmbeddings: true,
	}
	s := randomStream(c.VocabSize, 1, 5, 260, 1, 77)
	var want [][]float32
	var wantAnswers [][]int32
	for _, threads := range []int{1, 2, 7} {
		dev, err := cpu.Open(threads)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Init(1), m.Training(s.Len()), m.SetPrecision(p)); err != nil {
			t.Fatal(err)
		}
		crossEntropyBackward(t, m, s, supervised(s))
		var got [][]float32
		for _, p := range m.Params() {
			g := make([]float32, p.Grad.Len())
			dev.Read(g, p.Grad)
			got = append(got, g)
		}
		answers, err := m.Generate(t.Context(), prompts, Sampling{MaxTokens: 20, Temperature: 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want, wantAnswers = got, answers
		}
		for i, p := range m.Params() {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("%d threads: the gradient of %s has other bits", threads, p.Name)
			}
		}
		if !reflect.DeepEqual(answers, wantAnswers) {
			t.Errorf("%d threads: answers %v, want %v", threads, answers, wantAnswers)
		}
		m.Close()
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
	}
}

// expected is what transformers computed for some documents.
type expected struct {
	IDs, Targets [][]int32
	Loss         float64
}

func readExpected(t *testing.T, path string) (expected, *gpu.Stream) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want expected
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	s := &gpu.Stream{}
	s.Reset()
	for i, ids := range want.IDs {
		s.Append(ids, want.Targets[i], 0)
	}
	return want, s
}

func compareWithTransformers(t *testing.T, m *Model, dir string) {
	want, s := readExpected(t, filepath.Join(dir, "expected.json"))
	file, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	if err := m.Training(s.Len()); err != nil {
		t.Fatal(err)
	}
	loss := crossEntropyBackward(t, m, s, supervised(s))
	if e := relative([]float64{loss}, []float64{want.Loss}); e > 1e-5 {
		t.Errorf("loss %v, transformers has %v", loss, want.Loss)
	}
	for _, p := range m.Params() {
		grad := make([]float32, p.Grad.Len())
		m.Device().Read(grad, p.Grad)
		if e := relative(widen(grad), readTensor(t, file, "grad."+p.Name)); e > 1e-4 {
			t.Errorf("%s: the gradient is %.1e of the largest off", p.Name, e)
		}
	}
	if got := len(file.Names()) - 1; got != len(m.Params()) {
		t.Errorf("%d gradients, transformers has %d", len(m.Params()), got)
	}
	compareLogits(t, m, s, readTensor(t, file, "logits"))
}

func compareLogits(t *testing.T, m *Model, s *gpu.Stream, want []float64) {
	t.Helper()
	if err := m.Forward(s); err != nil {
		t.Fatal(err)
	}
	logits, rows := make([]float32, s.Len()*m.Config.VocabSize), make([]int, s.Len())
	for i := range rows {
		rows[i] = i
	}
	if err := m.Logits(logits, rows...); err != nil {
		t.Fatal(err)
	}
	if e := relative(widen(logits), want); e > 1e-4 {
		t.Errorf("logits are %.1e of the largest off", e)
	} else {
		t.Logf("logits are %.1e of the largest off", e)
	}
}

func readTensor(t *testing.T, f *safetensors.File, name string) []float64 {
	t.Helper()
	info, ok := f.Info(name)
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	values := make([]float32, info.Len())
	if err := f.Read(values, name, 0); err != nil {
		t.Fatal(err)
	}
	return widen(values)
}

func widen(v []float32) []float64 {
	w := make([]float64, len(v))
	for i := range v {
		w[i] = float64(v[i])
	}
	return w
}
