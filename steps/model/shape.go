package model

import "athanor/steps/internal/llm"

// Shape is the architecture of a model of vocab tokens that a block with these attributes would make. The block has no
// preset and no from.
func (c *Config) Shape(vocab int) (llm.Config, error) {
	own := *c
	own.VocabSize = &vocab
	return own.own()
}
