// Package needle is the needle-in-a-haystack test of long contexts: a fact is planted at some depth of a long text, and
// the model is asked for it at the end (Kamradt, 2023; arXiv 2407.21783, section 3.4.2). It also plants facts into
// documents for training, from which a model learns to look back.
//
// Facts of training and facts of the test are never the same, see [Use]. Start at [New] for the test, at [Planting] for
// training; where the texts come from, and what a result decides, is the step types' own.
package needle

import (
	"crypto/sha256"
	"math/rand/v2"
	"strconv"
	"strings"
	"unicode"

	"athanor/steps"
)

// Facts says how facts are written.
type Facts struct {
	Template string `json:"template" default:"\"The magic number of the {key} is {value}.\"" doc:"The sentence that states a fact. {key} becomes two words, {value} a number or a name; the question is what comes before {value}."`
	Values   string `json:"values" default:"\"digits\"" one_of:"digits,names" doc:"What values are. digits: numbers, which take several tokens. names: first names, 32 of them, which a tokenizer that was trained on the practice as well holds as one token each. A small model learns to copy one token long before it learns to copy several."`
	Digits   int    `json:"digits" default:"4" min:"2" max:"18" doc:"Digits of a value that is a number."`
}

// A Use is what a fact is for. Keys are split between the two by their hashes, so that the test never asks for anything
// that a model was trained on, whatever the seeds. Values are the same ones: if those of the test were others, a tokenizer
// trained on the practice would cut them into other tokens, and copying them would be another task.
type Use int

const (
	Training Use = iota
	Testing
)

// useOf says which of the two a key belongs to.
func useOf(key string) Use { return Use(sha256.Sum256([]byte("needle " + key))[0] >> 7) }

// A Fact is a key and its value.
type Fact struct{ Key, Value string }

// Draw returns a random fact for a use.
func (f Facts) Draw(use Use, r *rand.Rand) Fact {
	var fact Fact
	for fact.Key == "" || useOf(fact.Key) != use {
		fact.Key = adjectives[r.IntN(len(adjectives))] + " " + nouns[r.IntN(len(nouns))]
	}
	fact.Value = f.drawValue(r)
	return fact
}

func (f Facts) drawValue(r *rand.Rand) string {
	if f.Values == "names" {
		return names[r.IntN(len(names))]
	}
	low := uint64(1)
	for range f.Digits - 1 {
		low *= 10
	}
	return strconv.FormatUint(low+r.Uint64N(9*low), 10)
}

// Check reports a template that states no fact. The error blames an attribute of the block that Facts stands in.
func (f Facts) Check() error {
	before, after, found := strings.Cut(f.Template, "{value}")
	switch {
	case !found:
		return steps.Blame("template", "the template %q has no {value}", f.Template)
	case !strings.Contains(before, "{key}"):
		return steps.Blame("template", "the template %q has no {key} before its {value}: a question has to say which value it wants", f.Template)
	case strings.Contains(after, "{value}"):
		return steps.Blame("template", "the template %q has {value} twice", f.Template)
	}
	return nil
}

// sentence states a fact.
func (f Facts) sentence(fact Fact) string {
	return strings.NewReplacer("{key}", fact.Key, "{value}", fact.Value).Replace(f.Template)
}

// question is the sentence as far as a model is given it. White space at its end is left to the model, because tokens
// begin with it.
func (f Facts) question(fact Fact) string {
	before, _, _ := strings.Cut(f.Template, "{value}")
	return strings.TrimRightFunc(strings.ReplaceAll(before, "{key}", fact.Key), unicode.IsSpace)
}

// answer is the value in what a model wrote after the question.
func (f Facts) answer(text string) string {
	text = strings.TrimLeftFunc(text, unicode.IsSpace)
	if end := f.end(); end != "" {
		text, _, _ = strings.Cut(text, end)
	}
	if i := strings.IndexFunc(text, unicode.IsSpace); i >= 0 {
		text = text[:i]
	}
	return text
}

// end is what follows the value, up to the next white space.
func (f Facts) end() string {
	_, after, _ := strings.Cut(f.Template, "{value}")
	if i := strings.IndexFunc(after, unicode.IsSpace); i >= 0 {
		after = after[:i]
	}
	if strings.Contains(after, "{key}") {
		return ""
	}
	return after
}

// Short words, most of them a token or two in any vocabulary. Names are values alone, never part of a key.
var (
	names = strings.Fields(`Ada Alan Anna Clara Clive Dora Edgar Edith Emma Flora Frida George Greta Hanna Hugo Irene Iris Karl
		Laura Leo Martha Nina Olga Oscar Otto Paula Rosa Ruth Sonja Stella Vera Walter`)
	adjectives = strings.Fields(`amber ancient black blue bold brass bright bronze calm clear cold copper crimson dark deep dry
		early empty faded fair fast fine first flat frozen gentle golden grand green grey heavy hidden high hollow hot
		humble iron ivory late light little long loud lucky narrow new noble old open pale plain proud purple quick quiet
		rapid rare red rough royal round rusty secret sharp silent silver simple slow small smooth soft solid steady still
		stone strong sweet swift tall thin tiny violet warm white wide wild windy wise wooden yellow young`)
	nouns = strings.Fields(`anchor apple arrow barrel basket beacon bell bird boat book bottle branch bridge brook
		candle canyon castle cave chain chapel circle clock cloud coat coin corner crow crown desert door drum eagle
		engine falcon farm feather fence field fire flag flower forest fountain fox furnace garden gate glass glove hammer
		harbor hat hill horn horse house island jacket kettle key king ladder lake lamp lantern leaf library lion market
		meadow mill mirror moon mountain oak ocean orchard owl paper path pearl pilot planet pond queen raven ring river
		road rock rose sail salt school seed ship shore shovel spoon spring star stone storm street table temple tiger
		tower train tree tunnel valley village wagon wall water wheel willow wind window winter wolf wood wren`)
)
