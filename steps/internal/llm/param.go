package llm

import (
	"fmt"
	"slices"

	"athanor/gpu"
)

// A Param is one tensor of weights.
type Param struct {
	Name   string     // Hugging Face's: "model.layers.0.self_attn.q_proj.weight"
	Shape  []int      // [O, I] of a matrix, [D] of a norm
	Weight gpu.Tensor // what the operators read; a norm is [1, D]
	Master gpu.Tensor // the float32 weight that is trained and saved; zero where Weight is float32 itself
	Grad   gpu.Tensor // float32; zero before Training
	Decay  bool       // weight decay applies: matrices of linear layers, not norms, not embeddings, not a tied head

	role    role
	adapter *adapter // nil: none
}

// float32 is the weight as it is trained and saved.
func (p *Param) float32() gpu.Tensor {
	if p.Master.IsZero() {
		return p.Weight
	}
	return p.Master
}

// Read copies elements of the weight to the host, from the given one on, as they are trained and saved.
func (p *Param) Read(dev gpu.Device, dst []float32, from int) {
	dev.Read(dst, elements(p.float32(), from, len(dst)))
}

// Write sets elements of the weight, from the given one on.
func (p *Param) Write(dev gpu.Device, from int, src []float32) {
	dev.Write(elements(p.Weight, from, len(src)), src)
	if !p.Master.IsZero() {
		dev.Write(elements(p.Master, from, len(src)), src)
	}
}

// elements is part of a tensor as a column.
func elements(t gpu.Tensor, from, n int) gpu.Tensor { return t.Reshape(t.Len(), 1).Slice(from, from+n) }

// SetPrecision says how Forward, LogProbs and Backward compute their products from now on; a model begins with
// gpu.Float32. Where the device keeps tensors in bfloat16 then, the float32 weights become masters, the operators read
// rounded copies, and activations and key/value caches are bfloat16: Logits and Generate follow them. Elsewhere they are
// float32 always. Working memory must be reserved anew.
func (m *Model) SetPrecision(p gpu.Precision) error {
	if err := m.dev.SetPrecision(p); err != nil {
		return err
	}
	if storage := m.dev.Storage(p); storage != m.storage {
		m.decoding.free(m.dev)
		m.buffers.free(m.dev)
		m.decoding = decoding{}
		m.storage = storage
		all := m.params
		if m.lora != nil {
			all = append(slices.Clone(all), m.lora.params...)
		}
		for _, p := range all {
			if p.Weight.Type == storage { // a scalar head is in both lists
				continue
			}
			if err := m.store(p); err != nil {
				return fmt.Errorf("the weights in %v of a model of %d parameters: %w", storage, m.Config.Parameters(), err)
			}
		}
		if m.lora != nil {
			if err := m.setScale(); err != nil {
				return err
			}
		}
	}
	m.precision = p
	return m.dev.Sync()
}

// Precision is what SetPrecision has set.
func (m *Model) Precision() gpu.Precision { return m.precision }

// store makes the weight what the model's storage asks for.
func (m *Model) store(p *Param) error {
	if m.storage == gpu.F32 {
		if !p.Master.IsZero() {
			m.free(p.Weight)
			p.Weight, p.Master = p.Master, gpu.Tensor{}
		}
		return nil
	}
	w, err := m.alloc(m.storage, p.Weight.Rows, p.Weight.Cols)
	if err != nil {
		return err
	}
	p.Master, p.Weight = p.Weight, w
	m.round(p)
	return nil
}

// round makes what the operators read from the master.
func (m *Model) round(p *Param) {
	if p.Master.IsZero() {
		return
	}
	n := p.Weight.Len()
	buf := make([]float32, min(chunk, n))
	for from := 0; from < n; from += len(buf) {
		buf = buf[:min(len(buf), n-from)]
		m.dev.Read(buf, elements(p.Master, from, len(buf)))
		m.dev.Write(elements(p.Weight, from, len(buf)), buf)
	}
}
