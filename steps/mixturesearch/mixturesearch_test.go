package mixturesearch

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train/traintest"
)

// block is a mixture_search block with every default filled in.
func block() *Config {
	return &Config{
		Model:    steps.Artifact{Kind: "model", From: "model"},
		Data:     steps.Artifact{Kind: "tokens", From: "data"},
		question: question{Target: map[string]float64{"plain": 1}, Epochs: 4, Proxies: 5},
		design:   design{Concentration: 1},
		training: training{
			Tokens: 4096, Context: 32,
			Optimizer: pretraining.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.95}, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1},
			Schedule:  pretraining.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1, Decay: 0.2, DecayShape: "linear"},
			Batch:     pretraining.Batch{Tokens: 128}, Eval: pretraining.Eval{Tokens: 400}, CheckpointEvery: 3600,
		},
	}
}

func spec(t testing.TB, config any) *steps.Spec {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return &steps.Spec{Address: "mixture_search.m", Config: raw, Seed: 7, WorkDir: t.TempDir(), Device: "cpu"}
}

func blamed(err error) (path, text string) {
	if attr := (*steps.AttributeError)(nil); errors.As(err, &attr) {
		return attr.Path, attr.Err.Error()
	}
	return "", fmt.Sprint(err)
}

func TestWrongBlocks(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*Config)
		path, text string
	}{
		"a target of nothing":   {func(c *Config) { c.Target["plain"] = 0 }, "target", "sum to 0"},
		"a negative target":     {func(c *Config) { c.Target["plain"] = -1 }, "target", `the weight of "plain" is -1`},
		"around nothing":        {func(c *Config) { c.Around = map[string]float64{"plain": 0, "b": 1} }, "around", "leave the part out"},
		"a batch too small":     {func(c *Config) { c.Batch.Tokens = 16 }, "batch.tokens", "cannot hold a document"},
		"a warm-up without end": {func(c *Config) { c.Schedule.Warmup = 1e9 }, "schedule.warmup", "covers the whole run"},
	} {
		b := block()
		c.change(b)
		if path, text := blamed(check(spec(t, b))); path != c.path || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s: %s, want %s: %s", name, path, text, c.path, c.text)
		}
	}
	if err := check(spec(t, block())); err != nil {
		t.Error(err)
	}
}

// TestWrongForTheParts: what the data shows to be wrong.
func TestWrongForTheParts(t *testing.T) {
	two := 2
	parts := []part{{"plain", 1000, nil, true}, {"odd", 500, &two, false}}
	for name, c := range map[string]struct {
		change     func(*question)
		parts      []part
		path, text string
	}{
		"an unknown part":     {func(q *question) { q.Target["prose"] = 1 }, parts, "target", `no part "prose": its parts are plain, odd`},
		"no held-out text":    {func(q *question) { q.Target["odd"] = 1 }, parts, "target", `the part "odd" has no held-out documents`},
		"too few proxies":     {func(q *question) { q.Proxies = 4 }, append(slices.Clone(parts), part{"c", 10, nil, true}), "proxies", "4 coefficients, and each of 4 proxies is left out of it once: raise proxies to 5"},
		"one part":            {func(*question) {}, parts[:1], "data", "nothing to weigh against"},
		"caps that do not do": {func(q *question) { b := int64(6000); q.Budget = &b }, parts, "budget", "the parts give 5000 of 6000 tokens (plain 1000 tokens × 4 epochs, odd 500 tokens × 2 epochs)"},
	} {
		q := block().question
		c.change(&q)
		if path, text := blamed(q.check(c.parts)); path != c.path || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s: %s, want %s: %s", name, path, text, c.path, c.text)
		}
	}
	enough := int64(5000)
	q := block().question
	q.Budget = &enough
	if err := q.check(parts); err != nil || !slices.Equal(q.caps(parts), []float64{0.8, 0.2}) {
		t.Errorf("caps %v: %v", q.caps(parts), err)
	}
	if v, err := (&design{}).center(parts); err != nil || math.Abs(v[0]/sum(v)-7./12) > 1e-12 {
		t.Errorf("draws are around %v: %v", v, err)
	}
	d := design{Around: map[string]float64{"plain": 1}}
	if path, text := blamed(second(d.center(parts))); path != "around" || !strings.Contains(text, `"odd" has no weight`) {
		t.Error(path, text)
	}
	d.Around = map[string]float64{"plain": 1, "odd": 3, "more": 1}
	if path, text := blamed(second(d.center(parts))); path != "around" || !strings.Contains(text, `no part "more"`) {
		t.Error(path, text)
	}
}

func second[T any](_ T, err error) error { return err }

// TestExpand: a proxy does not depend on the others or on the question.
func TestExpand(t *testing.T) {
	children, err := expand(&steps.EstimateInput{Spec: spec(t, block())})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range children {
		names = append(names, c.Name)
	}
	if want := []string{"proportional", "uniform", "draw-1", "draw-2", "draw-3"}; !slices.Equal(names, want) {
		t.Errorf("%v", names)
	}
	more := block()
	more.Proxies, more.Target = 7, map[string]float64{"odd": 1}
	again, err := expand(&steps.EstimateInput{Spec: spec(t, more)})
	if err != nil || len(again) != 7 {
		t.Fatal(len(again), err)
	}
	for i, c := range children {
		a, b := c.Config.(proxyConfig), again[i].Config.(proxyConfig)
		a.Question = b.Question // no part of the key
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s is another proxy now", c.Name)
		}
	}
}

// TestWarnings: what speaks against the weights is said.
func TestWarnings(t *testing.T) {
	for name, c := range map[string]struct {
		r    result
		want []string
	}{
		"a law that holds":     {result{fitError: 0.02, spread: 0.09}, nil},
		"a law that does not":  {result{fitError: 0.36, spread: 0.379}, []string{"misses a proxy that it was not fitted to by 0.3600, and the proxies differ by 0.3790"}},
		"a part over and over": {result{spread: 1, parts: []part{{Name: "small", Tokens: 100}}, proxies: []proxy{{Tokens: 1000, mixture: []float64{0.5}}}}, []string{"has seen the part small 5.0 times"}},
	} {
		l := &listener{}
		rt, err := steps.NewRuntime(spec(t, block()), l)
		if err != nil {
			t.Fatal(err)
		}
		c.r.warn(rt)
		if err := rt.Close(); err != nil {
			t.Fatal(err)
		}
		if len(l.warnings) != len(c.want) {
			t.Errorf("%s: %q", name, l.warnings)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(l.warnings[i], want) {
				t.Errorf("%s: %q", name, l.warnings[i])
			}
		}
	}
}

// A listener keeps the warnings of a step.
type listener struct{ warnings []string }

func (l *listener) Write(line []byte) (int, error) {
	var e steps.Event
	err := json.Unmarshal(line, &e)
	if e.Kind == steps.EventWarn {
		l.warnings = append(l.warnings, e.Message)
	}
	return len(line), err
}

// TestExpandKnowsTheNames: what is wrong with the names of parts is said before anything runs.
func TestExpandKnowsTheNames(t *testing.T) {
	for name, c := range map[string]struct {
		change     func(*Config)
		parts      []string
		path, text string
	}{
		"an unknown target":  {func(c *Config) { c.Target["prose"] = 1 }, []string{"plain", "odd"}, "target", `no part "prose": its parts are plain, odd`},
		"an unknown around":  {func(c *Config) { c.Around = map[string]float64{"prose": 1} }, []string{"plain", "odd"}, "around", `no part "prose"`},
		"a forgotten around": {func(c *Config) { c.Around = map[string]float64{"plain": 1} }, []string{"plain", "odd"}, "around", `"odd" has no weight`},
		"too few proxies":    {func(*Config) {}, []string{"plain", "a", "b", "c"}, "proxies", "raise proxies to 6"},
		"one part":           {func(*Config) {}, []string{"plain"}, "data", "nothing to weigh against"},
	} {
		b := block()
		c.change(b)
		facts := map[string]float64{"vocab_size": 300}
		tokens.NameParts(facts, c.parts)
		_, err := expand(&steps.EstimateInput{Spec: spec(t, b), Upstream: map[string]steps.Estimate{"data": {Facts: facts}}})
		if path, text := blamed(err); path != c.path || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s: %s, want %s: %s", name, path, text, c.path, c.text)
		}
	}
}

// data are two languages, one of which is the other backwards.
func data(t testing.TB) (model, set steps.Artifact) {
	tokenizer := traintest.Tokenizer(t)
	backwards := func(texts []string) []string {
		for i, text := range texts {
			words := strings.Fields(text)
			slices.Reverse(words)
			texts[i] = strings.Join(words, " ")
		}
		return texts
	}
	model = traintest.Model(t, tokenizer, traintest.Config(tokenizer.VocabSize()))
	set = traintest.Tokens(t, tokenizer,
		traintest.Part{Name: "plain", Weight: 0.5, Train: traintest.Texts(60, 1), Holdout: traintest.Texts(6, 2)},
		traintest.Part{Name: "odd", Weight: 0.5, MaxEpochs: 1, Train: backwards(traintest.Texts(40, 3)), Holdout: backwards(traintest.Texts(6, 4))})
	return model, set
}

// TestSearch trains real proxies, which are to find out that a part is best learnt from that part.
func TestSearch(t *testing.T) {
	c := block()
	c.Model, c.Data = data(t)
	children, err := expand(&steps.EstimateInput{Spec: spec(t, c)})
	if err != nil {
		t.Fatal(err)
	}
	whole := spec(t, c)
	for i, child := range children {
		files, l, _ := traintest.Whole(t, &proxyType, child.Config)
		if i == 2 { // interrupted, one comes to the same
			again, other := traintest.Interrupted(t, &proxyType, child.Config, 9)
			traintest.Same(t, again, files)
			if !reflect.DeepEqual(l.Values(), other.Values()) {
				t.Errorf("%v, interrupted %v", l.Values(), other.Values())
			}
		}
		values, err := json.Marshal(l.Values())
		if err != nil {
			t.Fatal(err)
		}
		whole.Children = append(whole.Children, steps.ChildResult{Name: child.Name, Values: values})
	}
	end, files := reduce(t, whole)
	weights, _ := end.Values["weights"].(map[string]any)
	plain, odd := weights["plain"].(float64), weights["odd"].(float64)
	most := 0.0
	for _, child := range whole.Children {
		var p proxy
		if err := child.Decode(&p); err != nil {
			t.Fatal(err)
		}
		most = max(most, p.Weights["plain"])
	}
	if math.Abs(plain-most) > 1e-6 || math.Abs(plain+odd-1) > 1e-9 { // no further than any proxy went
		t.Errorf("weights %v for a target of plain alone; the largest share tried is %g", weights, most)
	}
	if e := end.Values["fit_error"].(float64); !(e > 0 && e < 0.5) {
		t.Errorf("fit error %g", e)
	}
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"report/fit.svg", "report/metrics.jsonl", "report/summary.md", "report/weights.svg"}) {
		t.Errorf("the report has %v", got)
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".svg") {
			wellFormed(t, name, text)
		}
	}
	for _, want := range []string{"| plain |", "| fit error |", "| draw-3 |", "| proportional, measured |"} {
		if !strings.Contains(files["report/summary.md"], want) {
			t.Errorf("the summary does not say %q:\n%s", want, files["report/summary.md"])
		}
	}
	// A budget that plain cannot fill.
	budget := int64(16000)
	c.Budget, c.Epochs = &budget, 1
	capped := spec(t, c)
	capped.Children = whole.Children
	parts, err := readParts(c.Data.Path)
	if err != nil {
		t.Fatal(err)
	}
	most = float64(parts[0].Tokens) / float64(budget)
	end, err = runStep(t, capped)
	if most+float64(parts[1].Tokens)/float64(budget) < 1 {
		if path, _ := blamed(err); path != "budget" {
			t.Errorf("caps of %v for %d tokens: %v", parts, budget, err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := end.Values["weights"].(map[string]any)["plain"].(float64); got > most+1e-9 {
		t.Errorf("plain gets %g and can give %g", got, most)
	}
}

func reduce(t testing.TB, s *steps.Spec) (steps.Event, map[string]string) {
	t.Helper()
	end, err := runStep(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return end, traintest.Outputs(t, s.WorkDir)
}

func runStep(t testing.TB, s *steps.Spec) (steps.Event, error) {
	t.Helper()
	l := &traintest.Listener{}
	rt, err := steps.NewRuntime(s, l)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	err = rt.Do(context.Background(), &Type)
	return l.Last(), err
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader([]byte(text))); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}
