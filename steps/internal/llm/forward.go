package llm

import (
	"errors"

	"athanor/gpu"
)

// Forward runs the trunk over a stream. LogProbs, Logits and Backward refer to the last Forward; the caller leaves the
// stream alone until then.
func (m *Model) Forward(s *gpu.Stream) error {
	if err := errors.Join(m.check(s), m.dev.SetPrecision(m.precision)); err != nil {
		return err
	}
	m.trunk(s, func(l int, a saved) {
		m.dev.Attention(a.out, a.lse, a.q, a.k, a.v, m.Config.HeadDim, s)
	})
	return nil
}

// trunk runs all layers and leaves the normalised last activations in buffers.normed. attend sets a.out from the
// rotated a.q and a.k and from a.v: full attention in training, attention over the cache in decoding.
func (m *Model) trunk(s *gpu.Stream, attend func(l int, a saved)) {
	n, eps := s.Len(), float32(m.Config.RMSNormEps)
	b := &m.buffers
	normed, hidden, last := b.normed.Slice(0, n), b.hidden.Slice(0, n), b.last.Slice(0, n)
	m.dev.Embed(b.input(0).Slice(0, n), m.embed.Weight, s)
	for l := range m.layers {
		w, a, next := &m.layers[l], b.layers[l].first(n), b.input(l+1).Slice(0, n)

		m.dev.RMSNorm(normed, a.rstd1, a.x, w.attentionNorm.Weight, eps)
		m.linear(a.q, normed, w.q, gpu.Tensor{})
		m.linear(a.k, normed, w.k, gpu.Tensor{})
		m.linear(a.v, normed, w.v, gpu.Tensor{})
		m.dev.Rope(a.q, m.rope, s, false)
		m.dev.Rope(a.k, m.rope, s, false)
		attend(l, a)
		m.linear(a.mid, a.out, w.o, a.x)

		m.dev.RMSNorm(normed, a.rstd2, a.mid, w.mlpNorm.Weight, eps)
		m.linear(a.gate, normed, w.gate, gpu.Tensor{})
		m.linear(a.up, normed, w.up, gpu.Tensor{})
		m.dev.SwiGLU(hidden, a.gate, a.up)
		m.linear(next, hidden, w.down, a.mid)
	}
	m.dev.RMSNorm(normed, b.rstd.Slice(0, n), last, m.norm.Weight, eps)
}

// input is the residual stream before layer l, and after the last one for l = L.
func (b *buffers) input(l int) gpu.Tensor {
	if l == len(b.layers) {
		return b.last
	}
	return b.layers[l].x
}

// first returns the rows of the first n tokens.
func (a saved) first(n int) saved {
	return saved{
		x: a.x.Slice(0, n), mid: a.mid.Slice(0, n), rstd1: a.rstd1.Slice(0, n), rstd2: a.rstd2.Slice(0, n),
		q: a.q.Slice(0, n), out: a.out.Slice(0, n), k: a.k.Slice(0, n), v: a.v.Slice(0, n), lse: a.lse.Slice(0, n),
		gate: a.gate.Slice(0, n), up: a.up.Slice(0, n),
	}
}

// LogProbs sets logp[n] to the log-probability of token n's target and lse[n] to log Σ exp of its logits, both at the
// temperature, and 0 where there is no target, after the Forward of the same stream. Both are [N]; lse may be nil. A scalar head sets
// logp[n] to the score of token n if that has a target, whichever that is.
func (m *Model) LogProbs(logp, lse []float64, s *gpu.Stream, temperature float64) error {
	if err := m.dev.SetPrecision(m.precision); err != nil {
		return err
	}
	if m.Config.Score {
		return m.scores(logp, lse, s)
	}
	return m.dev.LMHead(logp, lse, m.buffers.normed.Slice(0, s.Len()), m.head.Weight, s, temperature)
}

// Logits sets dst [len(rows), V] to the logits of the given tokens of the last Forward.
func (m *Model) Logits(dst []float32, rows ...int) error {
	err := m.eachLogits(rows, func(y gpu.Tensor, from int) error {
		m.dev.Read(dst[from*y.Cols:][:y.Len()], y)
		return nil
	})
	return errors.Join(err, m.dev.Sync())
}

// eachLogits computes the logits of the given tokens of the last Forward, some at a time: take gets those of
// rows[from:from+y.Rows], float32, which the next call overwrites.
func (m *Model) eachLogits(rows []int, take func(y gpu.Tensor, from int) error) error {
	if err := m.dev.SetPrecision(gpu.Float32); err != nil {
		return err
	}
	most := m.Config.logitRows()
	for from := 0; from < len(rows); from += most {
		some := rows[from:min(len(rows), from+most)]
		if err := m.decoding.reserveLogits(m, len(some)); err != nil {
			return err
		}
		x, y := m.decoding.gathered.Slice(0, len(some)), m.decoding.logits.Slice(0, len(some))
		for i, n := 0, 0; i < len(some); i += n { // rows that follow each other are copied at once: in decoding, all
			for n = 1; i+n < len(some) && some[i+n] == some[i]+n; n++ {
			}
			m.dev.Copy(x.Slice(i, i+n), m.buffers.normed.Slice(some[i], some[i]+n))
		}
		m.dev.Linear(y, x, m.head.Weight, gpu.Tensor{})
		if err := take(y, from); err != nil {
			return err
		}
	}
	return nil
}
