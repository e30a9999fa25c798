package sampling_test

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/cpu"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train/traintest"
)

func open(t *testing.T) (*llm.Model, *bpe.Tokenizer, gpu.Device) {
	t.Helper()
	dev, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	tokenizer := traintest.Tokenizer(t)
	m, err := llm.Load(dev, traintest.Model(t, tokenizer, traintest.Config(320)).Path)
	if err != nil {
		t.Fatal(err)
	}
	return m, tokenizer, dev
}

func TestDraw(t *testing.T) {
	m, tokenizer, _ := open(t)
	c := sampling.Config{Prompts: []string{"The old", "", "naïve"}, Tokens: 6, Temperature: 1}
	draw := func(seed uint64) []sampling.Sample {
		s, err := sampling.Draw(context.Background(), m, tokenizer, c, seed)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, again, other := draw(1), draw(1), draw(2)
	if !reflect.DeepEqual(first, again) || reflect.DeepEqual(first, other) {
		t.Errorf("seed 1: %+v, again: %+v, seed 2: %+v", first, again, other)
	}
	for i, s := range first {
		if s.Prompt != c.Prompts[i] || s.Text == "" || strings.HasPrefix(s.Text, s.Prompt+"The") {
			t.Errorf("%+v", s)
		}
	}
}

// always makes a model that gives one token whatever comes before.
func always(t *testing.T, m *llm.Model, dev gpu.Device, id int32) {
	t.Helper()
	for _, p := range m.Params() {
		row := make([]float32, p.Weight.Len())
		switch p.Name {
		case "model.embed_tokens.weight", "model.norm.weight":
			for i := range row {
				row[i] = 1
			}
		case "lm_head.weight":
			for i := range p.Weight.Cols {
				row[int(id)*p.Weight.Cols+i] = 1
			}
		}
		dev.Write(p.Weight, row)
	}
}

func TestDrawEndsAtTheEndOfText(t *testing.T) {
	m, tokenizer, dev := open(t)
	eos, _ := tokenizer.EOS()
	eot, _ := tokenizer.EOT()
	word := tokenizer.Encode("T")[0]
	for _, tc := range []struct {
		id   int32
		want sampling.Sample
	}{
		{eos, sampling.Sample{Prompt: "The", Ended: true}},
		{eot, sampling.Sample{Prompt: "The", Ended: true}},
		{word, sampling.Sample{Prompt: "The", Text: "TTT"}},
	} {
		always(t, m, dev, tc.id)
		got, err := sampling.Draw(context.Background(), m, tokenizer, sampling.Config{Prompts: []string{"The"}, Tokens: 3}, 1)
		if err != nil || !slices.Equal(got, []sampling.Sample{tc.want}) {
			t.Errorf("a model that always says %d: %+v, %v", tc.id, got, err)
		}
	}
}

func TestWriting(t *testing.T) {
	samples := []sampling.Sample{{Step: 3, Tokens: 9, Prompt: "a <b>", Text: "```x", Ended: true}, {Prompt: "c\n", Text: "d"}}
	data, err := sampling.JSONL(samples)
	if err != nil {
		t.Fatal(err)
	}
	var read []sampling.Sample
	for d := json.NewDecoder(strings.NewReader(string(data))); d.More(); {
		var s sampling.Sample
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		read = append(read, s)
	}
	if !slices.Equal(read, samples) || !strings.Contains(string(data), "a <b>") {
		t.Errorf("%s", data)
	}
	if want := "````\na <b>```x ∎\n````\n\n```\nc\nd …\n```\n\n"; sampling.Markdown(samples) != want {
		t.Errorf("%q", sampling.Markdown(samples))
	}
}
