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

	// Documents with fewer than n words in a row, by the hash of all their words: a document that equals one is found.
	short   map[uint64]int32
	longest int // words of such a document

	sizes []int // documents of each set
}

// An evaluation is one document of an evaluation set.
type evaluation struct {
	Set      string `json:"set"` // "against[0]"
	Split    string `json:"split"`
	Document int    `json:"document"` // from 1

	set int // index into against
}

func (e evaluation) String() string {
	return fmt.Sprintf("document %d of %s (%s)", e.Document, e.Set, e.Split)
}

// readEvaluations reads the sets; nil if none are asked for.
func readEvaluations(rt *steps.Runtime, c *Decontaminate) (*evaluations, error) {
	if c == nil {
		return nil, nil
	}
	e := &evaluations{n: c.Ngram, texts: map[uint64]int32{}, short: map[uint64]int32{}}
	var words, all []ngram.Word
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
				e.where = append(e.where, evaluation{set, split, number, i})
				all = all[:0]
				for text := range d.Strings {
					words = ngram.AppendWords(words[:0], text)
					all = append(all, words...)
					runs = ngram.AppendHashes(runs, words, e.n)
				}
				if len(runs) == 0 {
					short++
					e.addShort(all)
				}
				for _, h := range runs {
					if _, ok := e.texts[h]; !ok {
						e.texts[h] = int32(len(e.where) - 1)
					}
				}
				runs = runs[:0]
			}
		}
		e.sizes = append(e.sizes, documents)
		if short > 0 {
			rt.Warn("decontaminate: %d of %d documents of %s have no %d words in a row: only documents that equal them are found. Lower ngram to find pieces of them", short, documents, set, e.n)
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

// addShort remembers the last document by all its words.
func (e *evaluations) addShort(words []ngram.Word) {
	for _, h := range ngram.AppendHashes(nil, words, len(words)) {
		if _, ok := e.short[h]; !ok {
			e.short[h] = int32(len(e.where) - 1)
		}
	}
	e.longest = max(e.longest, len(words))
}

// A match is a piece of an evaluation set in a document.
type match struct {
	evaluation int    // index into where
	text       string // of the document
}

// find looks for the first run of words in the text that an evaluation set has too, or for a short document that it equals.
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
	if n := len(words); n > 0 && n <= e.longest {
		if at, ok := e.short[ngram.AppendHashes(nil, words, n)[0]]; ok {
			return match{int(at), text[words[0].Start:words[n-1].End]}, true
		}
	}
	return match{}, false
}

// fewestFound is how many documents of a set must be found before their share says that the set is among the sources.
const fewestFound = 10

// among returns an error if a larger share of a set than allowed is in the data. found are the documents that were.
func (e *evaluations) among(c *Decontaminate, found map[int]int64) error {
	counts := make([]int, len(c.Against))
	for i := range found {
		counts[e.where[i].set]++
	}
	for set, n := range counts {
		if share := float64(n) / float64(e.sizes[set]); n >= fewestFound && share > c.MaxFound {
			return steps.Blame(fmt.Sprintf("decontaminate.against[%d]", set),
				"%d of the %d documents of this evaluation set are in the data (%.0f %%): the set itself is among the sources. Leave it out of them, or set max_found = 1 to drop what is found and go on",
				n, e.sizes[set], 100*share)
		}
	}
	return nil
}
