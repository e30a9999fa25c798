package llm

import (
	"fmt"

	"athanor/gpu"
)

// buffers is the working memory for streams of up to N tokens, allocated once.
//
// For a backward, each layer keeps what it cannot get back cheaply: its two inputs to the residual stream, the queries,
// keys and values, attention's output and the two halves of the feed-forward. Normalised inputs and SwiGLU's output
// are computed again, and so is the first layer's input. Without a backward, all layers share one set and the residual
// stream is updated in place. What is never needed at the same time shares memory.
type buffers struct {
	tokens   int
	training bool

	layers []saved
	last   gpu.Tensor // [N, D] the residual stream before the first and after the last layer, and in a backward its gradient
	rstd   gpu.Tensor // [N, 1] of the final norm

	hidden  gpu.Tensor // [N, F] scratch: SwiGLU's output, or its gradient; in the memory of the next two
	normed  gpu.Tensor // [N, D] scratch: the input of a layer's matrices; after a forward, of the head
	dNormed gpu.Tensor // [N, D] scratch: gradient of normed
	spare   gpu.Tensor // [N, 2·(H+G)·E] scratch of a layer's backward where its gate and up are too narrow for that

	score, dScore gpu.Tensor // [N, 1] of a scalar head

	narrow, scaled gpu.Tensor // [N, r] scratch of adapters

	allocated []gpu.Tensor
}

// saved is what the backward of one layer needs of its forward.
type saved struct {
	x, mid       gpu.Tensor // [N, D] residual stream before attention, and before the feed-forward
	rstd1, rstd2 gpu.Tensor // [N, 1]
	q, out       gpu.Tensor // [N, H·E]
	k, v         gpu.Tensor // [N, G·E]
	lse          gpu.Tensor // [N, H]
	gate, up     gpu.Tensor // [N, F]
}

// Training reserves gradients, zeroed, and memory for streams of up to maxTokens tokens.
func (m *Model) Training(maxTokens int) error {
	for _, p := range m.Params() {
		if !p.Grad.IsZero() {
			continue
		}
		g, err := m.alloc(gpu.F32, p.Weight.Rows, p.Weight.Cols)
		if err != nil {
			return fmt.Errorf("the gradients of %d parameters: %w", m.Config.Parameters(), err)
		}
		p.Grad = g
	}
	return m.reserve(maxTokens, true)
}

// Inference reserves memory for forwards over streams of up to maxTokens tokens. A model that is ready for training is
// ready for inference as well.
func (m *Model) Inference(maxTokens int) error { return m.reserve(maxTokens, false) }

func (m *Model) reserve(n int, training bool) error {
	if n <= 0 {
		return fmt.Errorf("llm: memory for streams of %d tokens", n)
	}
	training = training || m.buffers.training
	if n <= m.buffers.tokens && training == m.buffers.training {
		return nil
	}
	m.buffers.free(m.dev)
	var allocated []gpu.Tensor
	var failed error
	alloc := func(of gpu.DType, cols int) gpu.Tensor {
		if failed != nil {
			return gpu.Tensor{}
		}
		t, err := m.dev.Alloc(of, n, cols)
		if err != nil {
			failed = err
			return gpu.Tensor{}
		}
		allocated = append(allocated, t)
		return t
	}
	b := m.Config.buffers(training, m.storage, alloc)
	if m.lora != nil {
		b.narrow, b.scaled = alloc(m.storage, m.lora.config.Rank), alloc(m.storage, m.lora.config.Rank)
	}
	b.tokens, b.allocated = n, allocated
	if failed != nil {
		b.free(m.dev)
		return fmt.Errorf("the activations of a stream of %d tokens: %w", n, failed)
	}
	m.buffers = b
	return nil
}

// buffers lays out the working memory of a model whose activations are of the type storage; allocate returns N rows of the
// given type and number of columns.
func (c Config) buffers(training bool, storage gpu.DType, allocate func(of gpu.DType, cols int) gpu.Tensor) buffers {
	alloc := func(cols int) gpu.Tensor { return allocate(storage, cols) }
	kept := func(cols int) gpu.Tensor { return allocate(gpu.F32, cols) } // statistics, and what the host reads
	d, f, h := c.HiddenSize, c.IntermediateSize, c.NumAttentionHeads
	q, kv := h*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	b := buffers{training: training, layers: make([]saved, c.NumHiddenLayers)}
	scratch := max(f, d)
	if training {
		scratch = max(f, 2*d)
	}
	shared := alloc(scratch)
	b.last, b.rstd, b.hidden, b.normed = alloc(d), kept(1), columns(shared, 0, f), columns(shared, 0, d)
	if training {
		b.dNormed = columns(shared, d, d)
		if q+kv > f {
			b.spare = alloc(2 * (q + kv))
		}
	}
	for l := range b.layers {
		if l > 0 && !training {
			b.layers[l] = b.layers[0]
			continue
		}
		s := saved{
			x: b.last, mid: b.last, rstd1: kept(1), rstd2: kept(1), lse: kept(h),
			q: alloc(q), out: alloc(q), k: alloc(kv), v: alloc(kv), gate: alloc(f), up: alloc(f),
		}
		if training {
			if s.mid = alloc(d); l > 0 {
				s.x = alloc(d)
			}
		}
		b.layers[l] = s
	}
	if c.Score {
		b.score, b.dScore = kept(1), alloc(1)
	}
	return b
}

// columns is a matrix of as many rows as t in the memory of so many of its columns.
func columns(t gpu.Tensor, from, n int) gpu.Tensor {
	if t.IsZero() { // it is only counted
		return t
	}
	return t.Reshape(t.Len(), 1).Slice(t.Rows*from, t.Rows*(from+n)).Reshape(t.Rows, n)
}

// ofAttention are the gradients that attention's backward reads and sets, in the memory of the layer's gate and up, which a
// backward has done with by then. dOut, dq [N, H·E]; dk, dv [N, G·E].
func (b *buffers) ofAttention(a saved) (dOut, dq, dk, dv gpu.Tensor) {
	q, kv := a.q.Cols, a.k.Cols
	one, two := a.gate, a.up
	if !b.spare.IsZero() {
		spare := b.spare.Slice(0, a.q.Rows)
		one, two = columns(spare, 0, q+kv), columns(spare, q+kv, q+kv)
	}
	return columns(one, 0, q), columns(two, 0, q), columns(one, q, kv), columns(two, q, kv)
}

func (b *buffers) free(dev gpu.Device) {
	for _, t := range b.allocated {
		dev.Free(t)
	}
	*b = buffers{}
}

// TrainingMemory is what training needs on the device in float32, in bytes: weights, gradients and the two moments of
// AdamW, and the activations of a stream of up to maxTokens tokens. With bfloat16 tensors it is less: half the activations,
// and half as much again of weights. What the device itself needs is not in it.
func (c Config) TrainingMemory(maxTokens int) int64 {
	return 4 * (4*c.Parameters() + c.activations(true)*int64(maxTokens))
}

// InferenceMemory is what forwards over streams of up to maxTokens tokens need on the device, in bytes.
func (c Config) InferenceMemory(maxTokens int) int64 {
	return 4 * (c.Parameters() + c.activations(false)*int64(maxTokens))
}

// activations counts the float32 values of working memory per token.
func (c Config) activations(training bool) int64 {
	var columns int64
	c.buffers(training, gpu.F32, func(_ gpu.DType, cols int) gpu.Tensor {
		columns += int64(cols)
		return gpu.Tensor{}
	})
	return columns
}
