package llm

import (
	"errors"
	"fmt"
	"slices"

	"athanor/gpu"
)

// A Model is a Llama on a device. Its methods are called from one goroutine at a time.
type Model struct {
	Config Config

	dev       gpu.Device
	precision gpu.Precision // of Forward, LogProbs and Backward
	storage   gpu.DType     // of weights, activations and caches
	rope      *gpu.Rope
	params    []*Param
	embed     *Param // [V, D]
	layers    []layer
	norm      *Param // [1, D]
	head      *Param // [V, D]; the same Param as embed when tied; [1, D] if it is a scalar head
	buffers   buffers
	decoding  decoding
	lora      *lora        // nil: all weights are trained
	allocated []gpu.Tensor // weights and gradients
}

// A layer is the weights of one transformer block.
type layer struct {
	attentionNorm *Param // [1, D]
	q, k, v       *Param // [H·E, D], [G·E, D], [G·E, D]
	o             *Param // [D, H·E]
	mlpNorm       *Param // [1, D]
	gate, up      *Param // [F, D]
	down          *Param // [D, F]
}

// New allocates a model with all weights zero: call Init, or use Load.
func New(dev gpu.Device, c Config) (*Model, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	m := &Model{Config: c, dev: dev, precision: gpu.Float32, rope: c.rope()}
	for _, s := range c.tensors() {
		w, err := m.alloc(gpu.F32, s.rows(), s.cols())
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("the weights of a model of %d parameters: %w", c.Parameters(), err)
		}
		m.params = append(m.params, &Param{Name: s.name, Shape: s.shape, Weight: w, Decay: s.role.decays(), role: s.role})
	}
	m.bind()
	return m, nil
}

// bind gives the tensors, which are in the order of Config.tensors, their places.
func (m *Model) bind() {
	rest := m.params
	next := func() *Param {
		p := rest[0]
		rest = rest[1:]
		return p
	}
	m.embed = next()
	for range m.Config.NumHiddenLayers {
		m.layers = append(m.layers, layer{
			attentionNorm: next(), q: next(), k: next(), v: next(), o: next(),
			mlpNorm: next(), gate: next(), up: next(), down: next(),
		})
	}
	m.norm, m.head = next(), m.embed
	if m.Config.Score || !m.Config.TieWordEmbeddings {
		m.head = next()
	}
}

// alloc returns a tensor that lives as long as the model.
func (m *Model) alloc(of gpu.DType, rows, cols int) (gpu.Tensor, error) {
	t, err := m.dev.Alloc(of, rows, cols)
	if err == nil {
		m.allocated = append(m.allocated, t)
	}
	return t, err
}

// free gives a tensor of alloc back before that.
func (m *Model) free(t gpu.Tensor) {
	m.allocated = slices.DeleteFunc(m.allocated, func(a gpu.Tensor) bool { return a.Mem == t.Mem })
	m.dev.Free(t)
}

// SetRope gives the model another base of its rotary frequencies and another scaling of them, nil for none.
func (m *Model) SetRope(theta float64, scaling *RopeScaling) error {
	c := m.Config
	c.RopeTheta, c.RopeScaling = theta, scaling
	if err := c.Validate(); err != nil {
		return err
	}
	m.Config, m.rope = c, c.rope()
	return nil
}

// Device is the device that holds the model.
func (m *Model) Device() gpu.Device { return m.dev }

// Params returns the weights to train, always in the same order: embeddings, layers from the first to the last, norm,
// head. A tied head is the embedding table and is not listed again. Of a model with adapters it returns those.
func (m *Model) Params() []*Param {
	if m.lora != nil {
		return m.lora.params
	}
	return m.params
}

// ZeroGrad sets all gradients to zero.
func (m *Model) ZeroGrad() {
	for _, p := range m.Params() {
		m.dev.Zero(p.Grad)
	}
}

// Close gives the memory back. The device stays open.
func (m *Model) Close() {
	m.decoding.free(m.dev)
	m.buffers.free(m.dev)
	for _, t := range m.allocated {
		m.dev.Free(t)
	}
	*m = Model{Config: m.Config}
}

// errNotReady is what a caller gets who has not reserved memory.
var errNotReady = errors.New("llm: call Training or Inference first")

// check returns an error if the model has no room for a stream or a token has no row in the embedding table.
func (m *Model) check(s *gpu.Stream) error {
	n := s.Len()
	switch {
	case m.buffers.tokens == 0:
		return errNotReady
	case n == 0:
		return errors.New("llm: an empty stream")
	case n > m.buffers.tokens:
		return fmt.Errorf("llm: a stream of %d tokens where room for %d was reserved", n, m.buffers.tokens)
	}
	for i := range n {
		if id := s.IDs[i]; id < 0 || int(id) >= m.Config.VocabSize {
			return fmt.Errorf("token id %d is outside of the model's vocabulary of %d: the data was made with another tokenizer",
				id, m.Config.VocabSize)
		}
		if id := s.Targets[i]; id != gpu.NoTarget && (id < 0 || int(id) >= m.Config.VocabSize) {
			return fmt.Errorf("target id %d is outside of the model's vocabulary of %d: the data was made with another tokenizer",
				id, m.Config.VocabSize)
		}
	}
	return nil
}
