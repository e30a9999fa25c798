package llm

import (
	"errors"

	"athanor/gpu"
)

// Backward adds the gradient of a loss to every Param's Grad, given the loss's derivatives with respect to what
// LogProbs returned for the stream at the same temperature; dLSE may be nil. It uses up the activations: each Backward
// needs its own Forward.
func (m *Model) Backward(s *gpu.Stream, temperature float64, dLogp, dLSE []float64) error {
	if !m.buffers.training {
		return errors.New("llm: Backward without Training")
	}
	if err := errors.Join(m.check(s), m.dev.SetPrecision(m.precision)); err != nil {
		return err
	}
	n := s.Len()
	b := &m.buffers
	dNormed := b.dNormed.Slice(0, n)
	if m.Config.Score {
		m.scoreBackward(dNormed, s, dLogp)
	} else {
		m.dev.LMHeadBackward(dNormed, m.head.Grad, b.normed.Slice(0, n), m.head.Weight, s, temperature, dLogp, dLSE)
	}
	return m.trunkBackward(s)
}

// LossBackward is LogProbs followed by Backward with the derivatives that loss gives, and sets logp and lse, both [N]. On a
// device that computes both at once it saves a quarter of the head's work. It reports false, and has done nothing, if
// the device or the head cannot.
func (m *Model) LossBackward(logp, lse []float64, s *gpu.Stream, temperature float64, loss gpu.TokenLoss) (bool, error) {
	head, ok := m.dev.(gpu.LossHead)
	if !ok || m.Config.Score || !m.buffers.training {
		return false, nil
	}
	if err := errors.Join(m.check(s), m.dev.SetPrecision(m.precision)); err != nil {
		return true, err
	}
	n, b := s.Len(), &m.buffers
	err := head.LMHeadLoss(logp, lse, b.dNormed.Slice(0, n), m.head.Grad, b.normed.Slice(0, n), m.head.Weight, s, temperature, loss)
	if err != nil {
		return true, err
	}
	return true, m.trunkBackward(s)
}

// trunkBackward goes on from the gradient of the head's input, in dNormed.
func (m *Model) trunkBackward(s *gpu.Stream) error {
	n, b := s.Len(), &m.buffers
	dx, dNormed := b.last.Slice(0, n), b.dNormed.Slice(0, n)
	m.dev.RMSNormBackward(dx, m.normGrad(m.norm), dNormed, dx, m.norm.Weight, b.rstd.Slice(0, n), gpu.Tensor{})
	for l := len(m.layers) - 1; l >= 0; l-- {
		a := b.layers[l].first(n)
		m.feedForwardBackward(&m.layers[l], a, n)
		if l == 0 { // dx is where its input was
			a.x = a.mid
			m.dev.Embed(a.x, m.embed.Weight, s)
		}
		m.attentionBackward(&m.layers[l], a, s)
	}
	if !m.embed.Grad.IsZero() {
		m.dev.EmbedBackward(m.embed.Grad, dx, s)
	}
	return nil
}

// feedForwardBackward turns dx, the gradient of a layer's output, into that of its a.mid. a.gate and a.up are
// overwritten with their gradients.
func (m *Model) feedForwardBackward(w *layer, a saved, n int) {
	b, dev := &m.buffers, m.dev
	dx, dNormed, hidden := b.last.Slice(0, n), b.dNormed.Slice(0, n), b.hidden.Slice(0, n)

	m.inputBackward(hidden, dx, w.down, gpu.Tensor{})
	dev.SwiGLUBackward(a.gate, a.up, hidden, hidden, a.gate, a.up)
	m.weightBackward(dx, hidden, w.down)

	normed := b.normed.Slice(0, n)
	dev.RMSNorm(normed, a.rstd2, a.mid, w.mlpNorm.Weight, float32(m.Config.RMSNormEps))
	m.linearBackward(dNormed, a.gate, normed, w.gate, gpu.Tensor{})
	m.linearBackward(dNormed, a.up, normed, w.up, dNormed)
	dev.RMSNormBackward(dx, m.normGrad(w.mlpNorm), dNormed, a.mid, w.mlpNorm.Weight, a.rstd2, dx)
}

// attentionBackward turns dx, the gradient of a.mid, into that of a.x.
func (m *Model) attentionBackward(w *layer, a saved, s *gpu.Stream) {
	b, dev, n := &m.buffers, m.dev, s.Len()
	dx, dNormed := b.last.Slice(0, n), b.dNormed.Slice(0, n)
	dOut, dq, dk, dv := b.ofAttention(a)

	m.linearBackward(dOut, dx, a.out, w.o, gpu.Tensor{})
	dev.AttentionBackward(dq, dk, dv, dOut, a.out, a.lse, a.q, a.k, a.v, m.Config.HeadDim, s)
	dev.Rope(dq, m.rope, s, true)
	dev.Rope(dk, m.rope, s, true)

	normed := b.normed.Slice(0, n)
	dev.RMSNorm(normed, a.rstd1, a.x, w.attentionNorm.Weight, float32(m.Config.RMSNormEps))
	m.linearBackward(dNormed, dq, normed, w.q, gpu.Tensor{})
	m.linearBackward(dNormed, dk, normed, w.k, dNormed)
	m.linearBackward(dNormed, dv, normed, w.v, dNormed)
	dev.RMSNormBackward(dx, m.normGrad(w.attentionNorm), dNormed, a.x, w.attentionNorm.Weight, a.rstd1, dx)
}
