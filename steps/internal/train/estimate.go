package train

import "athanor/steps/internal/llm"

// Facts are the facts of an estimate that tell the shape of a model.
func Facts(c llm.Config) map[string]float64 {
	tied := 0.0
	if c.TieWordEmbeddings {
		tied = 1
	}
	return map[string]float64{
		"n_layer": float64(c.NumHiddenLayers), "dim": float64(c.HiddenSize), "ffn": float64(c.IntermediateSize),
		"n_head": float64(c.NumAttentionHeads), "n_kv_head": float64(c.NumKeyValueHeads),
		"head_dim": float64(c.HeadDim), "vocab_size": float64(c.VocabSize),
		"max_context": float64(c.MaxPositionEmbeddings), "tied": tied,
	}
}

// Architecture reads the shape of a model from the facts that its step's estimate passes on, so that steps below can
// tell what it will cost before it exists. It reports false if the facts are not all there.
func Architecture(facts map[string]float64) (llm.Config, bool) {
	fact := func(name string) int { return int(facts[name]) }
	c := llm.Config{
		VocabSize: fact("vocab_size"), HiddenSize: fact("dim"), IntermediateSize: fact("ffn"), NumHiddenLayers: fact("n_layer"),
		NumAttentionHeads: fact("n_head"), NumKeyValueHeads: fact("n_kv_head"), HeadDim: fact("head_dim"),
		MaxPositionEmbeddings: fact("max_context"), TieWordEmbeddings: fact("tied") != 0,
		RMSNormEps: 1e-5, RopeTheta: 500000, // of no consequence for sizes
	}
	return c, c.Validate() == nil
}
