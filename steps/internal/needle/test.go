package needle

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
)

// Grid says what a test is made of.
type Grid struct {
	Lengths []int `json:"lengths" optional:"true" doc:"Lengths of the texts in tokens, question and answer included. Left out: four, evenly spaced up to the context."`
	Depths  int   `json:"depths" default:"5" min:"2" max:"100" doc:"Depths at which facts are planted, evenly spaced from the beginning of the text to its end."`
	Needles int   `json:"needles" default:"4" min:"1" doc:"Facts for each length and depth, each in a text of its own."`
	Facts
}

// Haystack is the text that facts are planted in: documents as token ids, without what stands before and after them.
type Haystack struct {
	Tokenizer *bpe.Tokenizer
	Documents [][]int32
	Start     int32   // the token before a text
	Stop      []int32 // tokens that end one
}

// A Test is a grid of questions. The same haystack, grid and seed give the same test.
type Test struct {
	grid    Grid
	lengths []int
	hay     Haystack
	trials  []trial // by length, depth, needle
	tokens  int     // most tokens of an answer
}

// A trial is one fact in one text.
type trial struct {
	fact   Fact
	prompt []int32
}

// standardLengths are, in quarters of the context, the lengths of a grid that names none.
const standardLengths = 4

// New makes a test for a model with a context. Errors that a recipe can help blame an attribute of the Grid's block.
func New(hay Haystack, g Grid, context int, seed uint64) (*Test, error) {
	if err := g.Fits(context); err != nil {
		return nil, err
	}
	t := &Test{grid: g, hay: hay, lengths: g.Lengths}
	longest := 0
	r := rand.New(rand.NewPCG(seed, 0x686179)) // any constant: a stream of its own
	for range max(len(t.lengths), standardLengths) * g.Depths * g.Needles {
		fact := g.Draw(Testing, r)
		// A token more than the answer has: it shows that the value ends there, where nothing follows it in the template.
		t.tokens = max(t.tokens, len(hay.Tokenizer.Encode(" "+fact.Value+g.end()))+1)
		longest = max(longest, len(hay.Tokenizer.Encode("\n"+g.sentence(fact)+"\n"+"\n"+g.question(fact))))
		t.trials = append(t.trials, trial{fact: fact})
	}
	shortest := 2*longest + t.tokens + 1 // more text than needle
	if err := t.settle(context, shortest); err != nil {
		return nil, err
	}
	t.trials = t.trials[:len(t.lengths)*g.Depths*g.Needles]
	text := 0
	for _, d := range hay.Documents {
		text += len(d)
	}
	if need := t.lengths[len(t.lengths)-1]; text < need {
		return nil, fmt.Errorf("the held-out documents have %d tokens, less than one text of %d tokens to hide a fact in: hold back more of the data", text, need)
	}
	for i := range t.trials {
		t.prompt(i, r)
	}
	return t, nil
}

// Fits finds out what can be known without a tokenizer: whether the lengths are in order, within the context and not shorter
// than any needle. A context of 0 is not known.
func (g Grid) Fits(context int) error {
	if err := g.Check(); err != nil {
		return err
	}
	for i, n := range g.Lengths {
		at := fmt.Sprintf("lengths[%d]", i)
		switch {
		case n < g.Least():
			return steps.Blame(at, "a text of %d tokens is too short for a needle: a fact, its question and some text take at least %d", n, g.Least())
		case context > 0 && n > context:
			return steps.Blame(at, "a text of %d tokens is longer than the context of %d", n, context)
		case i > 0 && n <= g.Lengths[i-1]:
			return steps.Blame(at, "lengths are in order, and %d comes after %d", n, g.Lengths[i-1])
		}
	}
	if context > 0 && context < g.Least() {
		return fmt.Errorf("a context of %d tokens is too short for a needle: a fact, its question and some text take at least %d", context, g.Least())
	}
	return nil
}

// Least is what the shortest text takes if every word is one token, the fewest that there can be.
func (g Grid) Least() int {
	fact := Fact{Key: "two words", Value: "1"}
	words := len(strings.Fields(g.sentence(fact))) + len(strings.Fields(g.question(fact)))
	return 2*words + 3 // more text than needle, the answer and a token after it, and the one before the text
}

// settle decides the lengths, which Fits has seen.
func (t *Test) settle(context, shortest int) error {
	if len(t.lengths) == 0 {
		for i := 1; i <= standardLengths; i++ {
			if n := context * i / standardLengths; n >= shortest {
				t.lengths = append(t.lengths, n)
			}
		}
		if len(t.lengths) == 0 {
			return fmt.Errorf("a context of %d tokens is too short for a needle: a fact, its question and some text take %d tokens", context, shortest)
		}
		return nil
	}
	if n := t.lengths[0]; n < shortest {
		return steps.Blame("lengths[0]", "a text of %d tokens is too short for a needle: a fact, its question and some text take %d tokens", n, shortest)
	}
	return nil
}

// depth is a depth as a share of the text.
func (t *Test) depth(i int) float64 { return float64(i) / float64(t.grid.Depths-1) }

// prompt writes the text of a trial: from the beginning of a random document on, the fact at its depth, the question at
// the end.
func (t *Test) prompt(i int, r *rand.Rand) {
	perLength := t.grid.Depths * t.grid.Needles
	length, depth := t.lengths[i/perLength], t.depth(i%perLength/t.grid.Needles)
	tk, fact := t.hay.Tokenizer, t.trials[i].fact
	// Room for the fact's line and the question's as they are at their longest, with a line end before each.
	needle, question := "\n"+t.grid.sentence(fact)+"\n", "\n"+t.grid.question(fact)
	room := length - 1 - len(tk.Encode(needle)) - len(tk.Encode(question)) - t.tokens
	hay := t.text(room, r)
	at := t.lineStart(hay, int(depth*float64(len(hay))+0.5))
	p := append(make([]int32, 0, length), t.hay.Start)
	p = append(p, hay[:at]...)
	p = append(p, tk.Encode(ownLine(t.grid.sentence(fact), t.endsLine(hay[:at])))...)
	p = append(p, hay[at:]...)
	if at == len(hay) || t.endsLine(hay) {
		question = t.grid.question(fact)
	}
	t.trials[i].prompt = append(p, tk.Encode(question)...)
}

// Advice says what makes the test harder than it has to be; empty if nothing does.
func (t *Test) Advice() string {
	most := 0
	for _, name := range names {
		most = max(most, len(t.hay.Tokenizer.Encode(" "+name)))
	}
	if t.grid.Values != "names" || most < 2 {
		return ""
	}
	return fmt.Sprintf("the names that are values take up to %d tokens with this tokenizer, and a small model learns to copy one token long before it learns to copy several: train the tokenizer on the practice as well", most)
}

// text is n tokens of the documents, from a random one on, with an empty line between two.
func (t *Test) text(n int, r *rand.Rand) []int32 {
	between := t.hay.Tokenizer.Encode("\n\n")
	var ids []int32
	for d := r.IntN(len(t.hay.Documents)); len(ids) < n; d++ {
		if len(ids) > 0 {
			ids = append(ids, between...)
		}
		ids = append(ids, t.hay.Documents[d%len(t.hay.Documents)]...)
	}
	return ids[:n]
}

// endsLine reports whether what comes after tokens is at the start of a line.
func (t *Test) endsLine(ids []int32) bool {
	if len(ids) == 0 {
		return true
	}
	b := t.hay.Tokenizer.Bytes(ids[len(ids)-1])
	return len(b) > 0 && b[len(b)-1] == '\n'
}

// lineStart moves a place in the text to the nearest start of a line, within a fortieth of the text.
func (t *Test) lineStart(ids []int32, at int) int {
	if at == 0 || at == len(ids) {
		return at
	}
	for off := range len(ids)/40 + 1 {
		for _, i := range []int{at - off, at + off} {
			if i > 0 && i < len(ids) && t.endsLine(ids[:i]) {
				return i
			}
		}
	}
	return at
}

// A Generator continues texts: *llm.Model is one.
type Generator interface {
	Generate(ctx context.Context, prompts [][]int32, o llm.Sampling, emit func(seq int, id int32, logp float64) error) ([][]int32, error)
}

// cacheTokens bounds what is decoded side by side: texts of so many tokens in all, or one that is longer.
const cacheTokens = 1 << 15

// Run asks a model for every fact; it always takes the likeliest token. progress, if not nil, hears of the questions
// asked.
func (t *Test) Run(ctx context.Context, g Generator, progress func(done, total int)) (*Result, error) {
	result := &Result{Lengths: t.lengths, Needles: t.grid.Needles}
	for i := range t.grid.Depths {
		result.Depths = append(result.Depths, t.depth(i))
	}
	perLength := t.grid.Depths * t.grid.Needles
	for i, length := range t.lengths {
		trials := t.trials[i*perLength : (i+1)*perLength]
		prompts := make([][]int32, len(trials))
		for j := range trials {
			prompts[j] = trials[j].prompt
		}
		answers, err := g.Generate(ctx, prompts, llm.Sampling{
			MaxTokens: t.tokens, Stop: t.hay.Stop, Slots: min(perLength, length, max(1, cacheTokens/length)), // length: no more room than for a text
		}, nil)
		if err != nil {
			return nil, fmt.Errorf("looking for needles in %d tokens: %w", length, err)
		}
		found := make([]int, t.grid.Depths)
		for j, ids := range answers {
			text := t.hay.Tokenizer.Decode(ids)
			a := Answer{
				Length: length, Depth: t.depth(j / t.grid.Needles), Question: t.grid.question(trials[j].fact),
				Value: trials[j].fact.Value, Text: text, Right: t.grid.answer(text) == trials[j].fact.Value,
			}
			if a.Right {
				found[j/t.grid.Needles]++
			}
			result.Answers = append(result.Answers, a)
		}
		result.Found = append(result.Found, found)
		if progress != nil {
			progress((i+1)*perLength, len(t.trials))
		}
	}
	return result, nil
}
