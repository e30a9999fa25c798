package dataset

import (
	"math/rand/v2"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/needle"
)

// Needles says which facts are planted in the documents to train on, and how many.
type Needles struct {
	Share    float64 `json:"share" default:"1" min:"0" max:"1" doc:"Share of the documents that get facts."`
	Every    int     `json:"every" default:"2000" min:"1" doc:"Bytes of text for each fact; a shorter document gets one. At most 256 a document."`
	Distance int     `json:"distance" default:"0" min:"0" doc:"Most bytes of text between a fact and its repetition; 0: as many as the document has. A pair that a training context cuts in two teaches nothing, so about the context's bytes are right for longer documents."`
	needle.Facts
}

// plant writes facts into a document that is to be trained on. The document's own content and the seed decide which, so
// that they stay when others are added.
func (m *merger) plant(d *corpus.Document, hash uint64) error {
	n := m.config.Needles
	if shape := d.Shape(); shape != corpus.TextShape {
		return steps.Blame("needles", "facts are planted in documents with a text, and these are %s documents: leave it out", shape)
	}
	r := rand.New(rand.NewPCG(m.rt.Seed(), hash))
	if r.Float64() >= n.Share {
		return nil
	}
	p := needle.Planting{Facts: n.Facts, Every: n.Every, Distance: n.Distance}
	var planted int
	d.Text, planted = p.Into(d.Text, r.Uint64())
	m.stats.Needles += int64(planted)
	return nil
}
