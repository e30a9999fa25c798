package llm

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/safetensors"
)

// withAdapters loads the model in gqa with adapters that PEFT saved.
func withAdapters(t *testing.T, dev gpu.Device, dir string) *Model {
	t.Helper()
	var config peftConfig
	readJSON(t, filepath.Join(dir, peftConfigName), &config)
	m, err := Load(dev, filepath.Join("testdata", "gqa"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	if err := m.AddLoRA(LoRA{Rank: config.Rank, Alpha: config.Alpha, Targets: config.Targets}, 1); err != nil {
		t.Fatal(err)
	}
	file, err := safetensors.Open(filepath.Join(dir, peftWeightsName))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if got := len(file.Names()); got != len(m.Params()) {
		t.Errorf("PEFT has %d tensors, the model %d", got, len(m.Params()))
	}
	for _, p := range m.Params() {
		values := make([]float32, p.Weight.Len())
		if err := file.Read(values, p.Name, 0); err != nil {
			t.Fatal(err)
		}
		dev.Write(p.Weight, values)
	}
	return m
}

// TestPEFT: adapters of PEFT give its logits, loss and gradients, and merged they give its logits, on every device.
func TestPEFT(t *testing.T) {
	fast, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer fast.Close()
	for name, dev := range map[string]gpu.Device{"ref": ref.Open(), "cpu": fast} {
		for _, which := range []string{"all", "two"} {
			t.Run(name+"/"+which, func(t *testing.T) {
				dir := filepath.Join("testdata", "lora", which)
				m := withAdapters(t, dev, dir)
				compareWithTransformers(t, m, dir)
				if err := m.Merge(); err != nil {
					t.Fatal(err)
				}
				file, err := safetensors.Open(filepath.Join(dir, "expected.safetensors"))
				if err != nil {
					t.Fatal(err)
				}
				defer file.Close()
				_, s := readExpected(t, filepath.Join(dir, "expected.json"))
				compareLogits(t, m, s, readTensor(t, file, "logits"))
				if len(m.Params()) != 21 {
					t.Errorf("the merged model has %d tensors", len(m.Params()))
				}
			})
		}
	}
}

// TestAddLoRA: new adapters change nothing, their A is within PEFT's bounds and follows from the seed, and what they need
// is what the estimate says; without memory the model gives all back.
func TestAddLoRA(t *testing.T) {
	l := LoRA{Rank: 2, Alpha: 4, Targets: []string{"q_proj", "down_proj"}}
	c := tiny(true)
	draw := func(dev gpu.Device, seed uint64) *Model {
		m, err := New(dev, c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Init(3), m.AddLoRA(l, seed), m.Training(16)); err != nil {
			t.Fatal(err)
		}
		return m
	}
	dev := &counting{Device: ref.Open()}
	m := draw(dev, 5)
	trained := l.Parameters(c)
	if want := l.TrainingMemory(c, 16); dev.held+8*trained != want {
		t.Errorf("training holds %d bytes with the moments, the estimate is %d", dev.held+8*trained, want)
	}
	if full := c.TrainingMemory(16); l.TrainingMemory(c, 16) >= full {
		t.Errorf("adapters need %d bytes, the whole model %d", l.TrainingMemory(c, 16), full)
	}
	var sum int64
	for _, p := range m.Params() {
		sum += int64(p.Weight.Len())
		for _, v := range ref.Float64(p.Weight) {
			bound := 1 / math.Sqrt(float64(p.Weight.Cols))
			if p.Shape[0] != l.Rank {
				bound = 0 // B
			}
			if math.Abs(v) > bound {
				t.Fatalf("%s holds %v, at most %v is wanted", p.Name, v, bound)
			}
		}
	}
	if sum != trained {
		t.Errorf("%d weights are trained, the count says %d", sum, trained)
	}
	s := randomStream(c.VocabSize, 1, 7, 5)
	with, _ := forward(t, m, s, 1)
	plain, err := New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(plain.Init(3), plain.Training(16)); err != nil {
		t.Fatal(err)
	}
	if without, _ := forward(t, plain, s, 1); !slices.Equal(with, without) {
		t.Error("fresh adapters change the model")
	}
	same, other := draw(ref.Open(), 5), draw(ref.Open(), 6)
	a := ref.Float64(m.Params()[0].Weight)
	if !slices.Equal(a, ref.Float64(same.Params()[0].Weight)) || slices.Equal(a, ref.Float64(other.Params()[0].Weight)) {
		t.Error("A does not follow from the seed")
	}
	m.Close()
	if dev.held != 0 {
		t.Errorf("%d bytes are held after Close", dev.held)
	}
}

// TestLoRALeavesTheRest: a backward gives gradients to the adapters and a scalar head, and to nothing else.
func TestLoRALeavesTheRest(t *testing.T) {
	c := tiny(false)
	c.Score = true
	m, err := New(ref.Open(), c)
	if err != nil {
		t.Fatal(err)
	}
	l := LoRA{Rank: 2, Alpha: 4, Targets: LoRATargets}
	if err := errors.Join(m.Init(3), m.AddLoRA(l, 1), m.Training(16)); err != nil {
		t.Fatal(err)
	}
	s := randomStream(c.VocabSize, 1, 7)
	d := make([]float64, s.Len())
	for i := range d {
		d[i] = 1
	}
	if err := errors.Join(m.Forward(s), m.LogProbs(make([]float64, s.Len()), nil, s, 1), m.Backward(s, 1, d, nil)); err != nil {
		t.Fatal(err)
	}
	for _, p := range m.params {
		if p.role != roleScore && !p.Grad.IsZero() {
			t.Errorf("%s has a gradient", p.Name)
		}
	}
	if n := len(m.Params()); n != 2*7*c.NumHiddenLayers+1 || m.Params()[n-1].Name != scoreName {
		t.Errorf("%d tensors are trained", n)
	}
	if err := m.AddLoRA(l, 1); err == nil {
		t.Error("adapters on adapters: no error")
	}
}

var adapters = flag.String("adapters", "", "folder for TestAdaptersForPEFT to write to")

// TestAdaptersForPEFT writes a model, adapters and what they give, for testdata/make_lora.py to load; and what was written
// has PEFT's names.
func TestAdaptersForPEFT(t *testing.T) {
	root := *adapters
	if root == "" {
		root = t.TempDir()
	}
	for name, score := range map[string]bool{"language": false, "score": true} {
		c := tiny(false)
		c.Score = score
		dir := filepath.Join(root, name)
		base, adapter := filepath.Join(dir, "base"), filepath.Join(dir, "adapter")
		if err := errors.Join(os.MkdirAll(base, 0o777), os.MkdirAll(adapter, 0o777)); err != nil {
			t.Fatal(err)
		}
		m, err := New(ref.Open(), c)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.Init(3), m.Save(base), m.AddLoRA(LoRA{Rank: 3, Alpha: 4, Targets: LoRATargets}, 1), m.Training(16)); err != nil {
			t.Fatal(err)
		}
		for i, p := range m.Params() {
			values := make([]float32, p.Weight.Len())
			for j := range values {
				values[j] = float32(math.Sin(float64(7*i + j)))
			}
			m.dev.Write(p.Weight, values)
		}
		if err := m.SaveAdapters(adapter); err != nil {
			t.Fatal(err)
		}
		record := struct {
			IDs    []int32   `json:"ids"`
			Logits []float32 `json:"logits"`
		}{IDs: []int32{1, 5, 9, 3, 2}}
		s := &gpu.Stream{}
		s.Reset()
		s.Append(record.IDs, record.IDs, 0)
		if err := m.Forward(s); err != nil {
			t.Fatal(err)
		}
		if score {
			scores := make([]float64, s.Len())
			if err := m.LogProbs(scores, nil, s, 1); err != nil {
				t.Fatal(err)
			}
			record.Logits = []float32{float32(scores[s.Len()-1])}
		} else {
			record.Logits = make([]float32, s.Len()*c.VocabSize)
			if err := m.Logits(record.Logits, 0, 1, 2, 3, 4); err != nil {
				t.Fatal(err)
			}
		}
		data, err := json.Marshal(record)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "logits.json"), data, 0o666); err != nil {
			t.Fatal(err)
		}
		file, err := safetensors.Open(filepath.Join(adapter, peftWeightsName))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"base_model.model.model.layers.0.mlp.down_proj.lora_A.weight", "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"} {
			if _, ok := file.Info(want); !ok {
				t.Errorf("no %s in %v", want, file.Names())
			}
		}
		if _, ok := file.Info("base_model.model.score.weight"); ok != score {
			t.Errorf("%s: a scalar head is saved: %v", name, ok)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}
