package ref_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// A torchCase is one operator with PyTorch's values; testdata/torch_values.py makes them.
type torchCase struct {
	Op    string
	Sizes map[string]int
	In    map[string][]float64
	Out   map[string][]float64
}

// TestTorch compares every operator, forward and backward, with PyTorch in float64.
func TestTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/torch.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []torchCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	operators := map[string]func(l *lab, c torchCase) map[string][]float64{
		"Embed": torchEmbed, "RMSNorm": torchRMSNorm, "Linear": torchLinear, "Rope": torchRope,
		"Attention": torchAttention, "SwiGLU": torchSwiGLU, "LMHead": torchLMHead, "AdamW": torchAdamW,
	}
	seen := map[string]bool{}
	for i, c := range cases {
		seen[c.Op] = true
		t.Run(fmt.Sprintf("%s/%d", c.Op, i), func(t *testing.T) {
			l := newLab(t)
			got := operators[c.Op](l, c)
			for name, want := range c.Out {
				l.near(name, got[name], want, 1e-12)
			}
		})
	}
	for op := range operators {
		if !seen[op] {
			t.Errorf("no values for %s", op)
		}
	}
}

func torchEmbed(l *lab, c torchCase) map[string][]float64 {
	N, V, D := c.Sizes["N"], c.Sizes["V"], c.Sizes["D"]
	s := &gpu.Stream{IDs: integers(c.In["ids"])}
	out, dTable := l.zeros(N, D), l.zeros(V, D)
	l.Embed(out, l.of(V, D, c.In["table"]), s)
	l.EmbedBackward(dTable, l.of(N, D, c.In["dOut"]), s)
	return map[string][]float64{"out": ref.Float64(out), "dTable": ref.Float64(dTable)}
}

func torchRMSNorm(l *lab, c torchCase) map[string][]float64 {
	N, D := c.Sizes["N"], c.Sizes["D"]
	x, weight := l.of(N, D, c.In["x"]), l.of(1, D, c.In["weight"])
	out, rstd, dx, dWeight := l.zeros(N, D), l.zeros(N, 1), l.zeros(N, D), l.zeros(1, D)
	l.RMSNorm(out, rstd, x, weight, float32(c.In["eps"][0]))
	l.RMSNormBackward(dx, dWeight, l.of(N, D, c.In["dOut"]), x, weight, rstd, l.of(N, D, c.In["add"]))
	return map[string][]float64{"out": ref.Float64(out), "dx": ref.Float64(dx), "dWeight": ref.Float64(dWeight)}
}

func torchLinear(l *lab, c torchCase) map[string][]float64 {
	N, I, O := c.Sizes["N"], c.Sizes["I"], c.Sizes["O"]
	x, w, dy := l.of(N, I, c.In["x"]), l.of(O, I, c.In["w"]), l.of(N, O, c.In["dy"])
	y, dx, dw := l.zeros(N, O), l.zeros(N, I), l.zeros(O, I)
	l.Linear(y, x, w, l.of(N, O, c.In["add"]))
	l.LinearBackwardInput(dx, dy, w, gpu.Tensor{})
	l.LinearBackwardWeight(dw, dy, x)
	return map[string][]float64{"y": ref.Float64(y), "dx": ref.Float64(dx), "dw": ref.Float64(dw)}
}

func torchRope(l *lab, c torchCase) map[string][]float64 {
	N, H, E := c.Sizes["N"], c.Sizes["H"], c.Sizes["E"]
	s := &gpu.Stream{}
	s.Append(make([]int32, N), make([]int32, N), c.Sizes["first"])
	r := &gpu.Rope{HeadSize: E, InvFreq: c.In["invFreq"], Scale: c.In["scale"][0]}
	x, dx := l.of(N, H*E, c.In["x"]), l.of(N, H*E, c.In["dOut"])
	l.Rope(x, r, s, false)
	l.Rope(dx, r, s, true)
	return map[string][]float64{"out": ref.Float64(x), "dx": ref.Float64(dx)}
}

func torchAttention(l *lab, c torchCase) map[string][]float64 {
	H, G, E := c.Sizes["H"], c.Sizes["G"], c.Sizes["E"]
	s := &gpu.Stream{}
	for _, n := range integers(c.In["lengths"]) {
		s.Append(make([]int32, n), make([]int32, n), 0)
	}
	N := s.Len()
	q, k, v := l.of(N, H*E, c.In["q"]), l.of(N, G*E, c.In["k"]), l.of(N, G*E, c.In["v"])
	out, lse := l.zeros(N, H*E), l.zeros(N, H)
	dq, dk, dv := l.zeros(N, H*E), l.zeros(N, G*E), l.zeros(N, G*E)
	l.Attention(out, lse, q, k, v, E, s)
	l.AttentionBackward(dq, dk, dv, l.of(N, H*E, c.In["dOut"]), out, lse, q, k, v, E, s)
	return map[string][]float64{
		"out": ref.Float64(out), "lse": ref.Float64(lse),
		"dq": ref.Float64(dq), "dk": ref.Float64(dk), "dv": ref.Float64(dv),
	}
}

func torchSwiGLU(l *lab, c torchCase) map[string][]float64 {
	N, F := c.Sizes["N"], c.Sizes["F"]
	gate, up := l.of(N, F, c.In["gate"]), l.of(N, F, c.In["up"])
	out, dGate, dUp := l.zeros(N, F), l.zeros(N, F), l.zeros(N, F)
	l.SwiGLUBackward(dGate, dUp, out, l.of(N, F, c.In["dOut"]), gate, up)
	return map[string][]float64{"out": ref.Float64(out), "dGate": ref.Float64(dGate), "dUp": ref.Float64(dUp)}
}

func torchLMHead(l *lab, c torchCase) map[string][]float64 {
	N, D, V := c.Sizes["N"], c.Sizes["D"], c.Sizes["V"]
	s := &gpu.Stream{IDs: make([]int32, N), Targets: integers(c.In["targets"])}
	x, w, temperature := l.of(N, D, c.In["x"]), l.of(V, D, c.In["w"]), c.In["temperature"][0]
	logp, lse, dx, dw := make([]float64, N), make([]float64, N), l.zeros(N, D), l.zeros(V, D)
	if err := l.LMHead(logp, lse, x, w, s, temperature); err != nil {
		l.t.Fatal(err)
	}
	l.LMHeadBackward(dx, dw, x, w, s, temperature, c.In["dLogp"], c.In["dLSE"])
	return map[string][]float64{"logp": logp, "lse": lse, "dx": ref.Float64(dx), "dw": ref.Float64(dw)}
}

func torchAdamW(l *lab, c torchCase) map[string][]float64 {
	n, hyper := c.Sizes["n"], c.In["hyper"]
	grad := l.zeros(1, n)
	tensors := []gpu.AdamWTensor{{
		Weight: l.of(1, n, c.In["weight"]), Grad: grad, M: l.zeros(1, n), V: l.zeros(1, n),
		LR: hyper[0], Decay: hyper[4],
	}}
	h := gpu.AdamWStep{Beta1: hyper[1], Beta2: hyper[2], Eps: hyper[3], GradScale: hyper[5]}
	for h.Step = 1; h.Step <= c.Sizes["steps"]; h.Step++ {
		ref.WriteFloat64(grad, c.In["grads"][(h.Step-1)*n:h.Step*n])
		l.AdamW(tensors, h)
	}
	return map[string][]float64{
		"weight": ref.Float64(tensors[0].Weight), "m": ref.Float64(tensors[0].M), "v": ref.Float64(tensors[0].V),
	}
}

func integers(values []float64) []int32 {
	out := make([]int32, len(values))
	for i, v := range values {
		out[i] = int32(v)
	}
	return out
}
