package preferences

import (
	"fmt"
	"strconv"

	"athanor/steps/internal/figure"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/sampling"
)

// What the report shows.
const (
	shown = 8  // pairs
	bins  = 10 // of the margins
)

// report sets the value outputs and writes what people read.
func (p *pairing) report(pairs []pair) error {
	sum, held := 0.0, 0
	prompts := map[*prompt]bool{}
	won := map[string]float64{}
	for _, a := range p.config.Answers {
		won[a.Name] = 0
	}
	for i := range pairs {
		sum += pairs[i].margin()
		prompts[pairs[i].prompt] = true
		won[p.config.Answers[pairs[i].chosen.source].Name]++
		if pairs[i].prompt.held {
			held++
		}
	}
	mean := sum / float64(len(pairs))
	for name := range won {
		won[name] /= float64(len(pairs))
	}
	rt := p.runtime
	rt.Set("pairs", len(pairs))
	rt.Set("prompts", len(prompts))
	rt.Set("margin", mean)
	rt.Set("chosen", won)
	rt.Set("dropped", p.dropped)

	r := finetune.Report{Title: "Preferences", Unit: "pairs", Samples: p.samples(pairs)}
	r.Row("pairs", "%d, %d of them held back", len(pairs), held)
	r.Row("prompts", "%d of %d have a pair", len(prompts), len(p.prompts))
	r.Row("margin", "%.4f on average", mean)
	if len(p.config.Answers) > 1 {
		for _, a := range p.config.Answers {
			r.Row("better answer of "+a.Name, "%.1f %%", 100*won[a.Name])
		}
	}
	if dropped := p.describe(); dropped != "" {
		r.Row("without a pair", "%s", dropped)
	}
	r.Files = map[string][]byte{"margins.svg": margins(pairs).SVG()}
	return r.Write(rt, nil)
}

// samples are the two answers of some pairs, the better first.
func (p *pairing) samples(pairs []pair) []sampling.Sample {
	var list []sampling.Sample
	for _, i := range finetune.Evenly(len(pairs), shown) {
		for _, a := range []*candidate{pairs[i].chosen, pairs[i].rejected} {
			asked := pairs[i].prompt.messages
			list = append(list, sampling.Sample{Prompt: asked[len(asked)-1].Content, Text: a.text, Ended: true, Score: &a.score})
		}
	}
	return list
}

// margins is how many pairs have which margin.
func margins(pairs []pair) *figure.Bars {
	widest := 0.0
	for i := range pairs {
		widest = max(widest, pairs[i].margin())
	}
	counts, names := make([]float64, bins), make([]string, bins)
	for i := range pairs {
		counts[min(bins-1, int(pairs[i].margin()/widest*bins))]++
	}
	for i := range names {
		names[i] = "≤ " + strconv.FormatFloat(widest*float64(i+1)/bins, 'g', 2, 64)
	}
	return &figure.Bars{
		Title: fmt.Sprintf("Margins of %d pairs", len(pairs)), YLabel: "pairs", Groups: names,
		Series: []figure.BarSeries{{Name: "margin", Values: counts}},
	}
}
