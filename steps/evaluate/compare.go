package evaluate

import (
	"athanor/steps"
)

// compare sets the differences of models from the one that each is set against, item by item: what is hard for one is
// hard for all, so their difference is much surer than either figure.
func (c *Config) compare(outcomes []*outcome) {
	byName := map[string]*outcome{}
	for _, o := range outcomes {
		byName[o.Model] = o
	}
	for i, o := range outcomes[1:] {
		base := outcomes[0]
		if name := c.Others[i].Against; name != nil {
			base = byName[*name]
		}
		o.Against = base.Model
		for j := range o.Measures {
			o.Measures[j].against(&base.Measures[j])
		}
	}
}

// against sets a figure beside the same of another model.
func (m *measure) against(base *measure) {
	if m.num == nil {
		return
	}
	differences := make([]float64, len(m.num))
	for i := range differences {
		differences[i] = m.num[i] - base.num[i]
	}
	d := ratio(differences, m.den)
	m.Difference = &d
	if !m.judge {
		return
	}
	wins, ties := make([]float64, len(m.num)), 0
	for i := range wins {
		switch {
		case differences[i] > 0:
			wins[i] = 1
		case differences[i] == 0:
			wins[i] = 0.5
			ties++
		}
	}
	// A share of wins, draws counting half: no answer scores more or less than a whole one, so Wilson's interval is on the
	// safe side.
	w := share(wins)
	m.Wins, m.Ties = &w, float64(ties)/float64(len(wins))
}

// valueNames are the outputs that the metrics of tasks go to; those of answers go to chat.
var valueNames = map[string]string{
	"bits_per_byte": "bits_per_byte", "acc": "accuracy", "exact_match": "accuracy", "acc_norm": "accuracy_norm", "perplexity": "perplexity",
}

// setValues sets the value outputs.
func setValues(rt *steps.Runtime, outcomes []*outcome) {
	values := map[string]map[string]float64{
		"loss": {}, "bits_per_byte": {}, "accuracy": {}, "accuracy_norm": {}, "perplexity": {}, "gzip": {}, "xz": {},
		"chat": {}, "win_rate": {}, "difference": {}, "difference_low": {}, "difference_high": {},
	}
	for _, o := range outcomes {
		for _, r := range o.Texts {
			values["loss"][o.prefix()+r.Name] = r.Loss
			for name, bits := range r.Baselines {
				values[name][r.Name] = bits
			}
		}
		for i := range o.Measures {
			m := &o.Measures[i]
			full := o.prefix() + m.Task + "/" + m.Metric
			if m.chat {
				values["chat"][full] = m.Value
			} else {
				values[valueNames[m.Metric]][o.prefix()+m.Task] = m.Value
			}
			if d := m.Difference; d != nil {
				values["difference"][full], values["difference_low"][full], values["difference_high"][full] = d.Value, d.Low, d.High
			}
			if m.Wins != nil {
				values["win_rate"][full] = m.Wins.Value
			}
		}
	}
	for name, v := range values {
		rt.Set(name, v)
	}
}
