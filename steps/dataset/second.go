package dataset

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/extsort"
	"athanor/steps/internal/minhash"
	"athanor/steps/internal/ngram"
)

// A second is the second way through the documents, for what can be decided only when all are known: near-copies, then
// lines that stand too often in what is left. Until then the documents wait in a spool.
type second struct {
	dedup  *Dedup
	dir    string
	spool  *spool
	finder *minhash.Finder // nil without near
	copied map[int]copyOf  // the documents that near drops
	lines  []uint64        // hashes of the lines to remove, sorted
	common map[uint64]*commonLine

	sets     map[int][]uint64 // of runs of words, of documents compared not long ago
	setsSize int
	words    []ngram.Word
}

// A copyOf says which document another is like, and how much.
type copyOf struct {
	of         int
	similarity float64
}

// A commonLine is one of the lines removed most often.
type commonLine struct {
	Line  string `json:"line"`
	Times uint64 `json:"times"`
}

// What is shown and remembered.
const (
	commonLines    = 20
	setsRemembered = 4 << 20 // elements: 32 MiB
)

func newSecond(dir string, d *Dedup) (*second, error) {
	s := &second{dedup: d, dir: dir, copied: map[int]copyOf{}, common: map[uint64]*commonLine{}, sets: map[int][]uint64{}}
	var err error
	if s.spool, err = newSpool(dir); err != nil {
		return nil, err
	}
	if d.Near != nil {
		s.finder = minhash.NewFinder(dir, d.Memory<<20)
	}
	return s, nil
}

// add sets a document aside.
func (s *second) add(d *spooled, keys []uint64) error {
	if shape := d.doc.Shape(); s.dedup.Lines != nil && shape != corpus.TextShape {
		return steps.Blame("dedup.lines", "lines are removed from documents with a text, and these are %s documents: leave it out", shape)
	}
	if s.finder != nil {
		if err := s.finder.Add(keys); err != nil {
			return err
		}
	}
	return s.spool.add(d)
}

// decide finds out which documents and lines go.
func (s *second) decide(ctx context.Context, rt *steps.Runtime, progress *progress) error {
	if err := s.spool.full(); err != nil {
		return err
	}
	if s.finder != nil {
		began := time.Now()
		compared := 0
		similarity := func(earlier, later int) (float64, error) {
			if compared++; ctx.Err() != nil {
				return 0, ctx.Err()
			}
			progress.second(int64(later), int64(s.spool.len()))
			return s.similarity(earlier, later)
		}
		for c, err := range s.finder.Copies(*s.dedup.Near, similarity) {
			if err != nil {
				return err
			}
			s.copied[c.Document] = copyOf{c.Of, c.Similarity}
		}
		clear(s.sets)
		rt.Log("near-duplicates: %d pairs compared, %d of %d documents are copies, %.1f s", compared, len(s.copied), s.spool.len(), time.Since(began).Seconds())
		if err := s.finder.Close(); err != nil {
			return err
		}
	}
	if s.dedup.Lines == nil {
		return nil
	}
	began := time.Now()
	err := s.countLines(ctx, progress)
	rt.Log("lines: %d different ones stand more than %d times, %.1f s", len(s.lines), *s.dedup.Lines, time.Since(began).Seconds())
	return err
}

// similarity compares two documents exactly.
func (s *second) similarity(earlier, later int) (float64, error) {
	a, err := s.set(earlier)
	if err != nil {
		return 0, err
	}
	b, err := s.set(later)
	if err != nil {
		return 0, err
	}
	return minhash.Similarity(a, b), nil
}

// set is the set of a document's runs of words.
func (s *second) set(i int) ([]uint64, error) {
	if set, ok := s.sets[i]; ok {
		return set, nil
	}
	d, err := s.spool.at(i)
	if err != nil {
		return nil, err
	}
	s.words = ngram.AppendWords(s.words[:0], whole(&d.doc))
	set := slices.Clip(minhash.Set(runs(nil, s.words, s.dedup.Ngram)))
	if s.setsSize += len(set); s.setsSize > setsRemembered {
		clear(s.sets)
		s.setsSize = len(set)
	}
	s.sets[i] = set
	return set, nil
}

// countLines counts the lines of the documents that stay and notes those that stand too often.
func (s *second) countLines(ctx context.Context, progress *progress) error {
	sorter := extsort.New(s.dir, s.dedup.Memory<<20, true)
	defer func() { _ = sorter.Close() }() // the folder is emptied before the next attempt anyway
	for i := range s.spool.len() {
		if _, gone := s.copied[i]; gone {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, err := s.spool.at(i)
		if err != nil {
			return err
		}
		progress.second(int64(i), int64(s.spool.len()))
		for line := range strings.SplitSeq(d.doc.Text, "\n") {
			if hash, ok := s.line(line); ok {
				if err := sorter.Add(extsort.Pair{Key: hash, Value: 1}); err != nil {
					return err
				}
			}
		}
	}
	var most []extsort.Pair
	more := func(a, b extsort.Pair) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Key, b.Key))
	}
	for p, err := range sorter.Sorted() {
		if err != nil {
			return err
		}
		if p.Value <= uint64(*s.dedup.Lines) {
			continue
		}
		s.lines = append(s.lines, p.Key)
		if len(most) < commonLines || more(p, most[len(most)-1]) < 0 {
			at, _ := slices.BinarySearchFunc(most, p, more)
			most = slices.Insert(most, at, p)
			most = most[:min(len(most), commonLines)]
		}
	}
	for _, p := range most {
		s.common[p.Key] = &commonLine{Times: p.Value}
	}
	return nil
}

// line is the hash of a line; false for one that stays however often it stands.
func (s *second) line(line string) (uint64, bool) {
	line = strings.TrimSpace(line)
	if line == "" || s.dedup.MinLineChars > 0 && utf8.RuneCountInString(line) < s.dedup.MinLineChars {
		return 0, false
	}
	// FNV-1a, eight bytes at a time would be faster and is not needed: reading takes longer.
	const prime = 0x100000001b3
	hash := uint64(0xcbf29ce484222325)
	for i := range len(line) {
		hash = (hash ^ uint64(line[i])) * prime
	}
	return ngram.Mix(hash), true
}

// withoutLines is the text without the lines to remove, and how many those are.
func (s *second) withoutLines(text string) (string, int64) {
	if len(s.lines) == 0 {
		return text, 0
	}
	var kept strings.Builder
	removed := int64(0)
	for line := range strings.Lines(text) {
		if hash, ok := s.line(line); ok {
			if _, found := slices.BinarySearch(s.lines, hash); found {
				removed++
				if c := s.common[hash]; c != nil && c.Line == "" {
					c.Line = strings.TrimSpace(line)
				}
				continue
			}
		}
		kept.WriteString(line)
	}
	if removed == 0 {
		return text, 0
	}
	return kept.String(), removed
}

// mostCommon lists what was removed most often.
func (s *second) mostCommon() []commonLine {
	var list []commonLine
	for _, c := range s.common {
		if c.Line != "" {
			list = append(list, *c)
		}
	}
	slices.SortFunc(list, func(a, b commonLine) int { return cmp.Or(cmp.Compare(b.Times, a.Times), cmp.Compare(a.Line, b.Line)) })
	return list
}

func (s *second) close() error {
	var err error
	if s.finder != nil {
		err = s.finder.Close()
	}
	return errors.Join(err, s.spool.close())
}

// finishSecond decides and keeps what is left, in order.
func (m *merger) finishSecond(ctx context.Context) error {
	s := m.second
	if err := s.decide(ctx, m.rt, m.progress); err != nil {
		return err
	}
	m.seen = map[[16]byte]struct{}{}
	for i := range s.spool.len() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, err := s.spool.at(i)
		if err != nil {
			return err
		}
		err = m.addSecond(i, d)
		if errors.Is(err, errEnough) {
			m.stats.BeyondLimit = int64(s.spool.len() - i)
			break
		}
		if err != nil {
			return err
		}
		m.progress.second(int64(i+1), int64(s.spool.len()))
	}
	return nil
}

func (m *merger) addSecond(i int, d *spooled) error {
	s := m.second
	if c, gone := s.copied[i]; gone {
		first, err := s.spool.at(c.of)
		if err != nil {
			return err
		}
		m.drop(dropNear, d.where, &d.doc, likeness(c.similarity, first.where))
		return nil
	}
	if s.dedup.Lines == nil {
		return m.keep(&d.doc, d.hash)
	}
	text, removed := s.withoutLines(d.doc.Text)
	if strings.TrimSpace(text) == "" {
		m.drop(dropLines, d.where, &d.doc, "every line stands too often")
		return nil
	}
	m.stats.LinesRemoved += removed
	m.report.linesBytes += int64(len(d.doc.Text) - len(text))
	d.doc.Text = text
	// Without their lines documents can be equal, and a copy must not be in both splits.
	hash := d.doc.Hash()
	if m.copy(hash) {
		m.duplicate(d.where, &d.doc)
		return nil
	}
	return m.keep(&d.doc, splitHash(&d.doc, hash))
}
