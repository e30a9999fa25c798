package dataset

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"athanor/steps/internal/ngram"
)

// Repetition holds the limits of Gopher's rules against repetition within a document (Rae et al. 2021, table A1), next to
// max_repeated_lines. Shares are of bytes unless something else is said. Words are those of steps/internal/ngram.
type Repetition struct {
	MaxDuplicateLines      *float64           `json:"max_duplicate_lines" min:"0" max:"1" doc:"Largest share of the number of lines that equal an earlier one."`
	MaxDuplicateParagraphs *float64           `json:"max_duplicate_paragraphs" min:"0" max:"1" doc:"Largest share of the number of paragraphs that equal an earlier one; blank lines stand between paragraphs."`
	MaxRepeatedParagraphs  *float64           `json:"max_repeated_paragraphs" min:"0" max:"1" doc:"Largest share of the text that may be in paragraphs equal to an earlier one."`
	MaxTopNgrams           map[string]float64 `json:"max_top_ngrams" doc:"By the number of words in a row: largest share of the words' bytes that the most frequent such run may take, if it stands more than once. { 2 = 0.2 }"`
	MaxRepeatedNgrams      map[string]float64 `json:"max_repeated_ngrams" doc:"By the number of words in a row: largest share of the words' bytes that may be in runs equal to an earlier one, none counted twice. { 5 = 0.15 }"`
}

// The published limits.
var (
	gopherTopNgrams      = map[string]float64{"2": 0.20, "3": 0.18, "4": 0.16}
	gopherRepeatedNgrams = map[string]float64{"5": 0.15, "6": 0.14, "7": 0.13, "8": 0.12, "9": 0.11, "10": 0.10}
)

// check looks for numbers of words that are none and shares that are none.
func (p *Repetition) check() (setting string, err error) {
	for _, limits := range []struct {
		setting string
		of      map[string]float64
	}{{dropTopNgrams, p.MaxTopNgrams}, {dropRepeatedNgrams, p.MaxRepeatedNgrams}} {
		for _, key := range slices.Sorted(maps.Keys(limits.of)) {
			if n, err := strconv.Atoi(key); err != nil || n < 1 || strconv.Itoa(n) != key {
				return limits.setting, fmt.Errorf("%q is no number of words: write { 2 = 0.2 }", key)
			}
			if share := limits.of[key]; share < 0 || share > 1 {
				return limits.setting, fmt.Errorf("%s = %g: a share is from 0 to 1", key, share)
			}
		}
	}
	return "", nil
}

// A runLimit is one entry of MaxTopNgrams or MaxRepeatedNgrams.
type runLimit struct {
	n     int
	share float64
}

// runLimits lists the entries by their number of words.
func runLimits(of map[string]float64) []runLimit {
	var list []runLimit
	for key, share := range of {
		n, _ := strconv.Atoi(key) // check has seen it
		list = append(list, runLimit{n, share})
	}
	slices.SortFunc(list, func(a, b runLimit) int { return a.n - b.n })
	return list
}

// A repeater looks for repetition. Several goroutines may use it.
type repeater struct {
	limits        *Repetition
	top, repeated []runLimit
	scratch       sync.Pool // of *runTable
}

func newRepeater(p *Repetition) *repeater {
	return &repeater{limits: p, top: runLimits(p.MaxTopNgrams), repeated: runLimits(p.MaxRepeatedNgrams), scratch: sync.Pool{New: func() any { return &runTable{} }}}
}

// reason is the first limit that the text breaks and the figure that does, or "".
func (r *repeater) reason(text string) (setting, figure string) {
	p := r.limits
	if p.MaxDuplicateLines != nil {
		if number, _ := repeats(text, "\n"); number > *p.MaxDuplicateLines {
			return dropDuplicateLines, fmt.Sprintf("%.3f of the lines", number)
		}
	}
	if p.MaxDuplicateParagraphs != nil || p.MaxRepeatedParagraphs != nil {
		number, bytes := repeats(text, "\n\n")
		if p.MaxDuplicateParagraphs != nil && number > *p.MaxDuplicateParagraphs {
			return dropDuplicateParagraphs, fmt.Sprintf("%.3f of the paragraphs", number)
		}
		if p.MaxRepeatedParagraphs != nil && bytes > *p.MaxRepeatedParagraphs {
			return dropRepeatedParagraphs, fmt.Sprintf("%.3f of the text", bytes)
		}
	}
	if len(r.top)+len(r.repeated) == 0 {
		return "", ""
	}
	t := r.scratch.Get().(*runTable)
	defer r.scratch.Put(t)
	t.words = ngram.AppendWords(t.words[:0], text)
	for _, limit := range r.top {
		if share := t.topShare(limit.n); share > limit.share {
			return dropTopNgrams, fmt.Sprintf("%d words in a row take %.3f of the words", limit.n, share)
		}
	}
	for _, limit := range r.repeated {
		if share := t.repeatedShare(limit.n); share > limit.share {
			return dropRepeatedNgrams, fmt.Sprintf("repeated runs of %d words take %.3f of the words", limit.n, share)
		}
	}
	return "", ""
}

// repeats returns which share of the parts of a text, by number and by bytes, equals an earlier part; white space at the
// ends of parts and blank parts are left aside.
func repeats(text, separator string) (number, bytes float64) {
	seen := map[string]bool{}
	parts, repeatedParts, size, repeatedSize := 0, 0, 0, 0
	for part := range strings.SplitSeq(text, separator) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		parts++
		size += len(part)
		if seen[part] {
			repeatedParts++
			repeatedSize += len(part)
		}
		seen[part] = true
	}
	if parts == 0 {
		return 0, 0
	}
	return float64(repeatedParts) / float64(parts), float64(repeatedSize) / float64(size)
}

// A runTable counts the runs of words of one text; it is used for one after another.
type runTable struct {
	words []ngram.Word
	runs  []uint64

	// A hash table with open addressing. Emptying a map and filling it again takes several times as long.
	keys   []uint64
	counts []uint32
}

// begin empties the table, sized for the runs of n words, and fills t.runs.
func (t *runTable) begin(n int) {
	t.runs = ngram.AppendHashes(t.runs[:0], t.words, n)
	size := 64
	for size < 2*len(t.runs) {
		size *= 2
	}
	if size > cap(t.keys) {
		t.keys, t.counts = make([]uint64, size), make([]uint32, size)
	}
	t.keys, t.counts = t.keys[:size], t.counts[:size]
	clear(t.counts)
}

// seen counts a run and returns how often it has stood, this time included.
func (t *runTable) seen(run uint64) uint32 {
	mask := uint64(len(t.keys) - 1)
	for at := run & mask; ; at = (at + 1) & mask {
		if t.counts[at] == 0 {
			t.keys[at] = run
		} else if t.keys[at] != run {
			continue
		}
		t.counts[at]++
		return t.counts[at]
	}
}

// topShare is the share of the words' bytes that is in the most frequent run of n words, that which first stands so often
// if there are several; 0 if none stands twice.
func (t *runTable) topShare(n int) float64 {
	t.begin(n)
	most, top := uint32(1), uint64(0)
	for _, run := range t.runs {
		if times := t.seen(run); times > most {
			most, top = times, run
		}
	}
	if most == 1 {
		return 0
	}
	return t.share(n, func(run uint64) bool { return run == top })
}

// repeatedShare is the share of the words' bytes that is in runs of n words equal to an earlier run.
func (t *runTable) repeatedShare(n int) float64 {
	t.begin(n)
	return t.share(n, func(run uint64) bool { return t.seen(run) > 1 })
}

// share is the share of the words' bytes that is in runs of n words that count; what is in several counts once.
func (t *runTable) share(n int, counts func(run uint64) bool) float64 {
	all, counted, next := 0, 0, 0 // words before next are counted
	for _, w := range t.words {
		all += w.End - w.Start
	}
	for i, run := range t.runs {
		if !counts(run) {
			continue
		}
		for next = max(next, i); next < i+n; next++ {
			counted += t.words[next].End - t.words[next].Start
		}
	}
	if all == 0 {
		return 0
	}
	return float64(counted) / float64(all)
}
