package dataset

import (
	"fmt"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/minhash"
	"athanor/steps/internal/ngram"
)

// A screen is what every document goes through by itself, whatever the others are: the filters, the evaluation sets, and
// the keys by which near-copies are found. Several workers use it.
type screen struct {
	*filter
	evaluations *evaluations    // nil without decontaminate
	near        *minhash.Scheme // nil without dedup.near
	ngram       int
}

func newScreen(rt *steps.Runtime, c *Config) (*screen, error) {
	f, err := newFilter(c.Filter)
	if err != nil {
		return nil, err
	}
	s := &screen{filter: f}
	if s.evaluations, err = readEvaluations(rt, c.Decontaminate); err != nil {
		return nil, err
	}
	if c.Dedup != nil && c.Dedup.Near != nil {
		s.near, s.ngram = minhash.New(c.Dedup.Buckets, c.Dedup.Hashes), c.Dedup.Ngram
	}
	return s, nil
}

// A result is what came of a record: a document, or a reason against it.
type result struct {
	doc    corpus.Document
	hash   [32]byte
	keys   []uint64 // of dedup.near
	drop   string   // the filter that dropped it
	figure string   // for which it did
	match  *match   // with an evaluation set
	bad    error    // it is no document
}

// A worker puts records through the screen, with memory of its own.
type worker struct {
	*screen
	words []ngram.Word
	runs  []uint64
}

// process parses and screens a record.
func (w *worker) process(src *source, rec *record) result {
	if rec.bad != nil {
		return result{bad: rec.bad}
	}
	d, shape := rec.doc, src.shape
	if rec.json != nil {
		// A JSON decoder replaces what is not UTF-8 without a word.
		if w.InvalidUTF8 != "replace" && !utf8.Valid(rec.json) {
			return result{drop: dropUTF8, doc: corpus.Document{Text: string(rec.json)}}
		}
		var err error
		if d, shape, err = src.parse(rec.json); err != nil {
			return result{bad: err}
		}
	} else {
		if shape == "" || shape == corpus.PreferenceShape && d.Shape() == corpus.DialoguePreferenceShape {
			shape = d.Shape() // what a column of prompts holds is seen when it is read
		}
		d = d.Only(shape)
	}
	for i, m := range d.Messages {
		if role, ok := src.columns.Roles[m.Role]; ok {
			d.Messages[i].Role = role
		}
	}
	if !w.repair(&d) {
		return result{drop: dropUTF8, doc: d}
	}
	text := whole(&d)
	if why, figure := w.reason(text); why != "" {
		return result{drop: why, figure: figure, doc: d}
	}
	if d.Shape() != shape {
		return result{bad: fmt.Errorf("one of the columns of a %s document is empty", shape)}
	}
	if w.evaluations == nil && w.near == nil {
		return result{doc: d, hash: d.Hash()}
	}
	w.words = ngram.AppendWords(w.words[:0], text)
	if e := w.evaluations; e != nil {
		w.runs = ngram.AppendHashes(w.runs[:0], w.words, e.n)
		if m, ok := e.find(text, w.runs, w.words); ok {
			figure := fmt.Sprintf("%q is in %s", m.text, e.where[m.evaluation])
			return result{drop: dropEvaluation, figure: figure, match: &m, doc: d}
		}
	}
	r := result{doc: d, hash: d.Hash()}
	if w.near != nil {
		w.runs = runs(w.runs[:0], w.words, w.ngram)
		r.keys = w.near.AppendKeys(make([]uint64, 0, w.near.Buckets()), w.runs)
	}
	return r
}

// runs are the hashes of every n words in a row; of a shorter text the one of all its words.
func runs(dst []uint64, words []ngram.Word, n int) []uint64 {
	return ngram.AppendHashes(dst, words, min(n, len(words)))
}
