package mixturesearch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/tokens"
)

// A part is what is known of a part of the data.
type part struct {
	Name      string `json:"name"`
	Tokens    int64  `json:"tokens"`
	MaxEpochs *int   `json:"max_epochs"`
	HeldOut   bool   `json:"held_out"` // whether it has held-out documents
}

// readParts lists the parts of the data.
func readParts(dir string) ([]part, error) {
	set, err := tokens.Open(dir)
	if err != nil {
		return nil, err
	}
	var list []part
	for _, p := range set.Parts() {
		list = append(list, part{p.Name, p.Tokens, p.MaxEpochs, p.HoldoutDocuments > 0})
	}
	return list, set.Close()
}

// sizes are the tokens of the parts.
func sizes(parts []part) []float64 {
	v := make([]float64, len(parts))
	for i, p := range parts {
		v[i] = float64(p.Tokens)
	}
	return v
}

// center is what the draws are around. Around the sizes alone, a small part would be next to nothing in nearly all draws,
// and it is small parts that a search is for.
func (d *design) center(parts []part) ([]float64, error) {
	if d.Around == nil {
		v := sizes(parts)
		total := sum(v)
		for i := range v {
			v[i] = v[i]/total + 1/float64(len(v))
		}
		return v, nil
	}
	if err := d.checkNames(names(parts)); err != nil {
		return nil, err
	}
	v := make([]float64, len(parts))
	for i, p := range parts {
		v[i] = d.Around[p.Name]
	}
	return v, nil
}

// checkNames makes sure that around has a weight for each part and for nothing else.
func (d *design) checkNames(parts []string) error {
	if d.Around == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(d.Around)) {
		if !slices.Contains(parts, name) {
			return steps.Blame("around", "the data has no part %q: its parts are %s", name, strings.Join(parts, ", "))
		}
	}
	for _, name := range parts {
		if _, ok := d.Around[name]; !ok {
			return steps.Blame("around", "the part %q has no weight here: write one for each of %s", name, strings.Join(parts, ", "))
		}
	}
	return nil
}

func names(parts []part) []string {
	var list []string
	for _, p := range parts {
		list = append(list, p.Name)
	}
	return list
}

// A question is what is to be read off the proxies. They do not depend on it, but are not worth training if it cannot be
// answered.
type question struct {
	Target  map[string]float64 `json:"target" min:"1" doc:"Parts whose held-out loss is to be small, with their weights in the mean: { code = 2, prose = 1 }."`
	Budget  *int64             `json:"budget" min:"1" doc:"Tokens of the training that the weights are for. With it no part's share is more than its max_epochs allow. Left out: parts may be repeated without limit."`
	Epochs  int                `json:"max_epochs" default:"4" min:"1" doc:"How often a part without max_epochs of its own may be repeated within budget. Up to 4 cost little (arXiv 2305.16264)."`
	Proxies int                `json:"proxies" default:"16" min:"4" max:"256" doc:"Mixtures to try: the sizes of the parts, equal weights, and draws. At least two more than there are parts; three times as many are better."`
}

// checkNames finds out whether the parts suit the question, as far as their names say: before there is any data.
func (q *question) checkNames(parts []string) error {
	k := len(parts)
	if k < 2 {
		return steps.Blame("data", "the data has one part, %s: there is nothing to weigh against it", parts[0])
	}
	if q.Proxies < fewest(k) {
		return steps.Blame("proxies", "the law of %d parts has %d coefficients, and each of %d proxies is left out of it once: raise proxies to %d, better %d",
			k, k+1, q.Proxies, fewest(k), 3*k)
	}
	for _, name := range slices.Sorted(maps.Keys(q.Target)) {
		if !slices.Contains(parts, name) {
			return steps.Blame("target", "the data has no part %q: its parts are %s", name, strings.Join(parts, ", "))
		}
	}
	return nil
}

// check finds out whether there can be an answer for these parts.
func (q *question) check(parts []part) error {
	if err := q.checkNames(names(parts)); err != nil {
		return err
	}
	for _, p := range parts {
		if _, asked := q.Target[p.Name]; asked && !p.HeldOut {
			return steps.Blame("target", "the part %q has no held-out documents, so its loss cannot be measured: set holdout in its dataset", p.Name)
		}
	}
	total := sum(q.caps(parts))
	if total < 1 {
		return steps.Blame("budget", "no weights meet the epoch caps: the parts give %.0f of %d tokens (%s). Raise max_epochs, add data, or lower budget",
			math.Floor(total*float64(*q.Budget)), *q.Budget, q.supply(parts))
	}
	return nil
}

// epochs is how often a part may be repeated.
func (q *question) epochs(p *part) int {
	if p.MaxEpochs != nil {
		return *p.MaxEpochs
	}
	return q.Epochs
}

// caps are the largest shares of the parts.
func (q *question) caps(parts []part) []float64 {
	v := make([]float64, len(parts))
	for i := range parts {
		v[i] = 1
		if q.Budget != nil {
			v[i] = min(1, float64(parts[i].Tokens)*float64(q.epochs(&parts[i]))/float64(*q.Budget))
		}
	}
	return v
}

func (q *question) supply(parts []part) string {
	var list []string
	for i := range parts {
		list = append(list, fmt.Sprintf("%s %d tokens × %d epochs", parts[i].Name, parts[i].Tokens, q.epochs(&parts[i])))
	}
	return strings.Join(list, ", ")
}
