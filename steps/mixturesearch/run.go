package mixturesearch

import (
	"context"
	"fmt"
	"math"

	"athanor/steps"
)

// A proxy is what a child has made.
type proxy struct {
	Name    string             `json:"name"`
	Weights map[string]float64 `json:"weights"`
	Losses  map[string]float64 `json:"losses"`
	Tokens  float64            `json:"tokens"`

	mixture   []float64 // Weights, in the order of the parts
	target    float64   // measured
	predicted float64   // by a law fitted to the others
}

// A result is what the proxies come to.
type result struct {
	config  *Config
	parts   []part
	proxies []proxy
	law     *law

	best      []float64 // weights
	predicted float64   // the target in them
	fitError  float64
	spread    float64 // standard deviation of the proxies' targets
	caps      []float64
}

// run fits the law to what the children have made, and finds its minimum.
func run(_ context.Context, rt *steps.Runtime) error {
	r := &result{config: &Config{}}
	if err := rt.Config(r.config); err != nil {
		return err
	}
	var err error
	if r.parts, err = readParts(r.config.Data.Path); err != nil {
		return err
	}
	if err := r.config.check(r.parts); err != nil { // a proxy does not depend on what is asked, and may be an old one
		return err
	}
	for _, child := range rt.Spec().Children {
		p := proxy{Name: child.Name}
		if err := child.Decode(&p); err != nil {
			return fmt.Errorf("the proxy %s: %w", child.Name, err)
		}
		r.proxies = append(r.proxies, p)
	}
	r.fit()
	r.search()
	r.warn(rt)
	weights := map[string]float64{}
	for i, p := range r.parts {
		weights[p.Name] = r.best[i]
	}
	rt.Set("weights", weights)
	rt.Set("predicted_loss", r.predicted)
	rt.Set("fit_error", r.fitError)
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	return r.write(dir)
}

// fit fits the law and finds out how far it can be trusted.
func (r *result) fit() {
	var shares []float64
	var scored []string
	total := 0.0
	for _, p := range r.parts {
		if w := r.config.Target[p.Name]; w > 0 {
			scored, shares = append(scored, p.Name), append(shares, w)
			total += w
		}
	}
	for j := range shares {
		shares[j] /= total
	}
	weights, losses := make([][]float64, len(r.proxies)), make([][]float64, len(r.proxies))
	mean := 0.0
	for i := range r.proxies {
		p := &r.proxies[i]
		for _, part := range r.parts {
			p.mixture = append(p.mixture, p.Weights[part.Name])
		}
		for j, name := range scored {
			losses[i] = append(losses[i], p.Losses[name])
			p.target += shares[j] * p.Losses[name]
		}
		weights[i] = p.mixture
		mean += p.target / float64(len(r.proxies))
	}
	r.law = fit(weights, losses, shares)
	for i, predicted := range leaveOneOut(weights, losses, shares) {
		p := &r.proxies[i]
		p.predicted = predicted
		r.fitError += square(predicted - p.target)
		r.spread += square(p.target - mean)
	}
	n := float64(len(r.proxies))
	r.fitError, r.spread = math.Sqrt(r.fitError/n), math.Sqrt(r.spread/n)
}

// search finds the best weights within the epoch caps. No part gets a smaller or larger share than in some proxy, where
// the caps allow it: further out nothing has been measured.
func (r *result) search() {
	r.caps = r.config.caps(r.parts)
	low, high := make([]float64, len(r.parts)), make([]float64, len(r.parts))
	for i := range r.parts {
		low[i] = 1
		for _, p := range r.proxies {
			low[i], high[i] = min(low[i], p.mixture[i]), max(high[i], p.mixture[i])
		}
		low[i], high[i] = min(low[i], r.caps[i]), min(high[i], r.caps[i])
	}
	if sum(high) < 1 {
		high = r.caps
	}
	r.best = optimum(r.law, low, high)
	r.predicted = r.law.at(r.best)
}

// warn says what speaks against the result.
func (r *result) warn(rt *steps.Runtime) {
	const half = 0.7 // of the variance: 1 − 0.7² of it is explained
	if r.fitError > half*r.spread {
		rt.Warn("the law misses a proxy that it was not fitted to by %.4f, and the proxies differ by %.4f: it explains less than half of what makes them differ, so the weights mean little. Raise proxies or tokens", r.fitError, r.spread)
	}
	const harmless = 4 // epochs (arXiv 2305.16264)
	for i, p := range r.parts {
		most := 0.0
		for _, proxy := range r.proxies {
			most = max(most, proxy.mixture[i]*proxy.Tokens/float64(p.Tokens))
		}
		if most > harmless {
			rt.Warn("a proxy has seen the part %s %.1f times: what it says of that part is about repetition. Lower tokens, or add data", p.Name, most)
		}
	}
}
