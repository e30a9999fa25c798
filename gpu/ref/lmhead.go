package ref

import (
	"math"

	"athanor/gpu"
)

// LMHead sets, for each token n with a target t and z[v] = x[n]·w[v] / temperature:
//
//	lse[n]  = log Σ_v e^z[v]
//	logp[n] = z[t] − lse[n]
func (dev Device) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, temperature float64) error {
	checkLMHead("LMHead", x, w, s)
	wantLen("LMHead", "logp", len(logp), s.Len())
	if lse != nil {
		wantLen("LMHead", "lse", len(lse), s.Len())
	}
	D, xs, ws := w.Cols, dev.factors(x), dev.factors(w)
	clear(logp)
	clear(lse)
	for n, target := range s.Targets {
		if target == gpu.NoTarget {
			continue
		}
		z := logits(xs[n*D:][:D], ws, temperature)
		sum := logSumExp(z)
		logp[n] = z[target] - sum
		if lse != nil {
			lse[n] = sum
		}
	}
	return nil
}

// LMHeadBackward follows from this: with p[v] = e^(z[v] − lse[n]), the derivatives of logp[n] and lse[n] with respect
// to z[v] are [v = t] − p[v] and p[v], so
//
//	dz[v]   = ( dLogp[n]·([v = t] − p[v]) + dLSE[n]·p[v] ) / temperature
//	dx[n]   = Σ_v dz[v]·w[v]
//	dw[v]  += dz[v]·x[n]
//
// A token without a target contributes nothing: its dx is 0.
func (dev Device) LMHeadBackward(dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, dLogp, dLSE []float64) {
	checkLMHead("LMHeadBackward", x, w, s)
	N, V, D := s.Len(), w.Rows, w.Cols
	want("LMHeadBackward", "dx", dx, N, D)
	wantOptional("LMHeadBackward", "dw", dw, V, D)
	wantLen("LMHeadBackward", "dLogp", len(dLogp), N)
	if dLSE == nil {
		dLSE = make([]float64, N)
	}
	wantLen("LMHeadBackward", "dLSE", len(dLSE), N)
	dxs, dws, xs, ws := values(dx), optional(dw, V*D), dev.factors(x), dev.factors(w)
	clear(dxs)
	for n, target := range s.Targets {
		if target == gpu.NoTarget {
			continue
		}
		z := logits(xs[n*D:][:D], ws, temperature)
		sum := logSumExp(z)
		for v := range V {
			p := math.Exp(z[v] - sum)
			dz := (dLSE[n] - dLogp[n]) * p
			if v == int(target) {
				dz += dLogp[n]
			}
			dz = dev.factor(dz / temperature)
			for d := range D {
				dxs[n*D+d] += dz * ws[v*D+d]
				dws[v*D+d] += dz * xs[n*D+d]
			}
		}
	}
}

// logits is x·wᵀ/temperature of one token.
func logits(x, w []float64, temperature float64) []float64 {
	z := make([]float64, len(w)/len(x))
	for v := range z {
		z[v] = dot(x, w[v*len(x):][:len(x)]) / temperature
	}
	return z
}

func checkLMHead(op string, x, w gpu.Tensor, s *gpu.Stream) {
	want(op, "x", x, s.Len(), w.Cols)
	wantLen(op, "Targets", len(s.Targets), s.Len())
	for _, target := range s.Targets {
		if target != gpu.NoTarget {
			wantBelow(op, "target", target, w.Rows)
		}
	}
}
