package needle

import (
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train/traintest"
)

func TestNamesAreValuesAlone(t *testing.T) {
	f := Facts{Template: "The {key} obeys {value}.", Values: "names"}
	r := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	for range 2000 {
		fact := f.Draw(Testing, r)
		if !slices.Contains(names, fact.Value) {
			t.Fatalf("a value %q", fact.Value)
		}
		if seen[fact.Value] = true; f.answer(" "+fact.Value+".\nThe") != fact.Value {
			t.Errorf("%q is not understood as an answer", fact.Value)
		}
	}
	if len(seen) != 32 || len(names) != 32 {
		t.Errorf("%d of %d names are drawn", len(seen), len(names))
	}
	for _, name := range names {
		if slices.Contains(adjectives, name) || slices.Contains(nouns, name) {
			t.Errorf("%s may be part of a key", name)
		}
	}
}

// TestAdvice: names that a tokenizer cuts are worth a word.
func TestAdvice(t *testing.T) {
	h := hay(t, 20)
	for values, want := range map[string]string{"names": "train the tokenizer on the practice", "digits": ""} {
		test, err := New(h, Grid{Depths: 2, Needles: 1, Facts: Facts{Template: "The {key} obeys {value}.", Values: values, Digits: 4}}, 512, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := test.Advice(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", values, got)
		}
	}
}

// TestRepeats: a fact is said two to one and Repeats times, all within Distance.
func TestRepeats(t *testing.T) {
	text := strings.Repeat("The furnace holds one heat for weeks.\n", 60)
	sentence := regexp.MustCompile(`(?m)^The (\w+ \w+) obeys (\w+)\.\n`)
	p := Planting{Facts: Facts{Template: "The {key} obeys {value}.", Values: "names"}, Every: len(text), Distance: 400, Repeats: 5}
	times := map[int]bool{}
	for seed := range uint64(60) {
		planted, n := p.Into(text, seed)
		found := sentence.FindAllStringIndex(planted, -1)
		if n != 1 || len(found) < 2 || len(found) > 6 {
			t.Fatalf("%d facts are said %d times", n, len(found))
		}
		times[len(found)] = true
		if span := found[len(found)-1][0] - found[0][0]; span > 400+nearby+5*40 { // the other sentences stand between
			t.Errorf("a fact and its last repetition are %d bytes apart", span)
		}
		if sentence.ReplaceAllString(planted, "") != text {
			t.Error("the text is damaged")
		}
	}
	if len(times) != 5 {
		t.Errorf("facts are said so many times: %v", times)
	}
}

// TestTheFirstLineIsAPlace: the test asks for facts at the very beginning of a text, so practice has some there.
func TestTheFirstLineIsAPlace(t *testing.T) {
	text := strings.Repeat("The furnace holds one heat for weeks.\n", 10)
	p := Planting{Facts: Facts{Template: "The {key} obeys {value}.", Values: "names"}, Every: len(text)}
	first, last := 0, 0
	for seed := range uint64(400) {
		planted, _ := p.Into(text, seed)
		if !strings.HasPrefix(planted, "The furnace") {
			first++
		}
		if !strings.HasSuffix(planted, "weeks.\n") {
			last++
		}
	}
	if first < 40 || last < 40 {
		t.Errorf("of 400 texts of ten lines, %d begin with a fact and %d end with one", first, last)
	}
}

func TestCut(t *testing.T) {

	for _, c := range []struct {
		name, text     string
		length, pieces int
	}{
		{"lines", strings.Repeat("The furnace holds one heat for weeks.\n", 60), 300, 8},
		{"whole", strings.Repeat("The furnace.\n", 60), 0, 1},
		{"short", "The furnace.", 300, 1},
		{"one line", strings.Repeat("word ", 100), 100, 5},
		{"no space", strings.Repeat("長", 100), 100, 3},
		{"a line at the end", strings.Repeat("w", 100) + strings.Repeat("w", 60) + "\n", 100, 1},
		{"nothing", "", 10, 1},
	} {
		pieces := Cut(c.text, c.length)
		if strings.Join(pieces, "") != c.text || len(pieces) != c.pieces {
			t.Errorf("%s: %d pieces: %q", c.name, len(pieces), pieces)
		}
		for i, piece := range pieces {
			if c.length > 0 && len(piece) > 3*c.length/2+nearby || i < len(pieces)-1 && len(piece) < c.length {
				t.Errorf("%s: piece %d has %d bytes", c.name, i, len(piece))
			}
			if c.name == "lines" && !strings.HasPrefix(piece, "The ") {
				t.Errorf("%s: piece %d begins within a line: %q", c.name, i, piece)
			}
		}
	}
}

// A clerk gives every target the same probability and notes what is asked.
type clerk struct {
	tokenizer *bpe.Tokenizer
	logp      float64
	reserved  int
	asked     []string // text | targets
}

func (c *clerk) Inference(n int) error { c.reserved = n; return nil }

func (c *clerk) Forward(s *gpu.Stream) error {
	var targets []int32
	first := -1
	for i, target := range s.Targets {
		if target != gpu.NoTarget {
			targets = append(targets, target)
			if first < 0 {
				first = i
			}
		}
	}
	c.asked = append(c.asked, c.tokenizer.Decode(s.IDs[:first+1])+"|"+c.tokenizer.Decode(targets))
	return nil
}

func (c *clerk) LogProbs(logp, _ []float64, s *gpu.Stream, _ float64) error {
	for i, target := range s.Targets {
		if target != gpu.NoTarget {
			logp[i] = c.logp
		}
	}
	return nil
}

// TestValueLoss: the tokens of the value behind the question are what the loss is of, and nothing else.
func TestValueLoss(t *testing.T) {
	h := hay(t, 60)
	test, err := New(h, Grid{Lengths: []int{180, 300}, Depths: 3, Needles: 2, Facts: standard}, 512, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := &clerk{tokenizer: h.Tokenizer, logp: -1.5}
	loss, err := test.ValueLoss(t.Context(), c)
	if err != nil || loss != 1.5 || c.reserved < 300 || len(c.asked) != 6 {
		t.Errorf("%v: a loss of %g over %d texts, room for %d", err, loss, len(c.asked), c.reserved)
	}
	for i, asked := range c.asked {
		fact := test.trials[2*i].fact
		if !strings.HasSuffix(asked, "The magic number of the "+fact.Key+" is| "+fact.Value) {
			t.Errorf("text %d asks for %s, %s: …%q", i, fact.Key, fact.Value, asked[max(0, len(asked)-60):])
		}
	}
	c.logp = math.Inf(-1)
	if _, err := test.ValueLoss(t.Context(), c); err == nil {
		t.Error("a model that excludes the value has a finite loss")
	}
}

// TestTheValueOfAModel: a model that has learnt nothing predicts values no better than any token.
func TestTheValueOfAModel(t *testing.T) {
	h := hay(t, 60)
	test, err := New(h, Grid{Lengths: []int{170}, Depths: 2, Needles: 1, Facts: standard}, 170, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := llm.Load(ref.Open(), traintest.Model(t, h.Tokenizer, traintest.Config(h.Tokenizer.VocabSize())).Path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	loss, err := test.ValueLoss(t.Context(), m)
	if uniform := math.Log(float64(h.Tokenizer.VocabSize())); err != nil || math.Abs(loss-uniform) > 1 {
		t.Errorf("%v: a loss of %g, not about %g", err, loss, uniform)
	}
}
