package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// badExamples is how many bad records are shown in stats.json.
const badExamples = 5

// A merger takes the results in order: it drops copies, splits, counts and writes.
type merger struct {
	rt       *steps.Runtime
	config   *Config
	writer   *corpus.Writer
	report   *report
	second   *second // nil unless dedup needs to see everything first
	progress *progress

	shape    corpus.Shape // of the first document
	seen     map[[16]byte]struct{}
	stats    corpus.Stats
	train    corpus.Split
	holdout  corpus.Split
	firstBad error
}

func newMerger(rt *steps.Runtime, c *Config, sc *screen) (*merger, error) {
	m := &merger{rt: rt, config: c, seen: map[[16]byte]struct{}{}, stats: corpus.Stats{Dropped: map[string]int64{}}}
	dir, err := rt.Output("report")
	if err != nil {
		return nil, err
	}
	if m.report, err = newReport(dir, c, sc); err != nil {
		return nil, err
	}
	if c.Dedup.second() {
		scratch, err := rt.Temp()
		if err != nil {
			return nil, err
		}
		if m.second, err = newSecond(scratch, c.Dedup); err != nil {
			return nil, err
		}
	}
	if dir, err = rt.Output("dataset"); err != nil {
		return nil, err
	}
	m.writer = corpus.Create(dir)
	return m, nil
}

// abort closes the files of a dataset that will not be finished.
func (m *merger) abort() {
	m.writer.Abort()
	m.report.abort()
	if m.second != nil {
		_ = m.second.close() // the folder is emptied before the next attempt
	}
}

// merge takes one batch. It returns errEnough when a limit is reached.
func (m *merger) merge(b *batch) error {
	for i := range b.results {
		if err := m.add(b.src, &b.records[i], &b.results[i]); err != nil {
			return err
		}
	}
	documents := m.train.Documents + m.holdout.Documents
	if m.second != nil {
		documents = int64(m.second.spool.len())
	}
	m.progress.report(documents)
	return b.err
}

func (m *merger) add(src *source, rec *record, res *result) error {
	if res.bad == nil && res.drop == "" {
		if shape := res.doc.Shape(); m.shape == "" {
			m.shape = shape
		} else if shape != m.shape {
			res.bad = fmt.Errorf("it is a %s document, and the dataset's first is a %s document", shape, m.shape)
		}
	}
	m.stats.Records++
	switch {
	case res.bad != nil:
		return m.bad(src, rec, res.bad)
	case res.drop != "":
		where := m.where(src, rec)
		m.drop(res.drop, where, &res.doc, res.figure)
		if res.match != nil {
			return m.report.contaminated(where, res.match)
		}
		return nil
	case m.copy(res.hash):
		m.duplicate(m.where(src, rec), &res.doc)
		return nil
	case m.second != nil:
		return m.second.add(&spooled{m.where(src, rec), splitHash(&res.doc, res.hash), res.doc}, res.keys)
	}
	err := m.keep(&res.doc, splitHash(&res.doc, res.hash))
	if errors.Is(err, errEnough) {
		m.stats.Records-- // it was not asked for
	}
	return err
}

// copy reports whether a document of this hash came before and copies are not wanted, and remembers it.
func (m *merger) copy(hash [32]byte) bool {
	if m.config.Dedup == nil || !m.config.Dedup.Exact {
		return false
	}
	id := [16]byte(hash[:16])
	_, ok := m.seen[id]
	m.seen[id] = struct{}{}
	return ok
}

// splitHash decides a document's split. hash is the document's own; where it has a question, that alone decides, so that
// what was held back of dialogues is held back of the preferences about the same questions too.
func splitHash(d *corpus.Document, hash [32]byte) uint64 {
	if q := d.Question(); q != "" {
		hash = (&corpus.Document{Prompt: q}).Hash()
	}
	return binary.LittleEndian.Uint64(hash[16:])
}

// drop counts a document that a filter drops.
func (m *merger) drop(name, where string, d *corpus.Document, figure string) {
	m.stats.Dropped[name]++
	m.report.drop(name, where, d, figure)
}

// duplicate counts an exact copy.
func (m *merger) duplicate(where string, d *corpus.Document) {
	m.stats.Duplicates++
	m.report.drop("duplicate", where, d, "")
}

// keep writes a document to the split that its hash says. It returns errEnough when that is more than the limit.
func (m *merger) keep(d *corpus.Document, hash uint64) error {
	size := int64(d.Bytes())
	l := &m.config.Limit
	if l.Documents != nil && m.train.Documents+m.holdout.Documents >= *l.Documents ||
		l.Bytes != nil && m.train.Bytes+m.holdout.Bytes+size > *l.Bytes {
		return errEnough
	}
	if float64(hash)/math.MaxUint64 < m.config.Holdout {
		return m.write(corpus.Holdout, &m.holdout, d)
	}
	if m.config.Needles == nil {
		return m.write(corpus.Train, &m.train, d)
	}
	planted, err := m.plant(d, hash)
	if err != nil {
		return err
	}
	for i := range planted {
		if err := m.write(corpus.Train, &m.train, &planted[i]); err != nil {
			return err
		}
	}
	return nil
}

func (m *merger) write(name string, split *corpus.Split, d *corpus.Document) error {
	split.Documents++
	split.Bytes += int64(d.Bytes())
	return m.writer.Write(name, d)
}

// where names a record in the artifacts: a file by its path in the pipeline's folder or, if it is elsewhere, in the folder
// that all files of its source are in, because where a machine keeps its files must not change their bytes.
func (m *merger) where(src *source, rec *record) string {
	if rec.path == "" {
		return rec.where()
	}
	name, err := filepath.Rel(m.rt.Spec().Dir, rec.path)
	if err != nil || !filepath.IsLocal(name) {
		if name, err = filepath.Rel(src.common(), rec.path); err != nil {
			name = filepath.Base(rec.path)
		}
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(name), rec.number)
}

// bad counts a record that is no document. A program has no right to any: it was written for this.
func (m *merger) bad(src *source, rec *record, reason error) error {
	// In messages a file outside the pipeline's folder has its whole path.
	shown := m.where(src, rec)
	where := shown
	if rel, err := filepath.Rel(m.rt.Spec().Dir, rec.path); rec.path != "" && (err != nil || !filepath.IsLocal(rel)) {
		where = rec.where()
	}
	if src.kind == programOutput {
		return steps.Blame(src.at+".command", "%s is not a document: %w%s", where, reason, src.stderr.quote())
	}
	m.stats.BadRecords++
	if m.firstBad == nil {
		m.firstBad = fmt.Errorf("%s: %w", where, reason)
	}
	if len(m.stats.BadExamples) < badExamples {
		m.stats.BadExamples = append(m.stats.BadExamples, fmt.Sprintf("%s: %v", shown, reason))
	}
	return nil
}

// finish closes the dataset and sets the step's values, unless too little is good.
func (m *merger) finish() error {
	s := &m.stats
	if d := m.config.Decontaminate; d != nil {
		if err := m.report.evaluations.among(d, m.report.found); err != nil {
			m.abort()
			return err
		}
	}
	if m.train.Documents == 0 || float64(s.BadRecords) > m.config.MaxBad*float64(s.Records) {
		m.abort()
		return m.useless()
	}
	if s.BadRecords > 0 {
		m.rt.Warn("%d of %d records are no documents and were passed over; the first: %v", s.BadRecords, s.Records, m.firstBad)
	}
	if m.config.Holdout > 0 && m.holdout.Documents == 0 {
		m.rt.Warn("holdout = %g keeps none of the %d documents back: there are too few", m.config.Holdout, m.train.Documents)
	}
	if n := s.Dropped[dropEvaluation]; n > 0 {
		m.rt.Warn("decontaminate: %d of %d records hold pieces of the evaluation sets and were dropped; the report lists them", n, s.Records)
	}
	if m.second != nil {
		m.report.common = m.second.mostCommon()
		if err := m.second.close(); err != nil {
			return err
		}
	}
	if err := m.writer.Close(s); err != nil {
		return err
	}
	if err := m.report.write(s); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	dropped := map[string]float64{"duplicate": float64(s.Duplicates), "bad": float64(s.BadRecords)}
	for _, name := range dropNames {
		dropped[name] = float64(s.Dropped[name])
	}
	m.rt.Set("documents", m.train.Documents)
	m.rt.Set("bytes", m.train.Bytes)
	m.rt.Set("holdout_documents", m.holdout.Documents)
	m.rt.Set("holdout_bytes", m.holdout.Bytes)
	m.rt.Set("dropped", dropped)
	return nil
}

// useless says why the step fails although everything could be read.
func (m *merger) useless() error {
	s := &m.stats
	switch {
	case s.Records == 0:
		return fmt.Errorf("the sources hold no records at all")
	case float64(s.BadRecords) > m.config.MaxBad*float64(s.Records):
		return steps.Blame("max_bad", "%d of %d records are no documents (%.1f %%), and max_bad allows %g %%; the first: %w",
			s.BadRecords, s.Records, 100*float64(s.BadRecords)/float64(s.Records), 100*m.config.MaxBad, m.firstBad)
	case m.holdout.Documents > 0:
		return steps.Blame("holdout", "all %d documents were held back and none is left to train on: lower holdout or add data", m.holdout.Documents)
	}
	text, at := fmt.Sprintf("none of the %d records is kept", s.Records), "filter"
	for _, name := range dropNames {
		if n := s.Dropped[name]; n > 0 {
			text += fmt.Sprintf("; %s dropped %d", name, n)
		}
	}
	if 2*s.Dropped[dropEvaluation] > s.Records {
		at = "decontaminate"
	}
	return steps.Blame(at, "%s", text)
}
