package ref

import (
	"cmp"
	"math"
	"slices"

	"athanor/gpu"
)

var _ gpu.Sampler = Device{}

// Sample follows gpu.Draw word for word: it sorts the tokens of each row, keeps the first of them, and walks through these
// in the order of ids. With w[v] = e^((z[v] − max z) / temperature),
//
//	logp = log( w[id] / Σ_kept w )
func (Device) Sample(ids []int32, logp []float64, logits gpu.Tensor, draws []gpu.Draw) error {
	wantLen("Sample", "ids", len(ids), logits.Rows)
	wantLen("Sample", "logp", len(logp), logits.Rows)
	wantLen("Sample", "draws", len(draws), logits.Rows)
	z, V := values(logits), logits.Cols
	for n, d := range draws {
		ids[n], logp[n] = sample(z[n*V:][:V], d)
	}
	return nil
}

func sample(z []float64, d gpu.Draw) (id int32, logp float64) {
	likeliest := make([]int32, len(z))
	for v := range z {
		if likeliest[v] = int32(v); math.IsNaN(z[v]) {
			return -1, 0
		}
	}
	slices.SortStableFunc(likeliest, func(a, b int32) int { return cmp.Compare(z[b], z[a]) })
	most := z[likeliest[0]]
	if math.IsInf(most, 0) {
		return -1, 0
	}
	temperature := d.Temperature
	if temperature == 0 {
		temperature = 1
	}
	weights, total := make([]float64, len(z)), 0.0
	for v := range z {
		weights[v] = math.Exp((z[v] - most) / temperature)
		total += weights[v]
	}
	if d.Temperature == 0 {
		return likeliest[0], math.Log(weights[likeliest[0]] / total)
	}

	kept, sum := 0, 0.0
	for kept < len(z) {
		sum += weights[likeliest[kept]]
		kept++
		if kept == d.TopK || d.TopP > 0 && d.TopP < 1 && sum >= d.TopP*total {
			break
		}
	}
	inOrder := slices.Sorted(slices.Values(likeliest[:kept]))
	sum = 0
	for _, v := range inOrder {
		sum += weights[v]
	}
	running := 0.0
	for _, v := range inOrder {
		if weights[v] == 0 {
			continue
		}
		id = v
		if running += weights[v]; running > d.Uniform*sum {
			break
		}
	}
	return id, math.Log(weights[id] / sum)
}
