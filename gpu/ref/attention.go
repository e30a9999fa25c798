package ref

import (
	"fmt"
	"math"

	"athanor/gpu"
)

// Attention (arXiv 1706.03762, section 3.2.1, with the mask of a decoder). For token n of a segment that starts at b,
// query head h and its key/value head g = ⌊h·G/H⌋ (arXiv 2305.13245):
//
//	score[m]  = q[n,h]·k[m,g] / √E      for m = b … n
//	lse[n,h]  = log Σ_m e^score[m]
//	out[n,h]  = Σ_m e^(score[m] − lse[n,h]) · v[m,g]
func (Device) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	a := newAttention("Attention", q, k, v, headSize, s)
	want("Attention", "out", out, a.N, a.H*a.E)
	want("Attention", "lse", lse, a.N, a.H)
	o, l := values(out), values(lse)
	for n := range a.N {
		for h := range a.H {
			sums, logSum := attend(a.query(n, h), a.scores(n, h), func(i int) []float64 { return a.value(a.start[n]+i, h) })
			copy(o[(n*a.H+h)*a.E:], sums)
			l[n*a.H+h] = logSum
		}
	}
}

// attend returns Σ_i softmax(scores)[i]·value(i), as long as the query, and log Σ exp of the scores. The greatest
// score is taken out of the exponents, which changes nothing but the risk of overflow.
func attend(query, scores []float64, value func(i int) []float64) (sums []float64, logSum float64) {
	logSum = logSumExp(scores)
	sums = make([]float64, len(query))
	for i, score := range scores {
		p := math.Exp(score - logSum)
		for e, v := range value(i) {
			sums[e] += p * v
		}
	}
	return sums, logSum
}

// AttentionBackward (arXiv 2307.08691, section 2.2 and algorithm 2). With p[m] = e^(score[m] − lse):
//
//	dv[m,g]  += p[m]·dOut[n,h]
//	dp[m]     = dOut[n,h]·v[m,g]
//	ds[m]     = p[m]·( dp[m] − dOut[n,h]·out[n,h] ) / √E
//	dq[n,h]  += ds[m]·k[m,g]
//	dk[m,g]  += ds[m]·q[n,h]
func (Device) AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	a := newAttention("AttentionBackward", q, k, v, headSize, s)
	N, H, G, E := a.N, a.H, a.G, a.E
	want("AttentionBackward", "dq", dq, N, H*E)
	want("AttentionBackward", "dk", dk, N, G*E)
	want("AttentionBackward", "dv", dv, N, G*E)
	want("AttentionBackward", "dOut", dOut, N, H*E)
	want("AttentionBackward", "out", out, N, H*E)
	want("AttentionBackward", "lse", lse, N, H)
	dqs, dks, dvs := values(dq), values(dk), values(dv)
	dos, os, l := values(dOut), values(out), values(lse)
	clear(dqs)
	clear(dks)
	clear(dvs)
	for n := range N {
		for h := range H {
			query, do, o := a.query(n, h), dos[(n*H+h)*E:][:E], os[(n*H+h)*E:][:E]
			dQuery := dqs[(n*H+h)*E:][:E]
			for i, score := range a.scores(n, h) {
				m := a.start[n] + i
				kv := (m*G + h*G/H) * E
				p := math.Exp(score - l[n*H+h])
				ds := p * (dot(do, a.value(m, h)) - dot(do, o)) / math.Sqrt(float64(E))
				for e := range E {
					dvs[kv+e] += p * do[e]
					dQuery[e] += ds * a.key(m, h)[e]
					dks[kv+e] += ds * query[e]
				}
			}
		}
	}
}

// attention is the input of both directions.
type attention struct {
	N, H, G, E int
	q, k, v    []float64
	start      []int // [N] the first token of each token's segment
}

func newAttention(op string, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) attention {
	a := attention{N: s.Len(), E: headSize}
	a.H, a.G = heads(op, q, k, headSize)
	want(op, "q", q, a.N, a.H*a.E)
	want(op, "k", k, a.N, a.G*a.E)
	want(op, "v", v, a.N, a.G*a.E)
	a.q, a.k, a.v = values(q), values(k), values(v)
	for i := range s.Segments() {
		for n := s.Starts[i]; n < s.Starts[i+1]; n++ {
			a.start = append(a.start, int(s.Starts[i]))
		}
	}
	wantLen(op, "Starts", len(a.start), a.N)
	return a
}

// heads is H and G, the number of query heads and of key/value heads, from the width of q and k.
func heads(op string, q, k gpu.Tensor, headSize int) (H, G int) {
	if headSize <= 0 || q.Cols%headSize != 0 || k.Cols%headSize != 0 || k.Cols == 0 || q.Cols%k.Cols != 0 {
		panic(fmt.Sprintf("ref: %s: heads of %d in queries of %d and keys of %d", op, headSize, q.Cols, k.Cols))
	}
	return q.Cols / headSize, k.Cols / headSize
}

func (a attention) query(n, h int) []float64 { return a.q[(n*a.H+h)*a.E:][:a.E] }
func (a attention) key(m, h int) []float64   { return a.k[(m*a.G+h*a.G/a.H)*a.E:][:a.E] }
func (a attention) value(m, h int) []float64 { return a.v[(m*a.G+h*a.G/a.H)*a.E:][:a.E] }

// scores holds q[n,h]·k[m]/√E for m from the start of n's segment to n itself.
func (a attention) scores(n, h int) []float64 {
	var scores []float64
	for m := a.start[n]; m <= n; m++ {
		scores = append(scores, dot(a.query(n, h), a.key(m, h))/math.Sqrt(float64(a.E)))
	}
	return scores
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// logSumExp is log Σ exp(z[i]), with the maximum taken out so that nothing overflows.
func logSumExp(z []float64) float64 {
	greatest := math.Inf(-1)
	for _, v := range z {
		greatest = max(greatest, v)
	}
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(v - greatest)
	}
	return greatest + math.Log(sum)
}
