package average

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train/traintest"
)

// model writes a model with the weights of a seed.
func model(t *testing.T, tokenizer *bpe.Tokenizer, seed uint64, change func(c *llm.Config)) steps.Artifact {
	t.Helper()
	c := traintest.Config(320)
	if change != nil {
		change(&c)
	}
	dir := t.TempDir()
	if err := llm.WriteInitial(context.Background(), dir, c, seed); err != nil {
		t.Fatal(err)
	}
	if tokenizer != nil {
		if err := tokenizer.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	return steps.Artifact{Kind: "model", Digest: "m", Path: dir}
}

func weights(t *testing.T, dir string) []float64 {
	t.Helper()
	m, err := llm.Load(ref.Open(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []float64
	for _, p := range m.Params() {
		all = append(all, ref.Float64(p.Weight)...)
	}
	return all
}

func TestRun(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	models := []steps.Artifact{model(t, nil, 1, nil), model(t, tokenizer, 2, nil), model(t, tokenizer, 3, nil)}
	var parts [][]float64
	for _, m := range models {
		parts = append(parts, weights(t, m.Path))
	}
	for _, c := range []struct {
		given, want []float64
	}{
		{nil, []float64{1. / 3, 1. / 3, 1. / 3}},
		{[]float64{1, 2, 1}, []float64{0.25, 0.5, 0.25}},
		{[]float64{0, 0, 5}, []float64{0, 0, 1}},
	} {
		dir := t.TempDir()
		l, err := traintest.Attempt(t, context.Background(), &Type, &Config{Models: models, Weights: c.given}, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out", "model")
		for i, got := range weights(t, out) {
			want := 0.0
			for j, share := range c.want {
				want += share * parts[j][i]
			}
			if math.Abs(got-want) > 1e-7 {
				t.Fatalf("%v: weight %d is %g, want %g", c.given, i, got, want)
			}
		}
		if own, err := bpe.Load(out); err != nil || own.Digest() != tokenizer.Digest() {
			t.Errorf("the tokenizer: %v", err)
		}
		if n := l.Last().Values["parameters"].(float64); int64(n) != traintest.Config(320).Parameters() {
			t.Errorf("%g parameters", n)
		}
	}
}

func TestStopped(t *testing.T) {
	c := &Config{Models: []steps.Artifact{model(t, nil, 1, nil), model(t, nil, 2, nil)}}
	want, l, _ := traintest.Whole(t, &Type, c)
	if !strings.Contains(l.Texts(steps.EventWarn), "tokenizer") {
		t.Error("models without a tokenizer are no warning")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := traintest.Attempt(t, ctx, &Type, c, dir, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := traintest.Attempt(t, context.Background(), &Type, c, dir, nil); err != nil {
		t.Fatal(err)
	}
	traintest.Same(t, traintest.Outputs(t, dir), want)
}

// TestScores: what is taken off the scores of reward models is averaged with their heads.
func TestScores(t *testing.T) {
	c := &Config{Weights: []float64{1, 3}}
	for i, shift := range []float64{2, -4} {
		c.Models = append(c.Models, model(t, nil, uint64(i), func(c *llm.Config) { c.Score, c.ScoreShift = true, shift }))
	}
	_, _, dir := traintest.Whole(t, &Type, c)
	got, err := llm.ReadConfig(filepath.Join(dir, "out", "model"))
	if err != nil || !got.Score || got.ScoreShift != 0.25*2-0.75*4 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestErrors(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	first := model(t, tokenizer, 1, nil)
	other, _, err := bpe.Train(context.Background(), func(yield func(string, error) bool) {
		yield(strings.Repeat("abcdefgh ", 50), nil)
	}, bpe.TrainOptions{VocabSize: 268, Special: "llama3"})
	if err != nil {
		t.Fatal(err)
	}
	ten := 10.0
	for _, tc := range []struct {
		name   string
		second steps.Artifact
		parts  []string
	}{
		{"another width", model(t, tokenizer, 2, func(c *llm.Config) { c.HiddenSize = 48 }), []string{"hidden_size is 48", "first model 32"}},
		{"other layers and theta", model(t, tokenizer, 2, func(c *llm.Config) { c.NumHiddenLayers, c.RopeTheta = 1, 5e5 }), []string{"num_hidden_layers is 1", "rope_theta is 500000"}},
		{"tied", model(t, tokenizer, 2, func(c *llm.Config) { c.TieWordEmbeddings = true }), []string{"tie_word_embeddings is true"}},
		{"scaled", model(t, tokenizer, 2, func(c *llm.Config) { c.RopeScaling = &llm.RopeScaling{RopeType: "linear", Factor: &ten} }), []string{"rope_scaling", "10"}},
		{"a reward model", model(t, tokenizer, 2, func(c *llm.Config) { c.Score = true }), []string{"architecture is LlamaForSequenceClassification", "first model LlamaForCausalLM"}},
		{"another context", model(t, tokenizer, 2, func(c *llm.Config) { c.MaxPositionEmbeddings = 64 }), []string{"max_position_embeddings is 64"}},
		{"another tokenizer", model(t, other, 2, nil), []string{"tokenizer is another"}},
		{"no model", steps.Artifact{Kind: "model", Path: t.TempDir()}, []string{"config.json"}},
	} {
		l, err := traintest.Attempt(t, context.Background(), &Type, &Config{Models: []steps.Artifact{first, tc.second}}, t.TempDir(), nil)
		last := l.Last()
		if err == nil || last.Kind != steps.EventFailed || last.Path != "models[1]" {
			t.Errorf("%s: %v: %+v", tc.name, err, last)
		}
		for _, part := range tc.parts {
			if !strings.Contains(last.Message, part) {
				t.Errorf("%s: %q is not in the message: %s", tc.name, part, last.Message)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	two := []steps.Artifact{{Kind: "model"}, {Kind: "model"}}
	for _, tc := range []struct {
		weights []float64
		path    string // "" for no error
	}{
		{nil, ""}, {[]float64{1, 3}, ""}, {[]float64{0, 3}, ""}, {[]float64{1}, "weights"}, {[]float64{0, 0}, "weights"}, {[]float64{1, -1}, "weights[1]"},
	} {
		config, err := json.Marshal(&Config{Models: two, Weights: tc.weights})
		if err != nil {
			t.Fatal(err)
		}
		err = Type.Check(&steps.Spec{Config: config})
		var blame *steps.AttributeError
		if errors.As(err, &blame); tc.path == "" && err != nil || tc.path != "" && (blame == nil || blame.Path != tc.path) {
			t.Errorf("%v: got %v, want the blame on %q", tc.weights, err, tc.path)
		}
	}
}

func TestEstimate(t *testing.T) {
	up := steps.Estimate{Parameters: 9, Facts: map[string]float64{"dim": 3}}
	e, err := Type.Estimate(&steps.EstimateInput{Upstream: map[string]steps.Estimate{"models[0]": up}})
	if err != nil || e.Parameters != 9 || e.Facts["dim"] != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := Type.Estimate(&steps.EstimateInput{}); err == nil {
		t.Error("no error without a model")
	}
}
