package train

import "athanor/steps/internal/llm"

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
