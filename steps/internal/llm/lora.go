package llm

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"athanor/gpu"
	"athanor/steps/internal/safetensors"
)

// LoRA says which matrices of a model stay as they are and are trained through an adapter: y = W·x + (α/r)·B·A·x with A
// [r, I] and B [O, r] (arXiv 2106.09685, section 4.1). All other weights stay as they are too, but for a scalar head.
type LoRA struct {
	Rank    int      // r
	Alpha   float64  // α
	Targets []string // names of matrices, of [LoRATargets]
}

// LoRATargets are the matrices of a layer that can have an adapter.
var LoRATargets = []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}

// An adapter is the two narrow matrices beside a weight.
type adapter struct{ a, b *Param }

// lora is what a model with adapters has beside its weights.
type lora struct {
	config LoRA
	scale  gpu.Tensor // [r, r] (α/r) on the diagonal: a device multiplies by nothing but matrices
	frozen gpu.Tensor // [1, D] where gradients go that nobody asks for: those of norms
	params []*Param   // what is trained
}

// has reports whether a tensor has an adapter.
func (l LoRA) has(name string) bool {
	parts := strings.Split(name, ".")
	return len(parts) > 1 && slices.Contains(l.Targets, parts[len(parts)-2])
}

// Parameters is how many weights the adapters of a model have.
func (l LoRA) Parameters(c Config) int64 {
	n := int64(0)
	for _, t := range c.tensors() {
		if l.has(t.name) {
			n += int64(l.Rank) * int64(t.rows()+t.cols())
		}
	}
	return n
}

// TrainingMemory is [Config.TrainingMemory] of a model with adapters: gradients and moments are theirs alone.
func (l LoRA) TrainingMemory(c Config, maxTokens int) int64 {
	trained := l.Parameters(c)
	if c.Score {
		trained += int64(c.HiddenSize)
	}
	activations := c.activations(true) + 2*int64(l.Rank)
	beside := int64(l.Rank*l.Rank + c.HiddenSize)
	return 4 * (c.Parameters() + beside + 4*trained + activations*int64(maxTokens))
}

// AddLoRA gives a model adapters: from here on they are its Params, with a scalar head if it has one. A is drawn as
// PEFT draws it, uniform within ±1/√I, from the seed and the name of its weight; B is 0, so that the model is as it was.
// It is called before Training and Inference.
func (m *Model) AddLoRA(l LoRA, seed uint64) error {
	if m.lora != nil || m.buffers.tokens > 0 {
		return errors.New("llm: AddLoRA on a model in use")
	}
	if l.Rank < 1 || len(l.Targets) == 0 {
		return fmt.Errorf("llm: adapters of rank %d on %v", l.Rank, l.Targets)
	}
	state := &lora{config: l}
	var err error
	if state.frozen, err = m.alloc(gpu.F32, 1, m.Config.HiddenSize); err != nil {
		return err
	}
	for _, p := range m.params {
		if p.role == roleScore {
			state.params = append(state.params, p)
		}
		if !l.has(p.Name) {
			continue
		}
		if p.adapter, err = m.newAdapter(p, l.Rank, seed); err != nil {
			return fmt.Errorf("the adapters of rank %d: %w", l.Rank, err)
		}
		state.params = append(state.params, p.adapter.a, p.adapter.b)
	}
	m.lora = state
	if err := m.setScale(); err != nil {
		return err
	}
	return m.dev.Sync()
}

// setScale makes the matrix that scales what adapters add, in the model's storage.
func (m *Model) setScale() error {
	l := m.lora
	if !l.scale.IsZero() {
		m.free(l.scale)
	}
	var err error
	l.scale, err = m.scale(m.storage)
	return err
}

// scale is α/r times the identity [r, r]. In bfloat16 it is rounded, which changes nothing
// where α/r is a power of two.
func (m *Model) scale(of gpu.DType) (gpu.Tensor, error) {
	r := m.lora.config.Rank
	diagonal := make([]float32, r*r)
	for i := range r {
		diagonal[i*r+i] = float32(m.lora.config.Alpha / float64(r))
	}
	t, err := m.alloc(of, r, r)
	if err == nil {
		m.dev.Write(t, diagonal)
	}
	return t, err
}

// Adapted reports whether the model has adapters.
func (m *Model) Adapted() bool { return m.lora != nil }

// newAdapter allocates and draws the adapter of a weight.
func (m *Model) newAdapter(w *Param, rank int, seed uint64) (*adapter, error) {
	base := peftPrefix + strings.TrimSuffix(w.Name, ".weight")
	out := &adapter{
		a: &Param{Name: base + ".lora_A.weight", Shape: []int{rank, w.Weight.Cols}, Decay: true, role: roleMatrix},
		b: &Param{Name: base + ".lora_B.weight", Shape: []int{w.Weight.Rows, rank}, Decay: true, role: roleMatrix},
	}
	for _, p := range []*Param{out.a, out.b} {
		var err error
		if p.Weight, err = m.alloc(gpu.F32, p.Shape[0], p.Shape[1]); err != nil {
			return nil, err
		}
		if err := m.store(p); err != nil {
			return nil, err
		}
	}
	random, bound := newRandom("lora "+w.Name, seed), 1/math.Sqrt(float64(w.Weight.Cols))
	var buf []float32
	return out, m.write(out.a, func(dst []float32) error {
		for i := range dst {
			dst[i] = float32(bound * (2*random.Float64() - 1))
		}
		return nil
	}, &buf)
}

// linear sets y = add + x·wᵀ, with what the adapter of w adds.
func (m *Model) linear(y, x gpu.Tensor, w *Param, add gpu.Tensor) {
	m.dev.Linear(y, x, w.Weight, add)
	if w.adapter == nil {
		return
	}
	m.dev.Linear(y, m.narrow(x, w), w.adapter.b.Weight, y)
}

// narrow is (α/r)·x·Aᵀ [N, r].
func (m *Model) narrow(x gpu.Tensor, w *Param) gpu.Tensor {
	t, scaled := m.buffers.narrow.Slice(0, x.Rows), m.buffers.scaled.Slice(0, x.Rows)
	m.dev.Linear(t, x, w.adapter.a.Weight, gpu.Tensor{})
	m.dev.Linear(scaled, t, m.lora.scale, gpu.Tensor{})
	return scaled
}

// linearBackward sets dx = add + the gradient of linear with respect to x, and adds to the gradients of what is trained.
func (m *Model) linearBackward(dx, dy, x gpu.Tensor, w *Param, add gpu.Tensor) {
	m.inputBackward(dx, dy, w, add)
	m.weightBackward(dy, x, w)
}

// inputBackward is the first half of linearBackward: it sets dx.
func (m *Model) inputBackward(dx, dy gpu.Tensor, w *Param, add gpu.Tensor) {
	m.dev.LinearBackwardInput(dx, dy, w.Weight, add)
	if w.adapter == nil {
		return
	}
	dScaled, dNarrow := m.buffers.scaled.Slice(0, dy.Rows), m.buffers.narrow.Slice(0, dy.Rows)
	m.dev.LinearBackwardInput(dScaled, dy, w.adapter.b.Weight, gpu.Tensor{})
	m.dev.Linear(dNarrow, dScaled, m.lora.scale, gpu.Tensor{})
	m.dev.LinearBackwardInput(dx, dNarrow, w.adapter.a.Weight, dx)
}

// weightBackward is the second half: it adds to the gradients. No other product may come between the two.
func (m *Model) weightBackward(dy, x gpu.Tensor, w *Param) {
	if !w.Grad.IsZero() {
		m.dev.LinearBackwardWeight(w.Grad, dy, x)
	}
	if w.adapter == nil {
		return
	}
	a, b, dNarrow := w.adapter.a, w.adapter.b, m.buffers.narrow.Slice(0, x.Rows)
	m.dev.LinearBackwardWeight(a.Grad, dNarrow, x)
	m.dev.LinearBackwardWeight(b.Grad, dy, m.narrow(x, w))
}

// normGrad is where the gradient of a norm goes.
func (m *Model) normGrad(p *Param) gpu.Tensor {
	if p.Grad.IsZero() {
		return m.lora.frozen
	}
	return p.Grad
}

// Merge adds the adapters into their weights, W + (α/r)·B·A, and takes them off: the model is one without, with the same
// outputs but for rounding.
func (m *Model) Merge() error {
	if m.lora == nil {
		return nil
	}
	if err := m.dev.SetPrecision(gpu.Float32); err != nil {
		return err
	}
	scale := m.lora.scale
	if scale.Type != gpu.F32 {
		var err error
		if scale, err = m.scale(gpu.F32); err != nil {
			return fmt.Errorf("merging adapters: %w", err)
		}
		defer m.free(scale)
	}
	for _, p := range m.params {
		if p.adapter == nil {
			continue
		}
		scaled, err := m.dev.Alloc(gpu.F32, p.Weight.Rows, m.lora.config.Rank)
		if err != nil {
			return fmt.Errorf("merging an adapter: %w", err)
		}
		whole := p.float32()
		m.dev.Linear(scaled, p.adapter.b.float32(), scale, gpu.Tensor{})
		m.dev.LinearBackwardInput(whole, scaled, p.adapter.a.float32(), whole)
		m.round(p)
		err = m.dev.Sync()
		m.dev.Free(scaled)
		if err != nil {
			return err
		}
		p.adapter = nil
	}
	m.lora = nil
	return nil
}

// PEFT's names.
const (
	peftPrefix      = "base_model.model."
	peftConfigName  = "adapter_config.json"
	peftWeightsName = "adapter_model.safetensors"
)

// peftConfig is adapter_config.json of PEFT.
type peftConfig struct {
	Type          string   `json:"peft_type"`
	Task          string   `json:"task_type"`
	Base          *string  `json:"base_model_name_or_path"` // whoever loads it says which
	Rank          int      `json:"r"`
	Alpha         float64  `json:"lora_alpha"`
	Dropout       float64  `json:"lora_dropout"`
	Targets       []string `json:"target_modules"`
	ModulesToSave []string `json:"modules_to_save"`
	Bias          string   `json:"bias"`
	FanInFanOut   bool     `json:"fan_in_fan_out"`
	InferenceMode bool     `json:"inference_mode"`
	InitWeights   bool     `json:"init_lora_weights"`
	RSLoRA        bool     `json:"use_rslora"`
}

// SaveAdapters writes the adapters as PEFT does, adapter_config.json and adapter_model.safetensors: PeftModel.from_pretrained
// loads the folder over the model that was trained from. The folder must exist; the files are flushed to the disk.
func (m *Model) SaveAdapters(dir string) error {
	if m.lora == nil {
		return errors.New("llm: SaveAdapters on a model without")
	}
	l := m.lora.config
	config := peftConfig{
		Type: "LORA", Task: "CAUSAL_LM", Rank: l.Rank, Alpha: l.Alpha, Targets: l.Targets, Bias: "none", InferenceMode: true, InitWeights: true,
	}
	if m.Config.Score {
		config.Task, config.ModulesToSave = "SEQ_CLS", []string{"score"}
	}
	if err := writeJSON(filepath.Join(dir, peftConfigName), config); err != nil {
		return err
	}
	var list []safetensors.Tensor
	for _, p := range m.lora.params {
		name := p.Name
		if p.role == roleScore {
			name = peftPrefix + name
		}
		list = append(list, safetensors.Tensor{Name: name, Shape: p.Shape, Read: m.readParam(p)})
	}
	if err := safetensors.Write(filepath.Join(dir, peftWeightsName), list); err != nil {
		return err
	}
	if err := m.dev.Sync(); err != nil {
		return err
	}
	return syncFolder(dir)
}
