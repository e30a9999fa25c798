package llm

import (
	"fmt"

	"athanor/gpu"
)

// decoding is the memory of generation, kept between calls and grown when one needs more.
type decoding struct {
	slots, capacity int         // sequences side by side; tokens of each
	caches          []gpu.Cache // one per layer

	gathered gpu.Tensor // [R, D] the activations whose logits are wanted
	logits   gpu.Tensor // [R, V] float32
}

// logitRows bounds R, by 64 MiB of logits: those of more tokens are computed in several parts, each of which reads the head's
// weights again.
func (c Config) logitRows() int { return max(64, 64<<20/4/c.VocabSize) }

// reserveCache makes room for keys and values.
func (d *decoding) reserveCache(m *Model, slots, capacity int) error {
	if slots <= d.slots && capacity <= d.capacity {
		return nil
	}
	slots, capacity = max(slots, d.slots), max(capacity, d.capacity)
	d.freeCache(m.dev)
	width := m.Config.NumKeyValueHeads * m.Config.HeadDim
	for range m.Config.NumHiddenLayers {
		c := gpu.Cache{Capacity: capacity}
		var err error
		if c.K, err = m.dev.Alloc(m.storage, slots*capacity, width); err == nil {
			c.V, err = m.dev.Alloc(m.storage, slots*capacity, width)
		}
		d.caches = append(d.caches, c)
		if err != nil {
			d.freeCache(m.dev)
			return fmt.Errorf("the key/value cache of %d sequences of %d tokens: %w", slots, capacity, err)
		}
	}
	d.slots, d.capacity = slots, capacity
	return nil
}

// reserveLogits makes room for the logits of n tokens.
func (d *decoding) reserveLogits(m *Model, n int) error {
	if n <= d.logits.Rows {
		return nil
	}
	d.freeLogits(m.dev)
	var err error
	if d.gathered, err = m.dev.Alloc(m.storage, n, m.Config.HiddenSize); err == nil {
		d.logits, err = m.dev.Alloc(gpu.F32, n, m.Config.VocabSize)
	}
	if err != nil {
		d.freeLogits(m.dev)
		return fmt.Errorf("the logits of %d tokens: %w", n, err)
	}
	return nil
}

func (d *decoding) freeCache(dev gpu.Device) {
	for _, c := range d.caches {
		free(dev, c.K, c.V)
	}
	d.caches, d.slots, d.capacity = nil, 0, 0
}

func (d *decoding) freeLogits(dev gpu.Device) {
	free(dev, d.gathered, d.logits)
	d.gathered, d.logits = gpu.Tensor{}, gpu.Tensor{}
}

func (d *decoding) free(dev gpu.Device) {
	d.freeCache(dev)
	d.freeLogits(dev)
}

func free(dev gpu.Device, tensors ...gpu.Tensor) {
	for _, t := range tensors {
		if !t.IsZero() {
			dev.Free(t)
		}
	}
}
