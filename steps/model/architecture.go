package model

import (
	"fmt"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/llm"
)

// presets holds the dimensions that a recipe can name: of Llama 3 (arXiv 2407.21783, table 3), of the two text models
// of Llama 3.2 as their config.json states them, and three of our own for small machines.
var presets = map[string]llm.Config{
	"llama3-405b": {NumHiddenLayers: 126, HiddenSize: 16384, IntermediateSize: 53248, NumAttentionHeads: 128, NumKeyValueHeads: 8, VocabSize: 128256},
	"llama3-70b":  {NumHiddenLayers: 80, HiddenSize: 8192, IntermediateSize: 28672, NumAttentionHeads: 64, NumKeyValueHeads: 8, VocabSize: 128256},
	"llama3-8b":   {NumHiddenLayers: 32, HiddenSize: 4096, IntermediateSize: 14336, NumAttentionHeads: 32, NumKeyValueHeads: 8, VocabSize: 128256},
	"llama3.2-3b": {NumHiddenLayers: 28, HiddenSize: 3072, IntermediateSize: 8192, NumAttentionHeads: 24, NumKeyValueHeads: 8, VocabSize: 128256, TieWordEmbeddings: true},
	"llama3.2-1b": {NumHiddenLayers: 16, HiddenSize: 2048, IntermediateSize: 8192, NumAttentionHeads: 32, NumKeyValueHeads: 8, VocabSize: 128256, TieWordEmbeddings: true},
	"small":       {NumHiddenLayers: 12, HiddenSize: 768, IntermediateSize: 2048, NumAttentionHeads: 12, NumKeyValueHeads: 4, TieWordEmbeddings: true},
	"mini":        {NumHiddenLayers: 6, HiddenSize: 192, IntermediateSize: 512, NumAttentionHeads: 6, NumKeyValueHeads: 2, TieWordEmbeddings: true},
	"tiny":        {NumHiddenLayers: 2, HiddenSize: 64, IntermediateSize: 192, NumAttentionHeads: 4, NumKeyValueHeads: 2, TieWordEmbeddings: true},
}

// architecture returns the configuration of the model. vocab is the size of the tokenizer, 0 where it is not known; if
// no attribute says the size of the vocabulary either, it is 0 in the answer and nothing else is missing.
func (c *Config) architecture(s *steps.Spec, vocab int) (llm.Config, error) {
	var a llm.Config
	var err error
	if c.From != nil {
		a, err = c.foreign(s)
	} else {
		a, err = c.own()
	}
	if err != nil {
		return a, err
	}
	switch {
	case a.VocabSize < vocab && c.From != nil:
		return a, steps.Blame("tokenizer", "the tokenizer has %d tokens and the model of `from` knows %d: it needs its own tokenizer; leave `tokenizer` out", vocab, a.VocabSize)
	case a.VocabSize < vocab && c.VocabSize != nil:
		return a, steps.Blame("vocab_size", "the tokenizer has %d tokens, more than vocab_size %d: leave vocab_size out, or set it to %d or more", vocab, a.VocabSize, vocab)
	case c.From == nil && c.VocabSize == nil && !c.Tokenizer.IsZero():
		a.VocabSize = vocab
	}
	return a, nil
}

// foreign reads the configuration of the folder that from names.
func (c *Config) foreign(s *steps.Spec) (llm.Config, error) {
	for _, attribute := range []struct {
		name string
		set  bool
	}{
		{"preset", c.Preset != nil}, {"n_layer", c.Layers != nil}, {"dim", c.Dim != nil}, {"ffn", c.FFN != nil},
		{"n_head", c.Heads != nil}, {"n_kv_head", c.KVHeads != nil}, {"vocab_size", c.VocabSize != nil},
		{"max_context", c.MaxContext != nil}, {"rope_theta", c.RopeTheta != nil}, {"rms_norm_eps", c.RMSNormEps != nil},
		{"tie_embeddings", c.TieEmbeddings != nil}, {"init_std", c.InitStd != nil}, {"mup", c.MuP != nil},
	} {
		if attribute.set {
			return llm.Config{}, steps.Blame(attribute.name,
				"the model comes from %s, whose config.json says what it is: leave %s out, or leave out `from`", *c.From, attribute.name)
		}
	}
	a, err := llm.ReadConfig(s.Resolve(*c.From))
	if err != nil {
		return a, steps.Blame("from", "%w", err)
	}
	return a, nil
}

// own builds the configuration from the preset and the attributes.
func (c *Config) own() (llm.Config, error) {
	var a llm.Config
	if c.Preset != nil {
		a = presets[*c.Preset]
	}
	if c.Tokenizer.IsZero() && c.VocabSize == nil && a.VocabSize == 0 {
		return a, steps.Blame("tokenizer", "the model needs a tokenizer, or a vocab_size if its tokens are made elsewhere")
	}
	a.NumHiddenLayers = or(c.Layers, a.NumHiddenLayers)
	if c.Dim != nil && *c.Dim != a.HiddenSize { // the preset's other widths belong to its own
		a.HiddenSize, a.IntermediateSize, a.NumAttentionHeads, a.NumKeyValueHeads = *c.Dim, 0, 0, 0
	}
	switch {
	case a.NumHiddenLayers == 0:
		return a, steps.Blame("n_layer", "the model needs n_layer, or a preset")
	case a.HiddenSize == 0:
		return a, steps.Blame("dim", "the model needs dim, or a preset")
	}
	a.IntermediateSize = or(c.FFN, a.IntermediateSize)
	if a.IntermediateSize == 0 {
		a.IntermediateSize = (8*a.HiddenSize/3 + 31) / 32 * 32
	}
	if c.Heads != nil && *c.Heads != a.NumAttentionHeads {
		a.NumAttentionHeads, a.NumKeyValueHeads = *c.Heads, 0
	}
	if err := c.heads(&a); err != nil {
		return a, err
	}
	a.VocabSize = or(c.VocabSize, a.VocabSize)
	a.MaxPositionEmbeddings = or(c.MaxContext, 8192)
	a.RopeTheta = or(c.RopeTheta, 500_000)
	a.RMSNormEps = or(c.RMSNormEps, 1e-5)
	a.TieWordEmbeddings = or(c.TieEmbeddings, a.TieWordEmbeddings)
	a.InitializerRange = or(c.InitStd, 0.02)
	if c.MuP != nil {
		a.MuPBase = c.MuP.BaseDim
	}
	switch {
	case !(a.RopeTheta > 1):
		return a, steps.Blame("rope_theta", "rope_theta is %g: it must be more than 1; Llama 3 has 500000", a.RopeTheta)
	case !(a.RMSNormEps > 0):
		return a, steps.Blame("rms_norm_eps", "rms_norm_eps is %g: it must be more than 0; Llama 3 has 1e-5", a.RMSNormEps)
	}
	return a, nil
}

// heads settles the heads: their number where it is left out, and whether it fits.
func (c *Config) heads(a *llm.Config) error {
	if a.NumAttentionHeads == 0 {
		all := headCounts(a.HiddenSize)
		if len(all) == 0 {
			return steps.Blame("dim", "dim %d is odd: the size of a head must be even for rotary embeddings, so dim must be as well", a.HiddenSize)
		}
		for _, n := range all {
			a.NumAttentionHeads = n
			if a.HiddenSize/n <= 64 {
				break
			}
		}
	}
	h := a.NumAttentionHeads
	if a.HiddenSize%h != 0 || a.HiddenSize/h%2 != 0 {
		return steps.Blame(blamed(c.Heads != nil, "n_head", "dim"),
			"dim %d cannot be shared by %d heads: the size of a head must be whole and even. %s",
			a.HiddenSize, h, remedy("n_head", headCounts(a.HiddenSize), h))
	}
	a.HeadDim = a.HiddenSize / h
	a.NumKeyValueHeads = or(c.KVHeads, a.NumKeyValueHeads)
	if a.NumKeyValueHeads == 0 {
		a.NumKeyValueHeads = h
	}
	if h%a.NumKeyValueHeads != 0 {
		return steps.Blame(blamed(c.KVHeads != nil, "n_kv_head", "n_head"),
			"n_head %d is no multiple of n_kv_head %d: the same number of query heads must share each. %s",
			h, a.NumKeyValueHeads, remedy("n_kv_head", divisors(h), a.NumKeyValueHeads))
	}
	return nil
}

// blamed is the attribute to show: the first if the block has it.
func blamed(has bool, first, otherwise string) string {
	if has {
		return first
	}
	return otherwise
}

// remedy names the possible values next to the one that was given.
func remedy(name string, possible []int, given int) string {
	if len(possible) == 0 {
		return "Make dim even"
	}
	below, above := 0, 0
	for _, v := range possible {
		if v < given {
			below = v
		} else if above == 0 {
			above = v
		}
	}
	var near []string
	for _, v := range []int{below, above} {
		if v > 0 {
			near = append(near, fmt.Sprint(v))
		}
	}
	return fmt.Sprintf("The nearest possible %s: %s", name, strings.Join(near, " or "))
}

// headCounts lists the numbers of heads that give heads of a whole and even size, in ascending order.
func headCounts(dim int) []int {
	if dim%2 != 0 {
		return nil
	}
	return divisors(dim / 2)
}

func divisors(n int) []int {
	var list []int
	for d := 1; d <= n; d++ {
		if n%d == 0 {
			list = append(list, d)
		}
	}
	return list
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
