package needle

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train/traintest"
)

var standard = Facts{Template: "The magic number of the {key} is {value}.", Digits: 4}

// hay is a haystack of the little language.
func hay(t *testing.T, documents int) Haystack {
	t.Helper()
	tokenizer := traintest.Tokenizer(t)
	h := Haystack{Tokenizer: tokenizer}
	h.Start, _ = tokenizer.BOS()
	eos, _ := tokenizer.EOS()
	h.Stop = []int32{eos}
	for _, text := range traintest.Texts(documents, 3) {
		h.Documents = append(h.Documents, tokenizer.Encode(text))
	}
	return h
}

// An oracle reads the last tokens of a text and finds the fact in them, if it stands there.
type oracle struct {
	tokenizer *bpe.Tokenizer
	sees      int    // tokens
	adds      string // after the value
	prompts   [][]int32
}

var asked = regexp.MustCompile(`The magic number of the (\w+ \w+) is$`)

func (o *oracle) Generate(_ context.Context, prompts [][]int32, s llm.Sampling, _ func(int, int32, float64) error) ([][]int32, error) {
	var answers [][]int32
	for _, p := range prompts {
		o.prompts = append(o.prompts, p)
		text := o.tokenizer.Decode(p[max(0, len(p)-o.sees):])
		question := asked.FindStringSubmatch(text)
		if question == nil {
			return nil, errors.New("the text does not end in a question: " + text)
		}
		said := regexp.MustCompile(`magic number of the ` + question[1] + ` is (\d+)\.`).FindStringSubmatch(text)
		value := "none"
		if said != nil {
			value = said[1]
		}
		ids := o.tokenizer.Encode(" " + value + o.adds)
		answers = append(answers, ids[:min(len(ids), s.MaxTokens)])
	}
	return answers, nil
}

func TestAnOracleFindsAll(t *testing.T) {
	h := hay(t, 60)
	test, err := New(h, Grid{Lengths: []int{180, 300, 600}, Depths: 4, Needles: 3, Facts: standard}, 1024, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    oracle
		want int
	}{
		{"all", oracle{tokenizer: h.Tokenizer, sees: 1 << 20, adds: ".\nThe old"}, 36},
		{"the value goes on", oracle{tokenizer: h.Tokenizer, sees: 1 << 20, adds: "7."}, 0},
		{"nothing", oracle{tokenizer: h.Tokenizer, sees: 36, adds: "."}, 0},
	} {
		r, err := test.Run(t.Context(), &c.o, nil)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if found, of := r.Counts(); found != c.want || of != 36 || len(r.Answers) != 36 || r.Share() != float64(c.want)/36 {
			t.Errorf("%s: found %d of %d", c.name, found, of)
		}
		for i, p := range c.o.prompts {
			length := test.lengths[i/12]
			if n := len(p) + test.tokens; n > length || n < length-5 {
				t.Errorf("text %d has %d tokens with its answer, not %d", i, n, length)
			}
			if p[0] != h.Start {
				t.Errorf("text %d does not begin with the token before texts", i)
			}
		}
	}
}

// TestWhereAFactStands: a model that sees the last 200 tokens alone finds exactly the facts that stand in them.
func TestWhereAFactStands(t *testing.T) {
	h := hay(t, 60)
	test, err := New(h, Grid{Lengths: []int{180, 400, 800}, Depths: 5, Needles: 2, Facts: standard}, 800, 1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := test.Run(t.Context(), &oracle{tokenizer: h.Tokenizer, sees: 180, adds: "."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]int{{2, 2, 2, 2, 2}, {0, 0, 0, 2, 2}, {0, 0, 0, 0, 2}}
	if !slices.EqualFunc(r.Found, want, slices.Equal[[]int]) {
		t.Errorf("found %v, want %v", r.Found, want)
	}
	if missed := r.Missed(); len(missed) != 14 || !strings.Contains(missed[0].String(), `400 tokens, depth 0 %: The magic number of the `) || !strings.Contains(missed[0].String(), `is … " none.", not "`) {
		t.Errorf("%d are missed: %s", len(missed), &missed[0])
	}
	lines := r.Lines()
	if len(lines) != 6 || lines[0] != " depth     180     400     800" || lines[4] != "  75 %   100 %   100 %     0 %" {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
	if m := r.Markdown(); !strings.Contains(m, "| 100 % | 100 % | 100 % | 100 % |\n") || !strings.Contains(m, "16 of 30 needles found") {
		t.Error(m)
	}
	svg := string(r.HeatMap("needles & hay").SVG())
	if err := wellFormed(svg); err != nil || strings.Count(svg, "<rect") != 16 || !strings.Contains(svg, "needles &amp; hay") {
		t.Errorf("%v\n%s", err, svg)
	}
}

func wellFormed(svg string) error {
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestTheSameTest(t *testing.T) {
	h := hay(t, 60)
	prompts := func(seed uint64) [][]int32 {
		test, err := New(h, Grid{Depths: 3, Needles: 2, Facts: standard}, 512, seed)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(test.lengths, []int{256, 384, 512}) { // 128 is too short
			t.Errorf("lengths %v", test.lengths)
		}
		o := &oracle{tokenizer: h.Tokenizer, sees: 1 << 20, adds: "."}
		if _, err := test.Run(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
		return o.prompts
	}
	a := prompts(1)
	if !slices.EqualFunc(a, prompts(1), slices.Equal[[]int32]) {
		t.Error("the same seed gives another test")
	}
	if slices.EqualFunc(a, prompts(2), slices.Equal[[]int32]) {
		t.Error("another seed gives the same test")
	}
}

func TestWhatIsNoTest(t *testing.T) {
	h := hay(t, 20)
	g := func(lengths ...int) Grid { return Grid{Lengths: lengths, Depths: 2, Needles: 1, Facts: standard} }
	template := func(text string) Grid { return Grid{Depths: 2, Needles: 1, Facts: Facts{Template: text, Digits: 4}} }
	for _, c := range []struct {
		name    string
		grid    Grid
		context int
		path    string
		says    string
	}{
		{"a length too short", g(40), 512, "lengths[0]", "too short for a needle"},
		{"a context too short", g(), 64, "", "a context of 64 tokens is too short for a needle"},
		{"longer than the context", g(200, 513), 512, "lengths[1]", "longer than the context of 512"},
		{"out of order", g(300, 200), 512, "lengths[1]", "200 comes after 300"},
		{"too little text", g(100000), 100000, "", "less than one text of 100000 tokens"},
		{"no value", template("The {key}."), 512, "template", "no {value}"},
		{"no key", template("It is {value}, {key}."), 512, "template", "no {key} before its {value}"},
		{"two values", template("{key} {value} {value}"), 512, "template", "twice"},
	} {
		_, err := New(h, c.grid, c.context, 1)
		var blame *steps.AttributeError
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		} else if errors.As(err, &blame) != (c.path != "") || blame != nil && blame.Path != c.path {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestFactsAreNotShared: whatever the seeds, no key is of training and of the test.
func TestFactsAreNotShared(t *testing.T) {
	keys := [2]map[string]bool{{}, {}}
	for seed := range uint64(20) {
		for _, use := range []Use{Training, Testing} {
			r := rand.New(rand.NewPCG(seed, 0))
			for range 500 {
				f := Facts{Digits: 3}.Draw(use, r)
				keys[use][f.Key] = true
				if len(f.Value) != 3 {
					t.Fatalf("a value %q", f.Value)
				}
			}
		}
	}
	for key := range keys[Training] {
		if keys[Testing][key] {
			t.Errorf("%q is in both", key)
		}
	}
	if len(keys[0]) < 2000 || len(keys[1]) < 2000 {
		t.Errorf("only %d and %d different ones", len(keys[0]), len(keys[1]))
	}
	// What the test asks for is never what a document of training says.
	h := hay(t, 60)
	test, err := New(h, Grid{Depths: 5, Needles: 20, Facts: standard}, 512, 9)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(traintest.Texts(400, 5), "")
	planted, n := Planting{Facts: standard, Every: 200}.Into(text, 9)
	if n != mostFacts {
		t.Errorf("%d facts planted", n)
	}
	for _, trial := range test.trials {
		if strings.Contains(planted, "of the "+trial.fact.Key+" is") {
			t.Errorf("training knows of %v", trial.fact)
		}
	}
}

func TestPlanting(t *testing.T) {
	sentence := regexp.MustCompile(`(?m)^The magic number of the (\w+ \w+) is (\d{4})\.\n`)
	for _, c := range []struct {
		name     string
		text     string
		every    int
		distance int
		want     int
	}{
		{"lines", strings.Join(traintest.Texts(20, 1), ""), 500, 0, 9},
		{"a single line", strings.Repeat("word ", 300), 500, 0, 3},
		{"no space", strings.Repeat("長", 300), 500, 0, 1},
		{"short", "a", 500, 0, 1},
		{"nearby", strings.Join(traintest.Texts(20, 1), ""), 1000, 300, 4},
	} {
		p := Planting{Facts: standard, Every: c.every, Distance: c.distance}
		planted, n := p.Into(c.text, 4)
		again, _ := p.Into(c.text, 4)
		other, _ := p.Into(c.text, 5)
		if planted != again || planted == other {
			t.Errorf("%s: the seed does not decide the facts", c.name)
		}
		at := map[string][]int{}
		for _, m := range sentence.FindAllStringSubmatchIndex(planted, -1) {
			fact := planted[m[2]:m[3]] + planted[m[4]:m[5]]
			at[fact] = append(at[fact], m[0])
		}
		if len(at) != n || n != c.want {
			t.Errorf("%s: %d facts, %d said, want %d", c.name, len(at), n, c.want)
		}
		far := 0
		for fact, places := range at {
			if len(places) != 2 {
				t.Errorf("%s: %s stands there %d times", c.name, fact, len(places))
				continue
			}
			far = max(far, places[1]-places[0])
		}
		if c.distance > 0 && far > 2*c.distance { // other facts may stand between
			t.Errorf("%s: a fact and its repetition are %d bytes apart", c.name, far)
		}
		// All that is not a fact is the text, but for line ends.
		left := strings.ReplaceAll(sentence.ReplaceAllString(planted, ""), "\n", "")
		if left != strings.ReplaceAll(c.text, "\n", "") {
			t.Errorf("%s: the text is damaged:\n%s", c.name, left)
		}
	}
}
