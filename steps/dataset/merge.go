package dataset

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

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
	progress *progress

	shape    corpus.Shape // of the first document
	seen     map[[16]byte]struct{}
	stats    corpus.Stats
	train    corpus.Split
	holdout  corpus.Split
	firstBad error
}

func newMerger(rt *steps.Runtime, c *Config, w *corpus.Writer) *merger {
	return &merger{rt: rt, config: c, writer: w, seen: map[[16]byte]struct{}{}, stats: corpus.Stats{Dropped: map[string]int64{}}}
}

// merge takes one batch. It returns errEnough when a limit is reached.
func (m *merger) merge(b *batch) error {
	for i := range b.results {
		if err := m.add(b.src, &b.records[i], &b.results[i]); err != nil {
			return err
		}
	}
	m.progress.report(m.train.Documents + m.holdout.Documents)
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
		m.stats.Dropped[res.drop]++
		return nil
	}
	if m.config.Dedup != nil && m.config.Dedup.Exact {
		id := [16]byte(res.hash[:16])
		if _, ok := m.seen[id]; ok {
			m.stats.Duplicates++
			return nil
		}
		m.seen[id] = struct{}{}
	}
	return m.keep(&res.doc, binary.LittleEndian.Uint64(res.hash[16:]))
}

// keep writes a document to the split that its hash says.
func (m *merger) keep(d *corpus.Document, hash uint64) error {
	size := int64(d.Bytes())
	l := &m.config.Limit
	if l.Documents != nil && m.train.Documents+m.holdout.Documents >= *l.Documents ||
		l.Bytes != nil && m.train.Bytes+m.holdout.Bytes+size > *l.Bytes {
		m.stats.Records-- // it was not asked for
		return errEnough
	}
	name, split := corpus.Train, &m.train
	if float64(hash)/math.MaxUint64 < m.config.Holdout {
		name, split = corpus.Holdout, &m.holdout
	}
	split.Documents++
	split.Bytes += size
	return m.writer.Write(name, d)
}

// bad counts a record that is no document. A program has no right to any: it was written for this.
func (m *merger) bad(src *source, rec *record, reason error) error {
	// In messages a file outside the pipeline's folder has its whole path; in stats.json only its name, because where a
	// machine keeps its files must not change a dataset's bytes.
	where, shown := rec.where(), rec.where()
	if rec.path != "" {
		shown = fmt.Sprintf("%s:%d", filepath.Base(rec.path), rec.number)
	}
	if rel, err := filepath.Rel(m.rt.Spec().Dir, rec.path); err == nil && filepath.IsLocal(rel) {
		where = fmt.Sprintf("%s:%d", filepath.ToSlash(rel), rec.number)
		shown = where
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
	if m.train.Documents == 0 || float64(s.BadRecords) > m.config.MaxBad*float64(s.Records) {
		m.writer.Abort()
		return m.useless()
	}
	if s.BadRecords > 0 {
		m.rt.Warn("%d of %d records are no documents and were passed over; the first: %v", s.BadRecords, s.Records, m.firstBad)
	}
	if m.config.Holdout > 0 && m.holdout.Documents == 0 {
		m.rt.Warn("holdout = %g keeps none of the %d documents back: there are too few", m.config.Holdout, m.train.Documents)
	}
	if err := m.writer.Close(s); err != nil {
		return err
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
	text := fmt.Sprintf("none of the %d records is kept", s.Records)
	for _, name := range dropNames {
		if n := s.Dropped[name]; n > 0 {
			text += fmt.Sprintf("; %s dropped %d", name, n)
		}
	}
	return steps.Blame("filter", "%s", text)
}

// A progress reports how far the reading is: in bytes where all sources are files, else in documents.
type progress struct {
	rt    *steps.Runtime
	read  *atomic.Int64
	total int64 // bytes of files; 0 if a program is among the sources
	began time.Time
	last  time.Time
}

func newProgress(rt *steps.Runtime, sources []*source, read *atomic.Int64) *progress {
	p := &progress{rt: rt, read: read, began: time.Now()}
	for _, src := range sources {
		if src.kind == programOutput {
			p.total = 0
			break
		}
		for _, file := range src.files {
			if info, err := os.Stat(file); err == nil {
				p.total += info.Size()
			}
		}
	}
	return p
}

func (p *progress) report(documents int64) {
	now := time.Now()
	if now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	e := steps.Event{Done: float64(documents), Unit: "documents", Metrics: map[string]float64{"documents": float64(documents)}}
	if p.total > 0 {
		e.Done, e.Total, e.Unit = float64(p.read.Load()), float64(p.total), "bytes"
	}
	if seconds := now.Sub(p.began).Seconds(); seconds > 0 {
		e.Rate = e.Done / seconds
	}
	p.rt.Progress(e)
}
