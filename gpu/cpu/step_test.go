package cpu

import (
	"testing"

	"athanor/gpu"
)

// A shape is that of a model and of the batch that it is trained on.
type shape struct{ tokens, segment, layers, width, heads, groups, size, hidden, vocab int }

// parameters counts the weights in matrices, the table of embeddings left out.
func (s shape) parameters() int {
	attention := s.width * s.size * (2*s.heads + 2*s.groups)
	return s.layers*(attention+3*s.width*s.hidden) + s.width*s.vocab
}

// A step is a training step as the model of this project does it, operator by operator, for tests and benchmarks of the
// device alone.
type step struct {
	shape
	testDevice
	t      testing.TB
	stream gpu.Stream
	rope   gpu.Rope
	layers []layer

	table, head, norm weight
	x, y, dx, dy      gpu.Tensor // residual stream, its normed copy, and gradients
	rstd              gpu.Tensor
	dq, dk, dv        gpu.Tensor
	dgate, dup        gpu.Tensor
	logp, dLogp       []float64
	weights           []gpu.AdamWTensor
	grads             []gpu.Tensor
}

// A weight is one with its gradient.
type weight struct{ w, dw gpu.Tensor }

// A layer keeps its weights and what its backward needs.
type layer struct {
	norm1, norm2, wq, wk, wv, wo, wgate, wup, wdown weight
	x, y, q, k, v, out, mid, y2, gate, up, act      gpu.Tensor
	rstd1, rstd2, lse                               gpu.Tensor
}

func newStep(t testing.TB, d testDevice, c shape) *step {
	s := &step{shape: c, testDevice: d, t: t}
	s.rope = gpu.Rope{HeadSize: c.size, InvFreq: make([]float64, c.size/2), Scale: 1}
	ids := make([]int32, c.segment)
	for i := range ids {
		ids[i] = int32(i * 7919 % c.vocab)
	}
	for range c.tokens / c.segment {
		s.stream.Append(ids, ids, 0)
	}
	s.logp, s.dLogp = make([]float64, c.tokens), make([]float64, c.tokens)
	for i := range s.dLogp {
		s.dLogp[i] = -1
	}
	q, kv := c.heads*c.size, c.groups*c.size
	s.table, s.head, s.norm = s.weight(c.vocab, c.width), s.weight(c.vocab, c.width), s.weight(1, c.width)
	s.tensors(c.width, &s.x, &s.y, &s.dx, &s.dy)
	s.tensors(q, &s.dq)
	s.tensors(kv, &s.dk, &s.dv)
	s.tensors(c.hidden, &s.dgate, &s.dup)
	s.tensors(1, &s.rstd)
	for range c.layers {
		l := layer{
			norm1: s.weight(1, c.width), norm2: s.weight(1, c.width), wq: s.weight(q, c.width), wk: s.weight(kv, c.width),
			wv: s.weight(kv, c.width), wo: s.weight(c.width, q), wgate: s.weight(c.hidden, c.width),
			wup: s.weight(c.hidden, c.width), wdown: s.weight(c.width, c.hidden),
		}
		s.tensors(c.width, &l.x, &l.y, &l.mid, &l.y2)
		s.tensors(q, &l.q, &l.out)
		s.tensors(kv, &l.k, &l.v)
		s.tensors(c.hidden, &l.gate, &l.up, &l.act)
		s.tensors(1, &l.rstd1, &l.rstd2)
		s.tensors(c.heads, &l.lse)
		s.layers = append(s.layers, l)
	}
	return s
}

// tensors allocates activations with some columns.
func (s *step) tensors(cols int, to ...*gpu.Tensor) {
	for _, t := range to {
		*t = random(s.t, s.testDevice, s.tokens, cols)
	}
}

// weight allocates a weight and what belongs to it.
func (s *step) weight(rows, cols int) weight {
	w := weight{random(s.t, s.testDevice, rows, cols), random(s.t, s.testDevice, rows, cols)}
	m, v := random(s.t, s.testDevice, rows, cols), random(s.t, s.testDevice, rows, cols)
	s.Zero(v)
	s.Zero(w.dw)
	s.weights = append(s.weights, gpu.AdamWTensor{Weight: w.w, Grad: w.dw, M: m, V: v, LR: 1e-4})
	s.grads = append(s.grads, w.dw)
	return w
}

// run does one step.
func (s *step) run() {
	var none gpu.Tensor
	d := s.device
	d.Embed(s.layers[0].x, s.table.w, &s.stream)
	for i := range s.layers {
		out := s.x
		if i+1 < len(s.layers) {
			out = s.layers[i+1].x
		}
		s.forward(&s.layers[i], out)
	}
	d.RMSNorm(s.y, s.rstd, s.x, s.norm.w, 1e-5)
	if err := d.LMHead(s.logp, nil, s.y, s.head.w, &s.stream, 1); err != nil {
		s.t.Fatal(err)
	}
	for _, g := range s.grads {
		d.Zero(g)
	}
	d.LMHeadBackward(s.dy, s.head.dw, s.y, s.head.w, &s.stream, 1, s.dLogp, nil)
	d.RMSNormBackward(s.dx, s.norm.dw, s.dy, s.x, s.norm.w, s.rstd, none)
	for i := range s.layers {
		s.backward(&s.layers[len(s.layers)-1-i])
	}
	d.EmbedBackward(s.table.dw, s.dx, &s.stream)
	if _, err := d.SumSquares(s.grads); err != nil {
		s.t.Fatal(err)
	}
	d.AdamW(s.weights, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: 2, GradScale: 1e-3})
}

func (s *step) forward(l *layer, out gpu.Tensor) {
	var none gpu.Tensor
	d := s.device
	d.RMSNorm(l.y, l.rstd1, l.x, l.norm1.w, 1e-5)
	d.Linear(l.q, l.y, l.wq.w, none)
	d.Linear(l.k, l.y, l.wk.w, none)
	d.Linear(l.v, l.y, l.wv.w, none)
	d.Rope(l.q, &s.rope, &s.stream, false)
	d.Rope(l.k, &s.rope, &s.stream, false)
	d.Attention(l.out, l.lse, l.q, l.k, l.v, s.size, &s.stream)
	d.Linear(l.mid, l.out, l.wo.w, l.x)
	d.RMSNorm(l.y2, l.rstd2, l.mid, l.norm2.w, 1e-5)
	d.Linear(l.gate, l.y2, l.wgate.w, none)
	d.Linear(l.up, l.y2, l.wup.w, none)
	d.SwiGLU(l.act, l.gate, l.up)
	d.Linear(out, l.act, l.wdown.w, l.mid)
}

// backward turns s.dx, the gradient of the layer's output, into that of its input.
func (s *step) backward(l *layer) {
	var none gpu.Tensor
	d := s.device
	d.LinearBackwardWeight(l.wdown.dw, s.dx, l.act)
	d.LinearBackwardInput(s.dgate, s.dx, l.wdown.w, none)
	d.SwiGLUBackward(s.dgate, s.dup, l.act, s.dgate, l.gate, l.up)
	d.LinearBackwardWeight(l.wgate.dw, s.dgate, l.y2)
	d.LinearBackwardWeight(l.wup.dw, s.dup, l.y2)
	d.LinearBackwardInput(s.dy, s.dgate, l.wgate.w, none)
	d.LinearBackwardInput(s.dy, s.dup, l.wup.w, s.dy)
	d.RMSNormBackward(s.dx, l.norm2.dw, s.dy, l.mid, l.norm2.w, l.rstd2, s.dx)

	d.LinearBackwardWeight(l.wo.dw, s.dx, l.out)
	d.LinearBackwardInput(s.y, s.dx, l.wo.w, none)
	d.AttentionBackward(s.dq, s.dk, s.dv, s.y, l.out, l.lse, l.q, l.k, l.v, s.size, &s.stream)
	d.Rope(s.dq, &s.rope, &s.stream, true)
	d.Rope(s.dk, &s.rope, &s.stream, true)
	d.LinearBackwardWeight(l.wq.dw, s.dq, l.y)
	d.LinearBackwardWeight(l.wk.dw, s.dk, l.y)
	d.LinearBackwardWeight(l.wv.dw, s.dv, l.y)
	d.LinearBackwardInput(s.dy, s.dq, l.wq.w, none)
	d.LinearBackwardInput(s.dy, s.dk, l.wk.w, s.dy)
	d.LinearBackwardInput(s.dy, s.dv, l.wv.w, s.dy)
	d.RMSNormBackward(s.dx, l.norm1.dw, s.dy, l.x, l.norm1.w, l.rstd1, s.dx)
}
