package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/needle"
)

func needlesConfig() Config {
	c := newConfig()
	c.JSONL = []RecordSource{{Include: []string{"a"}}}
	c.Holdout = 0.3
	c.Needles = &Needles{Share: 0.5, Every: 400, Facts: needle.Facts{Template: "The magic number of the {key} is {value}.", Digits: 4}}
	return c
}

func TestNeedlesArePlantedInWhatIsTrainedOn(t *testing.T) {
	var a strings.Builder
	for i := range 60 {
		fmt.Fprintf(&a, "{\"text\":\"Document %d.%s\"}\n", i, strings.Repeat(`\nThe old furnace warms the long night.`, 25))
	}
	dir := put(t, map[string]string{"a": a.String()})
	c := needlesConfig()
	p, err := produce(t, dir, 2, c)
	if err != nil {
		t.Fatal(err)
	}
	planted, facts := 0, 0
	fact := regexp.MustCompile(`(?m)^The magic number of the \w+ \w+ is \d{4}\.$`)
	for _, text := range p.texts(t, corpus.Train) {
		found := fact.FindAllString(text, -1)
		if facts += len(found) / 2; len(found) > 0 {
			planted++
		}
		if slices.Sort(found); len(found)%2 != 0 || len(found) > 0 && (len(found) != 4 || found[0] != found[1] || found[2] != found[3] || found[1] == found[2]) {
			t.Errorf("facts %q", found)
		}
	}
	held := p.texts(t, corpus.Holdout)
	if n := len(p.texts(t, corpus.Train)); planted < n/4 || planted > 3*n/4 || len(held) == 0 {
		t.Errorf("%d of %d documents have facts, %d are held back", planted, n, len(held))
	}
	if fact.MatchString(strings.Join(held, "\n")) {
		t.Error("facts stand in held-out documents")
	}
	stats := p.data.Stats()
	bytes := 0
	for _, text := range p.texts(t, corpus.Train) {
		bytes += len(text)
	}
	if stats.Needles != int64(facts) || stats.Splits[corpus.Train].Bytes != int64(bytes) || p.events[len(p.events)-1].Values["bytes"] != float64(bytes) {
		t.Errorf("stats %+v, %d facts, %d bytes", stats, facts, bytes)
	}
	summary, err := os.ReadFile(filepath.Join(filepath.Dir(p.dir), "report", "summary.md"))
	if err != nil || !strings.Contains(string(summary), fmt.Sprintf("%d facts are planted", facts)) {
		t.Errorf("%v\n%s", err, summary)
	}

	// What is held back is the same without them; the second way through the documents plants the same.
	c.Needles = nil
	without, err := produce(t, dir, 1, c)
	if err != nil || !slices.Equal(without.texts(t, corpus.Holdout), held) {
		t.Errorf("%v: other documents are held back", err)
	}
	c = needlesConfig()
	c.Dedup = &Dedup{Exact: true, Near: ptr(1.0), Ngram: 5, Buckets: 14, Hashes: 8, Memory: 1}
	second, err := produce(t, dir, 1, c)
	if err != nil || !slices.Equal(second.texts(t, corpus.Train), p.texts(t, corpus.Train)) {
		t.Errorf("%v: other facts", err)
	}
}

// TestPracticeOfALength: documents are cut into pieces, each with facts of its own, and nothing is lost.
func TestPracticeOfALength(t *testing.T) {
	var a strings.Builder
	for i := range 40 {
		fmt.Fprintf(&a, "{\"text\":\"Document %d.%s\"}\n", i, strings.Repeat(`\nThe old furnace warms the long night.`, 25))
	}
	dir := put(t, map[string]string{"a": a.String()})
	c := needlesConfig()
	c.Needles = &Needles{Share: 1, Every: 1000, Length: 300, Repeats: 4, Facts: needle.Facts{Template: "The {key} obeys {value}.", Values: "names"}}
	p, err := produce(t, dir, 2, c)
	if err != nil {
		t.Fatal(err)
	}
	fact := regexp.MustCompile(`(?m)^The \w+ \w+ obeys \w+\.\n`)
	train, texts := p.texts(t, corpus.Train), []string{}
	for _, text := range train {
		said := fact.FindAllString(text, -1)
		if slices.Sort(said); len(said) < 2 || len(said) > 5 || said[0] != said[len(said)-1] {
			t.Errorf("a piece says %q", said)
		}
		rest := fact.ReplaceAllString(text, "")
		if strings.HasPrefix(rest, "Document ") {
			texts = append(texts, "")
		} else if len(rest) > 450 {
			t.Errorf("a piece has %d bytes", len(rest))
		}
		texts[len(texts)-1] += strings.ReplaceAll(rest, "\n", "") // a fact at the end of a piece ends its line
	}
	if stats := p.data.Stats(); stats.Needles != int64(len(train)) || stats.Splits[corpus.Train].Documents != int64(len(train)) || len(train) < 2*len(texts) {
		t.Errorf("%d pieces of %d documents; %+v", len(train), len(texts), stats)
	}
	c.Needles = nil
	without, err := produce(t, dir, 1, c)
	if err != nil {
		t.Fatal(err)
	}
	whole := without.texts(t, corpus.Train)
	for i := range whole {
		whole[i] = strings.ReplaceAll(whole[i], "\n", "")
	}
	if !slices.Equal(whole, texts) || !slices.Equal(without.texts(t, corpus.Holdout), p.texts(t, corpus.Holdout)) {
		t.Error("the pieces are not the documents, or others are held back")
	}
}

func TestNeedlesThatCannotBePlanted(t *testing.T) {
	for _, c := range []struct {
		name, file string
		change     func(*Config)
		path, says string
	}{
		{"no text", `{"messages":[{"role":"user","content":"Q"}]}`, func(*Config) {}, "needles", "messages documents"},
		{"no fact", `{"text":"a"}`, func(c *Config) { c.Needles.Template = "{value}" }, "needles.template", "no {key}"},
	} {
		config := needlesConfig()
		config.Holdout = 0
		c.change(&config)
		_, err := produce(t, put(t, map[string]string{"a": c.file}), 1, config)
		var blame *steps.AttributeError
		if !errors.As(err, &blame) || blame.Path != c.path || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
