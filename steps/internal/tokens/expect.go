package tokens

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// BytesPerToken is the name of the fact that says what a tokenizer that exists makes of text.
const BytesPerToken = "bytes_per_token"

// Expect foretells how many tokens a text of so many bytes will be, by the facts of a tokenizer or of a model that has it.
// Before there is one, it goes by vocab_size: what a token holds grows with the logarithm of the vocabulary, about 3.2 bytes
// at 4,096 tokens, 4.6 at 128k.
func Expect(bytes float64, facts map[string]float64) float64 {
	if n := facts[BytesPerToken]; n > 0 {
		return bytes / n
	}
	return bytes / (0.27 * math.Log2(max(512, facts["vocab_size"])))
}

// partFact begins the facts that name the parts of a set before it is made; the value is the part's place, from 1.
const partFact = "part/"

// NameParts adds the names of parts to the facts of an estimate.
func NameParts(facts map[string]float64, names []string) {
	for i, name := range names {
		facts[partFact+name] = float64(i + 1)
	}
}

// PartNames reads them, in their order; none if they are not known.
func PartNames(facts map[string]float64) []string {
	var names []string
	for fact := range facts {
		if name, ok := strings.CutPrefix(fact, partFact); ok {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(facts[partFact+a], facts[partFact+b]) })
	return names
}
