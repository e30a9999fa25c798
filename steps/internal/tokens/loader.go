package tokens

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/gpu"
)

// ErrUsedUp is wrapped by [Loader.Fill] when every part has reached its max_epochs.
var ErrUsedUp = errors.New("the data is used up")

// A Loader deals out the documents of a set, packed and weighted, in an order that only the set and the seed decide.
//
// The next document comes from the part that is furthest behind its share: each part has a credit in tokens; when a
// document of L tokens is taken, every part that still has documents gains its share of L, and the part that it came
// from pays L. Within a part the documents of an epoch come in a random order of their own.
//
// A Loader is used by one goroutine.
type Loader struct {
	set   *Set
	seed  uint64
	parts []partState
	doc   document // the document in hand; what is left of it begins the next batch
	piece []int32  // scratch: a segment and the token after it
}

// A partState says where a part stands.
type partState struct {
	epoch  int     // counted from 0
	next   int     // index in order of the next document of this epoch
	tokens int64   // of all documents taken, the one in hand wholly counted
	credit float64 // tokens that the part is behind its share
	weight float64 // share among the parts that are not used up; 0 if it is
	order  []uint32
}

// A document is the rest of a document that has been begun: tokens [at, size) of document index of a part.
type document struct {
	part, index int
	at, size    int
}

// Loader returns a Loader that begins at the first batch.
func (s *Set) Loader(seed uint64) *Loader {
	l := &Loader{set: s, seed: seed, parts: make([]partState, len(s.train))}
	for i := range l.parts {
		l.parts[i].order = make([]uint32, s.train[i].Len())
		l.shuffle(i)
	}
	l.weigh()
	return l
}

// Fill appends exactly n tokens to s in segments of at most context tokens. A document that is longer is cut into
// pieces; one that does not fit is cut at n, and goes on in the next Fill. The target of a token is the next token of
// its document, across a cut as well; after the end of the document there is none.
//
// When no part may deal out more, the error wraps [ErrUsedUp] and s holds what was left.
func (l *Loader) Fill(s *gpu.Stream, n, context int) error {
	if n < 0 || context <= 0 {
		panic(fmt.Sprintf("tokens: Fill of %d tokens in segments of %d", n, context))
	}
	s.IDs, s.Targets, s.Positions = slices.Grow(s.IDs, n), slices.Grow(s.Targets, n), slices.Grow(s.Positions, n)
	for n > 0 {
		if l.doc.at == l.doc.size && !l.take() {
			return l.usedUp()
		}
		d := &l.doc
		size := min(n, context, d.size-d.at)
		l.piece = l.set.train[d.part].Append(l.piece[:0], d.index, d.at, min(d.at+size+1, d.size))
		if d.at+size == d.size {
			l.piece = append(l.piece, gpu.NoTarget)
		}
		s.Append(l.piece[:size], l.piece[1:], 0)
		d.at += size
		n -= size
	}
	return nil
}

// take takes the next document in hand. It reports false when there is none.
func (l *Loader) take() bool {
	best := -1
	for i := range l.parts {
		if p := &l.parts[i]; p.weight > 0 && (best < 0 || p.credit > l.parts[best].credit) {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	p, data := &l.parts[best], l.set.train[best]
	index := int(p.order[p.next])
	l.doc = document{part: best, index: index, size: data.Size(index)}
	length := float64(l.doc.size)
	for i := range l.parts {
		// The conversion keeps the product from being fused with the sum on machines that could: equal bits everywhere.
		l.parts[i].credit += float64(l.parts[i].weight * length)
	}
	p.credit -= length
	p.tokens += int64(l.doc.size)
	if p.next++; p.next == len(p.order) {
		p.next = 0
		p.epoch++
		l.shuffle(best)
		l.weigh()
	}
	return true
}

// weigh spreads the weights over the parts that still have documents.
func (l *Loader) weigh() {
	sum := 0.0
	for i := range l.parts {
		p, part := &l.parts[i], &l.set.manifest.Parts[i]
		p.weight = part.Weight
		if len(p.order) == 0 || part.MaxEpochs != nil && p.epoch >= *part.MaxEpochs {
			p.weight = 0
		}
		sum += p.weight
	}
	for i := range l.parts {
		if l.parts[i].weight > 0 {
			l.parts[i].weight /= sum
		}
	}
}

func (l *Loader) usedUp() error {
	var parts []string
	for i, c := range l.Consumed() {
		if p := l.set.manifest.Parts[i]; p.Weight > 0 && p.MaxEpochs != nil {
			parts = append(parts, fmt.Sprintf("%s gave %d tokens in %d epochs of %d", c.Part, c.Tokens, *p.MaxEpochs, p.Tokens))
		}
	}
	return fmt.Errorf("%w: %s; raise max_epochs, add data or train on fewer tokens", ErrUsedUp, strings.Join(parts, ", "))
}

// Consumption says how much of a part has been dealt out.
type Consumption struct {
	Part   string
	Tokens int64
	Epochs float64 // Tokens by the tokens of the part
}

// Consumed says how much of every part has been dealt out so far.
func (l *Loader) Consumed() []Consumption {
	out := make([]Consumption, len(l.parts))
	for i := range l.parts {
		c := Consumption{Part: l.set.manifest.Parts[i].Name, Tokens: l.parts[i].tokens}
		if i == l.doc.part {
			c.Tokens -= int64(l.doc.size - l.doc.at)
		}
		if total := l.set.train[i].Tokens(); total > 0 {
			c.Epochs = float64(c.Tokens) / float64(total)
		}
		out[i] = c
	}
	return out
}
