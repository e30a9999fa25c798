package tokens

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"athanor/gpu"
)

// ErrUsedUp is wrapped by [Loader.Fill] when every part has reached its max_epochs.
var ErrUsedUp = errors.New("the data is used up")

// A Loader deals out the documents of a set in pieces, packed and weighted, in an order that only the set, the seed and
// the size of a piece decide.
//
// A document that is longer than a piece is dealt out as several, each on its own: otherwise a long document would fill
// whole batches, and their gradients would be those of one document and not of the mixture.
//
// The next piece comes from the part that is furthest behind its share: each part has a credit in tokens; when a
// piece of L tokens is taken, every part that still has some gains its share of L, and the part that it came
// from pays L. Within a part the pieces of an epoch come in a random order of their own.
//
// A Loader is used by one goroutine.
type Loader struct {
	set    *Set
	seed   uint64
	size   int // most tokens of a piece
	parts  []partState
	piece  piece   // in hand; what is left of it begins the next batch
	buffer []int32 // scratch: a segment and the token after it
}

// A partState says where a part stands.
type partState struct {
	epoch  int      // counted from 0
	next   int      // index in order of the next piece of this epoch
	tokens int64    // of all pieces taken, the one in hand wholly counted
	credit float64  // tokens that the part is behind its share
	weight float64  // share among the parts that are not used up; 0 if it is
	first  []int    // number of the first piece of each document, then the number of pieces
	order  []uint32 // of the pieces in this epoch
}

// A piece is what is left of one that has been begun: tokens [at, end) of a document of a part.
type piece struct {
	part, document int
	at, end        int
}

// Loader returns a Loader that begins at the first batch and deals out pieces of at most size tokens; to train on a
// context of n tokens, size is n.
func (s *Set) Loader(seed uint64, size int) *Loader {
	if size <= 0 {
		panic(fmt.Sprintf("tokens: a Loader of pieces of %d tokens", size))
	}
	l := &Loader{set: s, seed: seed, size: size, parts: make([]partState, len(s.train))}
	for i := range l.parts {
		data, first := s.train[i], []int{0}
		for d := range data.Len() {
			first = append(first, first[d]+(data.Size(d)-1)/size+1)
		}
		l.parts[i].first, l.parts[i].order = first, make([]uint32, first[data.Len()])
		l.shuffle(i)
	}
	l.weigh()
	return l
}

// Fill appends exactly n tokens to s in segments of at most context tokens. A piece that does not fit is cut at n, and
// goes on in the next Fill. The target of a token is the next token of its document, across a cut as well; after the
// end of the document there is none.
//
// When no part may deal out more, the error wraps [ErrUsedUp] and s holds what was left.
func (l *Loader) Fill(s *gpu.Stream, n, context int) error {
	if n < 0 || context <= 0 {
		panic(fmt.Sprintf("tokens: Fill of %d tokens in segments of %d", n, context))
	}
	s.IDs, s.Targets, s.Positions = slices.Grow(s.IDs, n), slices.Grow(s.Targets, n), slices.Grow(s.Positions, n)
	for n > 0 {
		if l.piece.at == l.piece.end && !l.take() {
			return l.usedUp()
		}
		p := &l.piece
		data := l.set.train[p.part]
		to := min(p.at+n, p.at+context, p.end)
		l.buffer = data.Append(l.buffer[:0], p.document, p.at, min(to+1, data.Size(p.document)))
		if to == data.Size(p.document) {
			l.buffer = append(l.buffer, gpu.NoTarget)
		}
		s.Append(l.buffer[:to-p.at], l.buffer[1:], 0)
		n -= to - p.at
		p.at = to
	}
	return nil
}

// take takes the next piece in hand. It reports false when there is none.
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
	number := int(p.order[p.next])
	document := sort.Search(data.Len(), func(d int) bool { return p.first[d+1] > number })
	at := (number - p.first[document]) * l.size
	l.piece = piece{part: best, document: document, at: at, end: min(at+l.size, data.Size(document))}
	length := l.piece.end - at
	for i := range l.parts {
		// The conversion keeps the product from being fused with the sum on machines that could: equal bits everywhere.
		l.parts[i].credit += float64(l.parts[i].weight * float64(length))
	}
	p.credit -= float64(length)
	p.tokens += int64(length)
	if p.next++; p.next == len(p.order) {
		p.next = 0
		p.epoch++
		l.shuffle(best)
		l.weigh()
	}
	return true
}

// weigh spreads the weights over the parts that still have pieces.
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
		if i == l.piece.part {
			c.Tokens -= int64(l.piece.end - l.piece.at)
		}
		if total := l.set.train[i].Tokens(); total > 0 {
			c.Epochs = float64(c.Tokens) / float64(total)
		}
		out[i] = c
	}
	return out
}
