package hardware

import "athanor/steps"

// Memory is what the fullest of the GPUs holds while a step trains, in bytes. What a framework needs for itself and for
// messages between GPUs is not in it, and logits are taken to be made in pieces, never as a whole.
type Memory struct {
	Weights     float64 `json:"weights"`
	Gradients   float64 `json:"gradients"`
	Optimizer   float64 `json:"optimizer"`
	Activations float64 `json:"activations"`
	Total       float64 `json:"total"`
	Fits        bool    `json:"fits"`
}

// Bytes of one weight in mixed precision (arXiv 1710.03740; gradients are summed in float32, as Llama 3 does, arXiv
// 2407.21783, section 3.3.2).
const (
	weightBytes     = 2 // bfloat16
	gradientBytes   = 4
	optimizerBytes  = 12 // float32: the weight itself and AdamW's two moments
	activationBytes = 2
)

// shape is the shape of a model, in the letters of package gpu.
type shape struct{ V, D, F, L, H, G, E float64 }

func shapeOf(facts map[string]float64) (shape, bool) {
	s := shape{
		V: facts["vocab_size"], D: facts["dim"], F: facts["ffn"], L: facts["n_layer"],
		H: facts["n_head"], G: facts["n_kv_head"], E: facts["head_dim"],
	}
	return s, s.V > 0 && s.D > 0 && s.F > 0 && s.L > 0 && s.H > 0 && s.G > 0 && s.E > 0
}

// layer counts the weights of a layer.
func (m shape) layer() float64 { return 2*m.D*m.E*(m.H+m.G) + 3*m.D*m.F + 2*m.D }

// kept is how many bytes of activations a layer keeps per token for its backward. In all cases attention keeps queries,
// keys, values, its output, and in float32 the logarithm of the sum of each head's softmax (FlashAttention, arXiv
// 2205.14135), and the residual stream is kept before each half of the layer.
func (m shape) kept(recompute string) float64 {
	attention := activationBytes*(2*m.H*m.E+2*m.G*m.E) + 4*m.H
	switch recompute {
	case "full":
		return activationBytes * m.D
	case "selective":
		return attention + activationBytes*(2*m.D+2*m.F)
	}
	return attention + activationBytes*(4*m.D+3*m.F)
}

// memory works the memory out for the fullest GPU. It reports false if the shape of the model is not known.
//
// Layers are shared as evenly as whole layers can, the embedding table and the head counting as one layer each, as in
// Llama 3. With the schedule 1F1B (arXiv 2104.04473) the first group has a micro-batch in flight for every group.
func (s *Setup) memory(e steps.Estimate) (Memory, bool) {
	m, ok := shapeOf(e.Facts)
	if !ok {
		return Memory{}, false
	}
	table := m.V * m.D
	layers, weights := m.L, float64(e.Parameters)
	if p := float64(s.Pipeline); p > 1 {
		layers = ceil((m.L + 2) / p)
		weights = max(layers*m.layer(), (layers-1)*m.layer()+table+m.D)
	}
	weights /= float64(s.Tensor)
	trained := weights * float64(e.Training.Trained)
	if a := e.Training.Adapters; a > 0 { // they lie beside the matrices of every layer
		trained *= float64(a) / float64(e.Parameters)
	}
	all := weights * float64(e.Training.Trained+e.Training.Frozen)

	tokens := ceil(float64(s.Sequences*e.Training.Context) / float64(s.Context*s.Tensor))
	activations := tokens * layers * float64(s.Pipeline) * m.kept(s.Recompute)
	if s.Recompute == "full" { // one layer at a time is computed again
		activations += tokens * m.kept("none")
	}
	shares := float64(s.Data * s.Context)
	r := Memory{
		Weights:     all * weightBytes / sharedBy(shares, s.Sharding, "weights"),
		Gradients:   trained * gradientBytes / sharedBy(shares, s.Sharding, "weights", "gradients"),
		Optimizer:   trained * optimizerBytes / sharedBy(shares, s.Sharding, "weights", "gradients", "optimizer"),
		Activations: activations * float64(e.Training.Trained),
	}
	if s.Sharding == "weights" { // the layer at work and the next one are whole
		r.Weights += 2 * m.layer() * weightBytes / float64(s.Tensor)
	}
	r.Total = r.Weights + r.Gradients + r.Optimizer + r.Activations
	r.Fits = r.Total <= s.Memory
	return r, true
}

// sharedBy is by how many GPUs something is shared: by so many under some kinds of sharding, else by one.
func sharedBy(shares float64, sharding string, kinds ...string) float64 {
	for _, kind := range kinds {
		if kind == sharding {
			return shares
		}
	}
	return 1
}

func ceil(x float64) float64 {
	if whole := float64(int64(x)); whole < x {
		return whole + 1
	}
	return x
}
