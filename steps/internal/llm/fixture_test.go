package llm

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/safetensors"
)

// TestTransformers loads folders that transformers wrote and compares logits, loss and every gradient with what it
// computes, to 1e-4 of the largest. testdata/make_fixtures.py wrote them.
func TestTransformers(t *testing.T) {
	for _, name := range []string{"untied", "tied", "gqa", "bfloat16", "linear", "llama3", "yarn"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("testdata", name)
			m, err := Load(ref.Open(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			compareWithTransformers(t, m, dir)
		})
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
		if e := relative(ref.Float64(p.Grad), readTensor(t, file, "grad."+p.Name)); e > 1e-4 {
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
