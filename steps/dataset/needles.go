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
	Length   int     `json:"length" default:"0" min:"0" doc:"Cuts a document that gets facts into documents of about so many bytes, each with facts of its own; 0: whole. Facts that a training context cuts from their repetition teach nothing, and pieces that are too short leave the end of the context without practice: best are pieces that are about as long as the context with their facts."`
	Distance int     `json:"distance" default:"0" min:"0" doc:"Most bytes of text between a fact and its last repetition; 0: as many as the document has. With length = 0, about the context's bytes are right for longer documents."`
	Repeats  int     `json:"repeats" default:"1" min:"1" max:"64" doc:"Most times that a fact is said again; each fact's own number is drawn evenly from 1 to this; three facts in sixteen are said again once only, two of them as far away as can be, one at once. From the second time on its value is known from the text, so more of them are more practice."`
	needle.Facts
}

// plant writes facts into a document that is to be trained on and returns the documents that it becomes. Its own content
// and the seed decide which facts, so that they stay when others are added.
func (m *merger) plant(d *corpus.Document, hash uint64) ([]corpus.Document, error) {
	n := m.config.Needles
	if shape := d.Shape(); shape != corpus.TextShape {
		return nil, steps.Blame("needles", "facts are planted in documents with a text, and these are %s documents: leave it out", shape)
	}
	r := rand.New(rand.NewPCG(m.rt.Seed(), hash))
	if r.Float64() >= n.Share {
		return []corpus.Document{*d}, nil
	}
	p := needle.Planting{Facts: n.Facts, Every: n.Every, Distance: n.Distance, Repeats: n.Repeats}
	var documents []corpus.Document
	for _, piece := range needle.Cut(d.Text, n.Length) {
		document := *d
		var planted int
		document.Text, planted = p.Into(piece, r.Uint64())
		documents = append(documents, document)
		m.stats.Needles += int64(planted)
	}
	return documents, nil
}
