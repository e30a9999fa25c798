package gputest

import (
	"testing"

	"athanor/gpu"
)

// wrongShapes checks that every operator panics when an operand does not fit, rather than to compute with what lies
// beside it.
func (s *suite) wrongShapes(t *testing.T) {
	d := s.device(t, 2) // its own: a device need not be of use after a panic
	tensor := func(rows, cols int) gpu.Tensor { return alloc(t, d, gpu.F32, rows, cols) }
	const N, D, E = 4, 8, 4
	none := gpu.Tensor{}
	x, y, w, one, weight := tensor(N, D), tensor(N, D), tensor(D, D), tensor(N, 1), tensor(1, D)
	wide, long := tensor(N, D+1), tensor(N+1, D)
	stream := &gpu.Stream{}
	stream.Append(make([]int32, N), make([]int32, N), 0)
	host, short := make([]float64, N), make([]float64, N-1)
	r := rope(E, 1)
	cache := gpu.Cache{K: tensor(2*N, D), V: tensor(2*N, D), Capacity: N}
	two := []int32{0, 1}
	noLoss := func(int, float64, float64) (float64, float64) { return 0, 0 }

	for _, c := range []struct {
		name string
		call func()
	}{
		{"Write: src", func() { d.Write(x, make([]float32, 3)) }},
		{"Read: dst", func() { d.Read(make([]float32, 3), x) }},
		{"Copy", func() { d.Copy(x, wide) }},
		{"Embed: out", func() { d.Embed(long, w, stream) }},
		{"EmbedBackward: dOut", func() { d.EmbedBackward(w, wide, stream) }},
		{"RMSNorm: out", func() { d.RMSNorm(wide, one, x, weight, 1e-5) }},
		{"RMSNorm: weight", func() { d.RMSNorm(y, one, x, w, 1e-5) }},
		{"RMSNormBackward: dx", func() { d.RMSNormBackward(long, weight, y, x, weight, one, none) }},
		{"RMSNormBackward: add", func() { d.RMSNormBackward(y, weight, y, x, weight, one, wide) }},
		{"Linear: y", func() { d.Linear(wide, x, w, none) }},
		{"Linear: x", func() { d.Linear(y, wide, w, none) }},
		{"Linear: add", func() { d.Linear(y, x, w, long) }},
		{"LinearBackwardInput: dy", func() { d.LinearBackwardInput(y, wide, w, none) }},
		{"LinearBackwardInput: add", func() { d.LinearBackwardInput(y, x, w, long) }},
		{"LinearBackwardWeight: x", func() { d.LinearBackwardWeight(w, y, long) }},
		{"LinearBackwardWeight: dw", func() { d.LinearBackwardWeight(one, y, x) }},
		{"Rope: x", func() { d.Rope(wide, r, stream, false) }},
		{"Rope: positions", func() { d.Rope(long, r, stream, false) }},
		{"Attention: out", func() { d.Attention(wide, tensor(N, 2), x, x, x, E, stream) }},
		{"Attention: lse", func() { d.Attention(y, one, x, x, x, E, stream) }},
		{"Attention: v", func() { d.Attention(y, tensor(N, 2), x, x, wide, E, stream) }},
		{"Attention: head size", func() { d.Attention(y, one, x, x, x, 5, stream) }},
		{"AttentionBackward: dk", func() { d.AttentionBackward(y, wide, y, x, x, tensor(N, 2), x, x, x, E, stream) }},
		{"SwiGLU: up", func() { d.SwiGLU(y, x, wide) }},
		{"SwiGLUBackward: dOut", func() { d.SwiGLUBackward(y, y, y, wide, x, x) }},
		{"LMHead: logp", func() { _ = d.LMHead(short, nil, x, w, stream, 1) }},
		{"LMHead: x", func() { _ = d.LMHead(host, nil, wide, w, stream, 1) }},
		{"LMHeadBackward: dx", func() { d.LMHeadBackward(wide, none, x, w, stream, 1, host, nil) }},
		{"LMHeadBackward: dw", func() { d.LMHeadBackward(y, x, x, w, stream, 1, host, nil) }},
		{"LMHeadBackward: dLogp", func() { d.LMHeadBackward(y, none, x, w, stream, 1, short, nil) }},
		{"LMHeadBackward: dLSE", func() { d.LMHeadBackward(y, none, x, w, stream, 1, host, short) }},
		// A device without these panics too.
		{"LMHeadLoss: lse", func() { _ = d.(gpu.LossHead).LMHeadLoss(host, short, y, none, x, w, stream, 1, noLoss) }},
		{"LMHeadLoss: dx", func() { _ = d.(gpu.LossHead).LMHeadLoss(host, host, wide, none, x, w, stream, 1, noLoss) }},
		{"LMHeadLoss: dw", func() { _ = d.(gpu.LossHead).LMHeadLoss(host, host, y, x, x, w, stream, 1, noLoss) }},
		{"Sample: ids", func() { _ = d.(gpu.Sampler).Sample(two, host, x, make([]gpu.Draw, N)) }},
		{"Sample: logp", func() { _ = d.(gpu.Sampler).Sample(make([]int32, N), short, x, make([]gpu.Draw, N)) }},
		{"Sample: draws", func() { _ = d.(gpu.Sampler).Sample(make([]int32, N), host, x, make([]gpu.Draw, 1)) }},
		{"AdamW: Grad", func() {
			d.AdamW([]gpu.AdamWTensor{{Weight: x, Grad: wide, M: y, V: y}}, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.9, Step: 1})
		}},
		{"Store: v", func() { d.Store(cache, x.Slice(0, 2), x, two, two) }},
		{"Store: slots", func() { d.Store(cache, x, x, two, two) }},
		{"DecodeAttention: out", func() { d.DecodeAttention(y, x.Slice(0, 2), cache, E, two, []int32{1, 1}) }},
		{"DecodeAttention: lengths", func() { d.DecodeAttention(y, x, cache, E, two, two) }},
	} {
		if !panics(c.call) {
			t.Errorf("%s: an operand that does not fit was accepted", c.name)
		}
	}
}

func panics(call func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	call()
	return false
}
