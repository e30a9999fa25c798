package gputest

import (
	"slices"
	"testing"

	"athanor/gpu"
)

// A benchModel is the shapes of one model, and of the batch it is trained on.
type benchModel struct {
	name                string
	N, Segment          int // tokens of the stream, and of each segment
	D, H, G, E, F, V, L int
}

var benchModels = []benchModel{
	{name: "1M", N: 4096, Segment: 256, D: 128, H: 4, G: 2, E: 32, F: 384, V: 2048, L: 4},
	{name: "12M", N: 4096, Segment: 512, D: 384, H: 6, G: 2, E: 64, F: 1024, V: 4096, L: 6},
}

// Bench measures every operator at the shapes of a model with 1 million parameters and of one with 12 million, with
// activations and weights of type t, and reports what bounds each: GFLOP/s of the arithmetic that the formulas need,
// or GB/s of the memory that must move at least. open is called with 0 threads: all that there are.
//
//	func BenchmarkOperators(b *testing.B) { gputest.Bench(b, Open, gpu.F32) }
func Bench(b *testing.B, open func(threads int) (gpu.Device, error), t gpu.DType) {
	for _, m := range benchModels {
		b.Run(m.name, func(b *testing.B) {
			d, err := open(0)
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					b.Error(err)
				}
			}()
			bench := &bench{Device: d, b: b, dtype: t, benchModel: m, stream: m.stream()}
			bench.linear()
			bench.attention()
			bench.head()
			bench.elementwise()
			bench.optimizer()
			bench.decode()
			bench.sample()
		})
	}
}

// A bench is one model on one device.
type bench struct {
	gpu.Device
	benchModel
	b      *testing.B
	dtype  gpu.DType
	stream *gpu.Stream
}

func (m benchModel) stream() *gpu.Stream {
	s := &gpu.Stream{}
	for range m.N / m.Segment {
		ids := make([]int32, m.Segment)
		for i := range ids {
			ids[i] = int32(i * 7919 % m.V)
		}
		s.Append(ids, ids, 0)
	}
	return s
}

// flops measures an operator that arithmetic bounds; work is multiplications and additions, each counted.
func (m *bench) flops(name string, work int, call func()) { m.measure(name, "GFLOP/s", work, call) }

// moves measures an operator that memory bounds; work is bytes read and bytes written.
func (m *bench) moves(name string, work int, call func()) { m.measure(name, "GB/s", work, call) }

func (m *bench) measure(name, unit string, work int, call func()) {
	m.b.Run(name, func(b *testing.B) {
		call() // touches all memory once
		if err := m.Sync(); err != nil {
			b.Fatal(err)
		}
		b.ResetTimer()
		for range b.N {
			call()
		}
		if err := m.Sync(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(work)*float64(b.N)/b.Elapsed().Seconds()/1e9, unit)
	})
}

// tensor is small numbers of the bench's type.
func (m *bench) tensor(rows, cols int) gpu.Tensor { return m.tensorOf(m.dtype, rows, cols) }

// float32 is small numbers in float32: gradients of weights, and what a forward keeps.
func (m *bench) float32(rows, cols int) gpu.Tensor { return m.tensorOf(gpu.F32, rows, cols) }

func (m *bench) tensorOf(t gpu.DType, rows, cols int) gpu.Tensor {
	m.b.Helper()
	x := alloc(m.b, m, t, rows, cols)
	values := make([]float32, x.Len())
	for i := range values {
		values[i] = float32(i*2654435761%1999)/1000 - 1
	}
	m.Write(x, values)
	return x
}

// size is the bytes of one element of the bench's type.
func (m *bench) size() int {
	if m.dtype == gpu.BF16 {
		return 2
	}
	return 4
}

func (m *bench) linear() {
	N, D, F := m.N, m.D, m.F
	x, w, y, dw := m.tensor(N, D), m.tensor(F, D), m.tensor(N, F), m.float32(F, D)
	defer m.free(x, w, y, dw)
	m.flops("Linear", 2*N*D*F, func() { m.Linear(y, x, w, gpu.Tensor{}) })
	m.flops("LinearBackwardInput", 2*N*D*F, func() { m.LinearBackwardInput(x, y, w, gpu.Tensor{}) })
	m.flops("LinearBackwardWeight", 2*N*D*F, func() { m.LinearBackwardWeight(dw, y, x) })
}

func (m *bench) attention() {
	N, Q, K := m.N, m.H*m.E, m.G*m.E
	q, k, v, out, lse := m.tensor(N, Q), m.tensor(N, K), m.tensor(N, K), m.tensor(N, Q), m.float32(N, m.H)
	dq, dk, dv, dOut := m.tensor(N, Q), m.tensor(N, K), m.tensor(N, K), m.tensor(N, Q)
	defer m.free(q, k, v, out, lse, dq, dk, dv, dOut)
	pairs := N / m.Segment * m.Segment * (m.Segment + 1) / 2 // of a token and one that it attends to
	m.flops("Attention", 4*Q*pairs, func() { m.Attention(out, lse, q, k, v, m.E, m.stream) })
	m.flops("AttentionBackward", 10*Q*pairs, func() {
		m.AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v, m.E, m.stream)
	})
}

func (m *bench) head() {
	N, D, V := m.N, m.D, m.V
	x, dx, w, dw := m.tensor(N, D), m.tensor(N, D), m.tensor(V, D), m.float32(V, D)
	defer m.free(x, dx, w, dw)
	logp, lse := make([]float64, N), make([]float64, N)
	m.flops("LMHead", 2*N*D*V, func() {
		if err := m.LMHead(logp, lse, x, w, m.stream, 1); err != nil {
			m.b.Fatal(err)
		}
	})
	m.flops("LMHeadBackward", 6*N*D*V, func() { m.LMHeadBackward(dx, dw, x, w, m.stream, 1, logp, nil) })
	if head, ok := m.Device.(gpu.LossHead); ok {
		loss := func(_ int, logp, _ float64) (float64, float64) { return logp, 0 }
		m.flops("LMHeadLoss", 6*N*D*V, func() {
			if err := head.LMHeadLoss(logp, lse, dx, dw, x, w, m.stream, 1, loss); err != nil {
				m.b.Fatal(err)
			}
		})
	}
}

func (m *bench) elementwise() {
	N, D, F := m.N, m.D, m.F
	table, dTable, x, y, dy := m.tensor(m.V, D), m.float32(m.V, D), m.tensor(N, D), m.tensor(N, D), m.tensor(N, D)
	weight, dWeight, rstd := m.tensor(1, D), m.float32(1, D), m.float32(N, 1)
	gate, up, wide, dGate, dUp := m.tensor(N, F), m.tensor(N, F), m.tensor(N, F), m.tensor(N, F), m.tensor(N, F)
	defer m.free(table, dTable, x, y, dy, weight, dWeight, rstd, gate, up, wide, dGate, dUp)
	r := rope(m.E, 1)
	rows, wideRows := N*D*m.size(), N*F*m.size()

	m.moves("Embed", 2*rows, func() { m.Embed(x, table, m.stream) })
	m.moves("EmbedBackward", rows+8*N*D, func() { m.EmbedBackward(dTable, x, m.stream) })
	m.moves("RMSNorm", 2*rows, func() { m.RMSNorm(y, rstd, x, weight, 1e-5) })
	m.moves("RMSNormBackward", 4*rows, func() { m.RMSNormBackward(dy, dWeight, y, x, weight, rstd, dy) })
	m.moves("Rope", 2*rows, func() { m.Rope(x, r, m.stream, false) })
	m.moves("SwiGLU", 3*wideRows, func() { m.SwiGLU(wide, gate, up) })
	m.moves("SwiGLUBackward", 6*wideRows, func() { m.SwiGLUBackward(dGate, dUp, wide, wide, gate, up) })
}

// optimizer updates as many parameters as the model has.
func (m *bench) optimizer() {
	rows := m.V + m.L*(2*m.H*m.E+2*m.G*m.E+3*m.F)
	t := gpu.AdamWTensor{
		Weight: m.tensor(rows, m.D), Grad: m.float32(rows, m.D), M: m.float32(rows, m.D), V: m.float32(rows, m.D), LR: 1e-3,
	}
	m.Zero(t.V)
	each := 4 * 7 // reads weight, gradient and both moments; writes all but the gradient
	if m.dtype != gpu.F32 {
		t.Master = m.float32(rows, m.D)
		each += 2
		defer m.free(t.Master)
	}
	defer m.free(t.Weight, t.Grad, t.M, t.V)
	h := gpu.AdamWStep{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradScale: 1}
	m.moves("AdamW", each*rows*m.D, func() {
		h.Step++
		m.AdamW([]gpu.AdamWTensor{t}, h)
	})
	m.moves("SumSquares", 4*rows*m.D, func() {
		if _, err := m.SumSquares([]gpu.Tensor{t.Grad}); err != nil {
			m.b.Fatal(err)
		}
	})
}

// decode attends from one token of each of 32 sequences as long as a segment.
func (m *bench) decode() {
	const B = 32
	K := m.G * m.E
	cache := gpu.Cache{K: m.tensor(B*m.Segment, K), V: m.tensor(B*m.Segment, K), Capacity: m.Segment}
	q, out, k := m.tensor(B, m.H*m.E), m.tensor(B, m.H*m.E), m.tensor(B, K)
	defer m.free(cache.K, cache.V, q, out, k)
	slots, positions, lengths := make([]int32, B), make([]int32, B), make([]int32, B)
	for i := range B {
		slots[i], positions[i], lengths[i] = int32(i), int32(m.Segment-1), int32(m.Segment)
	}
	m.moves("Store", 4*B*K*m.size(), func() { m.Store(cache, k, k, slots, positions) })
	m.moves("DecodeAttention", 2*B*m.Segment*K*m.size(), func() {
		m.DecodeAttention(out, q, cache, m.E, slots, lengths)
	})
}

// sample draws from the logits of 32 sequences: all tokens, and those that top-p leaves.
func (m *bench) sample() {
	sampler, ok := m.Device.(gpu.Sampler)
	if !ok {
		return
	}
	const B = 32
	logits, ids, logp := m.float32(B, m.V), make([]int32, B), make([]float64, B)
	defer m.free(logits)
	for name, topP := range map[string]float64{"Sample": 1, "SampleTopP": 0.95} {
		draws := slices.Repeat([]gpu.Draw{{Temperature: 1, TopP: topP, Uniform: 0.5}}, B)
		m.moves(name, 4*B*m.V, func() {
			if err := sampler.Sample(ids, logp, logits, draws); err != nil {
				m.b.Fatal(err)
			}
		})
	}
}

func (m *bench) free(tensors ...gpu.Tensor) {
	for _, t := range tensors {
		m.Free(t)
	}
}
