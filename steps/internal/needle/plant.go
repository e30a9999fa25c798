package needle

import (
	"math/rand/v2"
	"slices"
	"strings"
	"unicode/utf8"
)

// Copying a value from afar is the work of an induction head (arXiv 2209.11895), which a model forms all at once after some
// thousands of chances to. Until then it only knows what values look like, and its loss on them stays at the logarithm of
// their number. So practice has to be dense. From trials with Llamas of 0.5 to 1.3 million parameters on Go sources, one
// seed each: millions of training tokens until half of the needles in texts of the training context were found. Values
// were one of 32 words of one token, a fact was said two to eight times in a piece of the context's 128 tokens.
//
//	two layers of width 192, half of the tokens practice           0.2
//	two layers of width 128, half of them                          0.36
//	two layers of width 128, three tenths                          not within 0.4
//	two layers of width 128, all                                   0.12
//	three layers of width 96, all                                  0.3
//	the same at a context of 64                                    0.09
//	the same, always eight times: learning rates 1e-3, 2e-3, 4e-3   0.14, 0.12, 0.15
//	four layers of width 128, three tenths, context 256,
//	  values of three tokens, facts said twice                     not within 0.4
//
// It helps that the word before a value stands nowhere else. Pieces that are shorter than the context leave its end without
// practice: with pieces of about 450 tokens, a model missed needles in texts of 512 tokens and in no shorter ones.

// A Planting writes facts into documents for training. Each stands there at least twice: from the second time on its value
// can be known, and only by looking back.
type Planting struct {
	Facts
	Every    int // bytes of text for each fact; a shorter document gets one
	Distance int // most bytes of text between the first time and the last; 0: as many as the document has
	Repeats  int // most times that a fact is said again; 0 is 1
}

// mostFacts is how many facts one document has at most: there are thousands of keys, and no two may be the same.
const mostFacts = 256

// An insertion is a sentence and where it goes.
type insertion struct {
	at   int
	text string
}

// Into returns the text with facts, and how many. The same text and seed give the same facts at the same places.
func (p Planting) Into(text string, seed uint64) (string, int) {
	r := rand.New(rand.NewPCG(seed, 0x6e6565646c65)) // any constant: a stream of its own
	n := min(max(1, len(text)/p.Every), mostFacts)
	var all []insertion
	known := map[string]bool{}
	for range n {
		fact := p.Draw(Training, r)
		for known[fact.Key] {
			fact = p.Draw(Training, r)
		}
		known[fact.Key] = true
		places, sentence := p.places(len(text), r), p.sentence(fact)
		for _, at := range places {
			all = append(all, insertion{nearestLine(text, at), sentence})
		}
	}
	slices.SortStableFunc(all, func(a, b insertion) int { return a.at - b.at })
	var b strings.Builder
	from := 0
	for _, in := range all {
		b.WriteString(text[from:in.at])
		from = in.at
		b.WriteString(ownLine(in.text, b.Len() == 0 || strings.HasSuffix(b.String(), "\n")))
	}
	b.WriteString(text[from:])
	return b.String(), n
}

// places draws where a fact stands in a text: two places, and for each further time one between them. The test asks for
// facts at the beginning and right before the question too, and by chance alone hardly any would stand so: of sixteen
// facts two are as far from their only repetition as they can be, and one stands right before it.
func (p Planting) places(length int, r *rand.Rand) []int {
	longest := length
	if p.Distance > 0 {
		longest = min(longest, p.Distance)
	}
	distance, extreme := r.IntN(longest+1), true
	switch r.IntN(16) {
	case 0, 1:
		distance = longest
	case 2:
		distance = 0
	default:
		extreme = false
	}
	first := r.IntN(length - distance + 1)
	places := []int{first, first + distance}
	if p.Repeats > 1 && !extreme {
		for range r.IntN(p.Repeats) {
			places = append(places, first+r.IntN(distance+1))
		}
	}
	return places
}

// Cut cuts a text into pieces of about length bytes, where a line begins if one does nearby; a rest of less than half
// belongs to the piece before. With a length of 0 the text stays whole.
func Cut(text string, length int) []string {
	var pieces []string
	for length > 0 && len(text) >= length+length/2 {
		at := lineStart(text, length)
		if at == len(text) {
			break
		}
		pieces = append(pieces, text[:at])
		text = text[at:]
	}
	return append(pieces, text)
}

// ownLine gives a sentence a line of its own.
func ownLine(sentence string, atLineStart bool) string {
	if atLineStart {
		return sentence + "\n"
	}
	return "\n" + sentence + "\n"
}

// nearby is how far a place may be moved to the start of a line or of a word, in bytes.
const nearby = 200

// nearestLine moves a place to the start of the line that it is in if that is nearer than the start of the next, so that the
// first line of a text is as good a place as any other: the test asks for facts there too.
func nearestLine(text string, at int) int {
	next := lineStart(text, at)
	if start := strings.LastIndexByte(text[:at], '\n') + 1; at < len(text) && at-start < min(next-at, nearby) {
		return start
	}
	return next
}

// lineStart moves a place on to the start of the next line if there is one nearby, else before the next space, else
// between two characters.
func lineStart(text string, at int) int {
	if at == 0 || text[at-1] == '\n' {
		return at
	}
	window := text[at:min(len(text), at+nearby)]
	if i := strings.IndexByte(window, '\n'); i >= 0 {
		return at + i + 1
	}
	if i := strings.IndexByte(window, ' '); i >= 0 {
		return at + i
	}
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return at
}
