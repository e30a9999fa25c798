package scalinglaw

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
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/train/traintest"
)

// block is a scaling_law block with every default filled in.
func block() *Config {
	return &Config{
		Data:    steps.Artifact{Kind: "tokens", From: "data"},
		Budgets: []float64{1e9, 4e9}, Target: 1e11, Sizes: 5,
		Size:  []Size{{1, 16}, {2, 32}, {3, 64}},
		Model: Model{HeadDim: 16, KVGroups: 2, RopeTheta: 10000, InitStd: 0.05},
		training: training{
			Context:   32,
			Optimizer: pretraining.Optimizer{LR: 1e-2, Betas: []float64{0.9, 0.95}, Eps: 1e-8, WeightDecay: 0.1, GradClip: 1},
			Schedule:  pretraining.Schedule{Warmup: 0.1, Shape: "cosine", Final: 0.1, Decay: 0.2, DecayShape: "linear"},
			Batch:     pretraining.Batch{Tokens: 128}, Eval: pretraining.Eval{Tokens: 400}, Training: pretraining.Training{CheckpointEvery: 3600},
		},
	}
}

func spec(t testing.TB, config any) *steps.Spec {
	t.Helper()
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return &steps.Spec{Address: "scaling_law.size", Config: raw, Seed: 7, WorkDir: t.TempDir(), Device: "cpu"}
}

func input(t testing.TB, c *Config, vocab float64) *steps.EstimateInput {
	in := &steps.EstimateInput{Spec: spec(t, c), Upstream: map[string]steps.Estimate{}}
	if vocab > 0 {
		in.Upstream["data"] = steps.Estimate{Facts: map[string]float64{"vocab_size": vocab}}
	}
	return in
}

// blamed is the attribute that an error blames, and what it says.
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
		"a budget of nothing":    {func(c *Config) { c.Budgets[1] = 0.5 }, "budgets[1]", "trains nothing"},
		"a budget twice":         {func(c *Config) { c.Budgets[1] = 1e9 }, "budgets[1]", "the budget 1e9 stands here twice"},
		"two sizes":              {func(c *Config) { c.Size = c.Size[:2] }, "size[0]", "a curve needs three sizes, and there are 2"},
		"a size twice":           {func(c *Config) { c.Size[2] = c.Size[0] }, "size[2]", "the size 1x16 stands here twice"},
		"an odd width":           {func(c *Config) { c.Size[1].Dim = 33 }, "size[1].n_head", "dim 33 cannot be shared"},
		"a rotation of nothing":  {func(c *Config) { c.Model.RopeTheta = 1 }, "model.rope_theta", "more than 1"},
		"a budget too small":     {func(c *Config) { c.Budgets[0] = 1e6 }, "budgets[0]", "the budget is too small for its proxies: 1e6 FLOPs train the size 1x16 on 17 tokens, less than one batch of 128"},
		"a size too large":       {func(c *Config) { c.Size[2] = Size{30, 256} }, "size[2]", "1e9 FLOPs train the size 30x256 on 7 tokens"},
		"a batch for no context": {func(c *Config) { c.Batch.Tokens = 16 }, "batch.tokens", "cannot hold a document"},
		"a warm-up for ever":     {func(c *Config) { c.Schedule.Warmup = 1e9 }, "schedule.warmup", "covers the whole run"},
		"another depth":          {func(c *Config) { c.Model.Layers = &c.Size[0].Layers }, "size[1].n_layer", "n_layer is 2 here and 1 in the model block"},
		"automatic, too small":   {func(c *Config) { c.Size, c.Budgets[0] = nil, 1e6 }, "budgets[0]", "the budget is too small for its proxies"},
	} {
		b := block()
		c.change(b)
		err := check(spec(t, b))
		if err == nil {
			_, err = expand(input(t, b, 320))
		}
		if path, text := blamed(err); path != c.path || !strings.Contains(text, c.text) {
			t.Errorf("%s: %s: %s, want %s: %s", name, path, text, c.path, c.text)
		}
	}
}

func TestExpand(t *testing.T) {
	children, err := expand(input(t, block(), 320))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range children {
		names = append(names, c.Name+" "+c.Path)
	}
	want := "1e9/1x16 budgets[0], 1e9/2x32 budgets[0], 1e9/3x64 budgets[0], 4e9/1x16 budgets[1], 4e9/2x32 budgets[1], 4e9/3x64 budgets[1]"
	if strings.Join(names, ", ") != want {
		t.Errorf("%v", names)
	}
	// What a proxy is does not depend on the other budgets, the other sizes or the target, or on how well the vocabulary
	// is known.
	more := block()
	more.Budgets, more.Target, more.Size = append(more.Budgets, 1e10), 1e12, append([]Size{{1, 32}}, more.Size...)
	again, err := expand(input(t, more, 0))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		i := slices.IndexFunc(again, func(o steps.Child) bool { return o.Name == c.Name })
		if i < 0 || !reflect.DeepEqual(again[i].Config, c.Config) {
			t.Errorf("%s is another proxy now", c.Name)
		}
	}
	// Sizes that are to be chosen wait for the vocabulary.
	more.Size = nil
	if _, err := expand(input(t, more, 0)); !errors.Is(err, steps.ErrNotYet) {
		t.Errorf("without the vocabulary: %v", err)
	}
	more.Budgets = []float64{2e10, 4e10, 1e11}
	chosen, err := expand(input(t, more, 320))
	if err != nil || len(chosen) != 15 {
		t.Errorf("%d proxies: %v", len(chosen), err)
	}
}

func TestEstimateProxy(t *testing.T) {
	children, err := expand(input(t, block(), 320))
	if err != nil {
		t.Fatal(err)
	}
	in := input(t, block(), 320)
	in.Spec = spec(t, children[0].Config)
	e, err := estimateProxy(in)
	if err != nil || e.FLOPs != 1e9 || e.Tokens < 10_000 || e.Memory < e.Parameters*16 || e.Parameters != 14_384 {
		t.Errorf("%+v %v", e, err)
	}
	in.Upstream = nil
	if e, err := estimateProxy(in); err != nil || e.FLOPs != 1e9 || e.Tokens != 0 {
		t.Errorf("without the vocabulary: %+v %v", e, err)
	}
}

func TestShapes(t *testing.T) {
	m := Model{HeadDim: 128, KVGroups: 8, RopeTheta: 500000}
	for n := 1e6; n < 2e12; n *= 1.7 {
		s, err := m.nearest(n, 32000, 4096)
		if err != nil {
			t.Fatal(err)
		}
		if off := math.Log(s.cost(4096) / n); math.Abs(off) > 0.3 && n > 1e7 || math.Abs(off) > 1.5 {
			t.Errorf("for %.3g the nearest is %s, %.2f off", n, s.Size, off)
		}
		if a := s.llm; a.Validate() != nil || a.HeadDim > 128 || a.HiddenSize >= 128 && a.HiddenSize%128 != 0 {
			t.Errorf("for %.3g: %+v", n, a)
		}
	}
	// A depth that is given is that of all sizes.
	flat := Model{Layers: new(int), HeadDim: 64, KVGroups: 1, RopeTheta: 10000}
	*flat.Layers = 2
	for _, s := range flat.automatic(4, 1e13, 0, 2048, 128) {
		if s.Layers != 2 {
			t.Errorf("of 2 layers: %s", s.Size)
		}
	}
	if s, err := flat.nearest(1.3e6, 2048, 128); err != nil || s.Size != (Size{2, 192}) {
		t.Errorf("%v: of 2 layers the nearest is %s", err, s.Size)
	}
	// The published models are not far from what is taken for the usual shape of their size.
	for dim, layers := range map[int]float64{4096: 32, 8192: 80, 16384: 126, 768: 12} {
		if off := math.Log(layers / (&Model{}).depth(dim)); math.Abs(off) > 0.25 {
			t.Errorf("width %d: %.1f layers are usual, %g are published", dim, (&Model{}).depth(dim), layers)
		}
	}
	small := Model{HeadDim: 32, KVGroups: 1, RopeTheta: 10000}
	for _, budget := range []float64{1e8, 1e12, 1e18, 1e22} {
		list := small.automatic(6, budget, 0, 4096, 256)
		for i := 1; i < len(list); i++ {
			if list[i].cost(256) <= list[i-1].cost(256) {
				t.Errorf("%g: %s is no more than %s", budget, list[i].Size, list[i-1].Size)
			}
		}
		if len(list) != 6 {
			t.Errorf("%g: %d sizes", budget, len(list))
		}
		least := tokensOf(budget, list[3].llm, 256)
		list = small.automatic(6, budget, least, 4096, 256)
		if len(list) == 0 || slices.ContainsFunc(list, func(s shape) bool { return tokensOf(budget, s.llm, 256) < least }) {
			t.Errorf("%g: %d sizes that see %d tokens", budget, len(list), least)
		}
		if budget > 1e15 && len(list) != 6 { // there is room below
			t.Errorf("%g: %d sizes", budget, len(list))
		}
	}
}

// runStep runs a type as a worker would, until on cancels it.
func runStep(t testing.TB, ctx context.Context, typ *steps.Type, s *steps.Spec, on func(steps.Event)) (steps.Event, error) {
	t.Helper()
	l := &listener{on: on}
	rt, err := steps.NewRuntime(s, l)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	err = rt.Do(ctx, typ)
	return l.last, err
}

type listener struct {
	on   func(steps.Event)
	last steps.Event
}

func (l *listener) Write(line []byte) (int, error) {
	if err := json.Unmarshal(line, &l.last); err != nil {
		return 0, err
	}
	if l.on != nil {
		l.on(l.last)
	}
	return len(line), nil
}

// TestProxy trains one, whole and interrupted: the same values and the same report.
func TestProxy(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	c := block()
	c.CheckpointEvery = 0
	config := proxyConfig{
		Data: traintest.Tokens(t, tokenizer, traintest.Part{Name: "a", Weight: 1, Train: traintest.Texts(40, 1), Holdout: traintest.Texts(5, 2)}),
		Size: Size{2, 32}, Budget: 1e9, Model: c.Model, training: c.training,
	}
	whole := spec(t, config)
	want, err := runStep(t, context.Background(), &proxyType, whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Model.shape(config.Size, tokenizer.VocabSize(), c.Context)
	if err != nil {
		t.Fatal(err)
	}
	tokens, loss := want.Values["tokens"].(float64), want.Values["loss"].(float64)
	if spent := tokens * s.llm.FLOPsPerToken(c.Context); spent > 1e9 || spent < 0.999e9 || loss > 4 || want.Values["dim"] != 32.0 {
		t.Errorf("%g FLOPs spent: %v", spent, want.Values)
	}
	cut := spec(t, config)
	ctx, cancel := context.WithCancel(context.Background())
	_, err = runStep(t, ctx, &proxyType, cut, func(e steps.Event) {
		if e.Kind == steps.EventMetric && e.Step == 20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	got, err := runStep(t, context.Background(), &proxyType, cut, nil)
	if err != nil || !reflect.DeepEqual(got.Values, want.Values) {
		t.Errorf("%v, want %v (%v)", got.Values, want.Values, err)
	}
	if a, b := report(t, whole), report(t, cut); !maps.EqualFunc(a, b, bytes.Equal) {
		t.Error("the reports differ")
	}
	config.MuP = &pretraining.MuP{BaseDim: 16}
	scaled, err := runStep(t, context.Background(), &proxyType, spec(t, config), nil)
	if err != nil || scaled.Values["loss"] == want.Values["loss"] || scaled.Values["tokens"] != want.Values["tokens"] {
		t.Errorf("with mup: %v (%v)", scaled.Values, err)
	}
	config.Budget = 1e6
	if path, text := blamed(second(runStep(t, context.Background(), &proxyType, spec(t, config), nil))); path != "budget" {
		t.Errorf("a budget of less than a batch: %s: %s", path, text)
	}
}

func second[T any](_ T, err error) error { return err }

// report reads the files of the report.
func report(t testing.TB, s *steps.Spec) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	dir := filepath.Join(s.WorkDir, "out", "report")
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if files[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// swept is the step's spec with children that a published law has made.
func swept(t testing.TB, c *Config, p parametric) *steps.Spec {
	t.Helper()
	s := spec(t, c)
	for _, budget := range c.Budgets {
		shapes, err := c.shapes(budget, 32000)
		if err != nil {
			t.Fatal(err)
		}
		for _, shape := range shapes {
			tokens := tokensOf(budget, shape.llm, c.Context)
			values, err := json.Marshal(map[string]any{
				"budget": budget, "n_layer": shape.Layers, "dim": shape.Dim, "vocab_size": 32000, "tokens": tokens,
				"parameters": shape.llm.Parameters(), "loss": p.loss(budget/6/float64(tokens), float64(tokens)),
			})
			if err != nil {
				t.Fatal(err)
			}
			s.Children = append(s.Children, steps.ChildResult{Name: fmt.Sprintf("%s/%s", Budget(budget), shape.Size), Values: values})
		}
	}
	return s
}

func TestRun(t *testing.T) {
	p := published["Chinchilla"]
	c := block()
	c.Budgets, c.Target, c.Size, c.Context = []float64{1e18, 6e18, 3e19, 1e20}, 5.76e23, nil, 2048
	c.Model = Model{HeadDim: 128, KVGroups: 1, RopeTheta: 10000, InitStd: 0.02}
	s := swept(t, c, p)
	end, err := runStep(t, context.Background(), &Type, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := func(name string) float64 { return end.Values[name].(float64) }
	interval := end.Values["exponent_interval"].([]any)
	if math.Abs(v("exponent")-p.exponent()) > 0.02 || interval[0].(float64) > v("exponent") || interval[1].(float64) < v("exponent") {
		t.Errorf("exponent %g in %v, and is %g", v("exponent"), interval, p.exponent())
	}
	size, err := c.Model.shape(Size{int(v("n_layer")), int(v("dim"))}, 32000, c.Context)
	if err != nil {
		t.Fatal(err)
	}
	if want := p.optimum(c.Target); math.Abs(math.Log(size.cost(c.Context)/want)) > 0.35 {
		t.Errorf("%s multiplies a token with %.3g weights, %.3g are best", size.Size, size.cost(c.Context), want)
	}
	if spent := v("tokens") * size.llm.FLOPsPerToken(c.Context); math.Abs(spent/c.Target-1) > 1e-3 || v("parameters") != float64(size.llm.Parameters()) {
		t.Errorf("%v: %g FLOPs", end.Values, spent)
	}
	files := report(t, s)
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"isoflop.svg", "metrics.jsonl", "parameters.svg", "summary.md", "tokens.svg"}) {
		t.Errorf("the report has %v", got)
	}
	for name, text := range files {
		if strings.HasSuffix(name, ".svg") {
			wellFormed(t, name, text)
		}
	}
	if n := bytes.Count(files["isoflop.svg"], []byte(`r="3"`)); n != 4*5+4 {
		t.Errorf("%d marks for 20 proxies and 4 minima", n)
	}
	for _, want := range []string{"5.76e23 FLOPs", "N*(C) = ", "| 1e18/", fmt.Sprintf("%d layers of %d", size.Layers, size.Dim)} {
		if !bytes.Contains(files["summary.md"], []byte(want)) {
			t.Errorf("the summary does not say %q:\n%s", want, files["summary.md"])
		}
	}
	again := swept(t, c, p)
	if _, err := runStep(t, context.Background(), &Type, again, nil); err != nil || !maps.EqualFunc(files, report(t, again), bytes.Equal) {
		t.Errorf("the same proxies give another report (%v)", err)
	}
}

// TestAnExponentThatSaysNothing: where the interval of the exponent leaves what makes sense, that is said, and the figures stay.
func TestAnExponentThatSaysNothing(t *testing.T) {
	c := block()
	c.Budgets, c.Target, c.Size, c.Context = []float64{1e19, 1.5e19}, 1e21, nil, 2048
	c.Model = Model{HeadDim: 128, KVGroups: 1, RopeTheta: 10000, InitStd: 0.02}
	for noise, says := range map[float64]bool{0: false, 0.015: true} {
		s := swept(t, c, published["Chinchilla"])
		r := rand.New(rand.NewPCG(4, 4))
		for i := range s.Children {
			var values map[string]any
			if err := s.Children[i].Decode(&values); err != nil {
				t.Fatal(err)
			}
			values["loss"] = values["loss"].(float64) + noise*r.NormFloat64()
			raw, err := json.Marshal(values)
			if err != nil {
				t.Fatal(err)
			}
			s.Children[i].Values = raw
		}
		said := ""
		end, err := runStep(t, context.Background(), &Type, s, func(e steps.Event) {
			if e.Kind == steps.EventWarn {
				said += e.Message
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		interval := end.Values["exponent_interval"].([]any)
		if leaves := interval[0].(float64) <= 0 || interval[1].(float64) >= 1; leaves != says || strings.Contains(said, "only one between 0 and 1 makes sense") != says {
			t.Errorf("noise %g: %v, and it says %q", noise, interval, said)
		}
		within := end.Values["predicted_loss_interval"].([]any)
		if loss := end.Values["predicted_loss"].(float64); loss < within[0].(float64) || loss > within[1].(float64) || loss < 1.69 && !says {
			t.Errorf("noise %g: %g in %v", noise, loss, within)
		}
	}
}

func wellFormed(t *testing.T, name string, text []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

// TestNothingToReadOff: no law without minima, and the curves that say so are kept, whatever is tried next.
func TestNothingToReadOff(t *testing.T) {
	for name, test := range map[string]struct {
		p          parametric
		size       []Size
		path, text string
	}{
		"sizes too small":   {published["Chinchilla"], []Size{{1, 128}, {2, 128}, {3, 128}}, "size[2]", "the largest is the best, so nothing can be read off it, and nothing is extrapolated: add larger sizes"},
		"sizes too large":   {published["Chinchilla"], []Size{{60, 3072}, {64, 3072}, {56, 3072}}, "size[2]", "the smallest is the best"},
		"automatic":         {parametric{1, 1e-9, 5000, 0.3, 0.3}, nil, "budgets[0]", "write size blocks with smaller sizes"},
		"automatic, larger": {parametric{1, 5000, 1e-9, 0.3, 0.3}, nil, "budgets[0]", "write size blocks with larger sizes"},
	} {
		c := block()
		c.Budgets, c.Target, c.Size, c.Context = []float64{3e19, 1e20}, 1e22, test.size, 2048
		c.Model = Model{HeadDim: 128, KVGroups: 1, RopeTheta: 10000, InitStd: 0.02}
		s := swept(t, c, test.p)
		end, err := runStep(t, context.Background(), &Type, s, nil)
		path, text := blamed(err)
		if path != test.path || !strings.Contains(text, test.text) || len(end.Values) > 0 {
			t.Errorf("%s: %s: %s", name, path, text)
		}
		for range 2 { // the figure outlives the next attempt
			dir := filepath.Join(s.WorkDir, "unfinished")
			svg, err := os.ReadFile(filepath.Join(dir, "isoflop.svg"))
			if err != nil || !strings.Contains(text, dir) || bytes.Count(svg, []byte(`r="3"`)) < 6 {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := os.Stat(filepath.Join(dir, "tokens.svg")); err == nil {
				t.Errorf("%s: a law is drawn", name)
			}
			rt, err := steps.NewRuntime(s, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if err := rt.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
