package dataset

import (
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/ngram"
)

// evaluations knows every run of n words of the evaluation sets, by a 64-bit hash: among 10^12 words of training data and
// 10^6 of evaluation data one document is dropped without cause with probability 0.05. It takes about 40 bytes of memory
// a word of the sets.
type evaluations struct {
	n     int
	texts map[uint64]int32 // hash of a run → index into where of the first document that has it
	where []evaluation
	maybe []uint64 // a bit for each hash by its lowest bits: spares most look-ups
}

// An evaluation is one document of an evaluation set.
type evaluation struct {
	Set      string `json:"set"` // "against[0]"
	Split    string `json:"split"`
	Document int    `json:"document"` // from 1
}

func (e evaluation) String() string {
	return fmt.Sprintf("document %d of %s (%s)", e.Document, e.Set, e.Split)
}

// readEvaluations reads the sets; nil if none are asked for.
func readEvaluations(rt *steps.Runtime, c *Decontaminate) (*evaluations, error) {
	if c == nil {
		return nil, nil
	}
	e := &evaluations{n: c.Ngram, texts: map[uint64]int32{}}
	var words []ngram.Word
	var runs []uint64
	for i, artifact := range c.Against {
		set := fmt.Sprintf("against[%d]", i)
		short, documents := 0, 0
		data, err := corpus.Open(artifact.Path)
		if err != nil {
			return nil, steps.Blame("decontaminate."+set, "%w", err)
		}
		for _, split := range []string{corpus.Train, corpus.Holdout} {
			number := 0
			for d, err := range data.Documents(split) {
				if err != nil {
					return nil, steps.Blame("decontaminate."+set, "%w", err)
				}
				number++
				documents++
				e.where = append(e.where, evaluation{set, split, number})
				before := len(runs)
				for text := range d.Strings {
					words = ngram.AppendWords(words[:0], text)
					runs = ngram.AppendHashes(runs, words, e.n)
				}
				if len(runs) == before {
					short++
				}
				for _, h := range runs {
					if _, ok := e.texts[h]; !ok {
						e.texts[h] = int32(len(e.where) - 1)
					}
				}
				runs = runs[:0]
			}
		}
		if short > 0 {
			rt.Warn("decontaminate: %d of %d documents of %s have no %d words in a row and cannot be found: lower ngram to find shorter ones", short, documents, set, e.n)
		}
	}
	size := 1 << 10
	for size < len(e.texts)/4 { // 16 bits a run, or more
		size *= 2
	}
	e.maybe = make([]uint64, size)
	for h := range e.texts {
		bit := h & uint64(64*size-1)
		e.maybe[bit/64] |= 1 << (bit % 64)
	}
	return e, nil
}

// A match is a piece of an evaluation set in a document.
type match struct {
	evaluation int    // index into where
	text       string // of the document
}

// find looks for the first run of words in the text that an evaluation set has too.
func (e *evaluations) find(text string, runs []uint64, words []ngram.Word) (match, bool) {
	for i, h := range runs {
		bit := h & uint64(64*len(e.maybe)-1)
		if e.maybe[bit/64]&(1<<(bit%64)) == 0 {
			continue
		}
		if at, ok := e.texts[h]; ok {
			return match{int(at), text[words[i].Start:words[i+e.n-1].End]}, true
		}
	}
	return match{}, false
}
