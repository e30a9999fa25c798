package llm

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// A role is what a tensor of weights does: it decides initialisation and weight decay.
type role uint8

const (
	roleEmbedding role = iota
	roleNorm
	roleMatrix
	roleResidual // a matrix whose output is added to the residual stream
	roleScore    // the scalar head
)

func (r role) decays() bool { return r == roleMatrix || r == roleResidual || r == roleScore }

// A tensor describes one tensor of a model's folder.
type tensor struct {
	name  string
	shape []int
	role  role
}

func (t tensor) rows() int {
	if len(t.shape) == 1 {
		return 1
	}
	return t.shape[0]
}

func (t tensor) cols() int { return t.shape[len(t.shape)-1] }

func (t tensor) len() int { return t.rows() * t.cols() }

// tensors lists the weights of a model in the order of Model.Params.
func (c Config) tensors() []tensor {
	d, f, e := c.HiddenSize, c.IntermediateSize, c.HeadDim
	q, kv := c.NumAttentionHeads*e, c.NumKeyValueHeads*e
	list := []tensor{{"model.embed_tokens.weight", []int{c.VocabSize, d}, roleEmbedding}}
	for l := range c.NumHiddenLayers {
		add := func(name string, r role, shape ...int) {
			list = append(list, tensor{fmt.Sprintf("model.layers.%d.%s.weight", l, name), shape, r})
		}
		add("input_layernorm", roleNorm, d)
		add("self_attn.q_proj", roleMatrix, q, d)
		add("self_attn.k_proj", roleMatrix, kv, d)
		add("self_attn.v_proj", roleMatrix, kv, d)
		add("self_attn.o_proj", roleResidual, d, q)
		add("post_attention_layernorm", roleNorm, d)
		add("mlp.gate_proj", roleMatrix, f, d)
		add("mlp.up_proj", roleMatrix, f, d)
		add("mlp.down_proj", roleResidual, d, f)
	}
	list = append(list, tensor{"model.norm.weight", []int{d}, roleNorm})
	switch {
	case c.Score:
		list = append(list, tensor{scoreName, []int{1, d}, roleScore})
	case !c.TieWordEmbeddings:
		list = append(list, tensor{"lm_head.weight", []int{c.VocabSize, d}, roleMatrix})
	}
	return list
}

// chunk is how many elements pass through host memory at once.
const chunk = 1 << 20

// A fill produces the elements of a tensor in order: called again and again, it fills dst each time.
type fill func(dst []float32) error

// until returns a fill that ends with the context.
func (f fill) until(ctx context.Context) fill {
	return func(dst []float32) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return f(dst)
	}
}

// initial returns the initial weights of a tensor. Norms are 1; all else is normal with mean 0 and the configuration's
// initializer_range as standard deviation, which is divided by √(2L) for the two matrices of a layer that write to the
// residual stream, so that its variance does not grow with depth (Radford et al. 2019, section 2.3). With a MuPBase all
// that is scaled as [MuP] says. Every tensor has its own random numbers, from the seed and its name: neither the order
// of tensors nor the presence of others matters.
func (c Config) initial(t tensor, seed uint64) fill {
	factor := 1.0
	if c.MuPBase > 0 {
		factor = MuP{Base: c.MuPBase, Dim: c.HiddenSize}.initial(t)
	}
	if t.role == roleNorm {
		return func(dst []float32) error {
			for i := range dst {
				dst[i] = float32(factor)
			}
			return nil
		}
	}
	std := c.InitializerRange
	switch t.role {
	case roleResidual:
		std /= math.Sqrt(2 * float64(c.NumHiddenLayers))
	case roleScore:
		std = 1 / math.Sqrt(float64(c.HiddenSize)+1)
	}
	random := newRandom("init "+t.name, seed)
	return func(dst []float32) error {
		for i := range dst {
			dst[i] = float32(factor * std * random.NormFloat64())
		}
		return nil
	}
}

// newRandom returns a stream of random numbers that depends on its purpose and the seed alone.
func newRandom(purpose string, seed uint64) *rand.Rand {
	var bits [8]byte
	binary.LittleEndian.PutUint64(bits[:], seed)
	return rand.New(rand.NewChaCha8(sha256.Sum256(append(bits[:], purpose...))))
}

// Init sets the initial weights; [Config] says from which distribution. The bits depend on the seed and on each
// tensor's name and shape, not on the device.
func (m *Model) Init(seed uint64) error {
	var buf []float32
	for i, t := range m.Config.tensors() {
		if err := m.write(m.params[i], m.Config.initial(t, seed), &buf); err != nil {
			return err
		}
	}
	return m.dev.Sync()
}

// write fills a tensor on the device, by way of a buffer that is grown to what it needs.
func (m *Model) write(p *Param, next fill, buf *[]float32) error {
	n := p.Weight.Len()
	*buf = slices.Grow((*buf)[:0], min(chunk, n))
	for from := 0; from < n; {
		some := (*buf)[:min(chunk, n-from)]
		if err := next(some); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		p.Write(m.dev, from, some)
		from += len(some)
	}
	return nil
}
