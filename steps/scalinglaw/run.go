package scalinglaw

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"athanor/steps"
)

// A proxy is what a child has made.
type proxy struct {
	Name       string  `json:"name"`
	Budget     float64 `json:"budget"`
	Layers     int     `json:"n_layer"`
	Dim        int     `json:"dim"`
	Parameters int64   `json:"parameters"`
	Tokens     float64 `json:"tokens"`
	Loss       float64 `json:"loss"`
	VocabSize  int     `json:"vocab_size"`
}

// A result is what the proxies come to.
type result struct {
	config  *Config
	proxies []proxy // by budget and size, as the block has them
	points  []Point
	law     *Law

	shape   shape // of the model for the target; the rest is not set where there is no law
	tokens  int64
	alpha   Interval
	params  Interval // of N* at the target
	trusted bool     // whether the two are known

	surface  *Surface
	loss     float64 // of the model
	within   Interval
	foretold bool // whether within is known
}

// run fits the law to what the children have made.
func run(_ context.Context, rt *steps.Runtime) error {
	r := &result{config: &Config{}}
	if err := rt.Config(r.config); err != nil {
		return err
	}
	for _, child := range rt.Spec().Children {
		p := proxy{Name: child.Name}
		if err := child.Decode(&p); err != nil {
			return fmt.Errorf("the proxy %s: %w", child.Name, err)
		}
		r.proxies = append(r.proxies, p)
		r.points = append(r.points, Point{p.Budget, p.Tokens, p.Loss})
	}
	var wrong []*NoMinimumError
	if r.law, wrong = Fit(r.points); len(wrong) > 0 {
		return r.fail(rt, wrong[0].advice(len(r.config.Size) > 0), wrong[0].path(r.config))
	}
	if alpha := r.law.Alpha; !sensible(alpha) {
		return r.fail(rt, fmt.Sprintf("the best size grows with the budget to the power of %.3g, and only an exponent between 0 and 1 makes sense: "+
			"the budgets lie too close together for the noise of the losses", alpha), "budgets")
	}
	if err := r.extrapolate(rt); err != nil {
		return err
	}
	dir, err := rt.Output("report")
	if err != nil {
		return err
	}
	return r.write(dir)
}

// extrapolate reads the model for the target off the law and sets the value outputs.
func (r *result) extrapolate(rt *steps.Runtime) error {
	c, vocab := r.config, r.proxies[0].VocabSize
	var err error
	if r.shape, err = c.Model.nearest(r.law.Params(c.Target), vocab, c.Context); err != nil {
		return err
	}
	r.tokens = tokensOf(c.Target, r.shape.llm, c.Context)
	r.alpha, r.params, r.trusted = r.law.Bootstrap(rt.Seed(), c.Target)
	interval := []float64{}
	if r.trusted {
		interval = []float64{r.alpha.Low, r.alpha.High}
		if !sensible(r.alpha.Low) || !sensible(r.alpha.High) {
			rt.Warn("the exponent %.3g may as well be anything from %.3g to %.3g, and only one between 0 and 1 makes sense: the size for the target is hardly more than a guess. Spread the budgets further, raise them, or add sizes",
				r.law.Alpha, r.alpha.Low, r.alpha.High)
		}
	} else {
		rt.Warn("there are too few proxies to say how far the law can be trusted: add a budget, or a fourth size")
	}
	r.foretell(rt.Seed())
	within := []float64{}
	if r.foretold {
		within = []float64{r.within.Low, r.within.High}
	}
	const far = 1000
	if last := r.law.Curves[len(r.law.Curves)-1].Budget; c.Target > far*last {
		rt.Warn("the target is more than %d times the largest budget: so far out the law is a guess", far)
	}
	rt.Set("n_layer", r.shape.Layers)
	rt.Set("dim", r.shape.Dim)
	rt.Set("n_head", r.shape.llm.NumAttentionHeads)
	rt.Set("n_kv_head", r.shape.llm.NumKeyValueHeads)
	rt.Set("parameters", r.shape.llm.Parameters())
	rt.Set("tokens", r.tokens)
	rt.Set("predicted_loss", r.loss)
	rt.Set("predicted_loss_interval", within)
	rt.Set("exponent", r.law.Alpha)
	rt.Set("exponent_interval", interval)
	return nil
}

// foretell finds out what loss the model should reach.
func (r *result) foretell(seed uint64) {
	r.surface = fitSurface(r.points)
	n, d := r.shape.cost(r.config.Context), float64(r.tokens)
	r.loss = r.surface.At(n, d)
	r.within, r.foretold = r.surface.Bootstrap(r.points, seed, n, d)
}

// fail ends the step without a law. What has been measured stays beside the work, drawn, since it says what to do.
func (r *result) fail(rt *steps.Runtime, problem, path string) error {
	dir, err := rt.Unfinished()
	if err == nil {
		err = r.write(dir)
	}
	return errors.Join(steps.Blame(path, "%s. The curves are drawn in %s", problem, filepath.Join(dir, "isoflop.svg")), err)
}

// path is what to change so that a curve has a minimum.
func (e *NoMinimumError) path(c *Config) string {
	for i, b := range c.Budgets {
		if b == e.Budget && len(c.Size) == 0 {
			return fmt.Sprintf("budgets[%d]", i)
		}
	}
	best := -1
	for i, s := range c.Size {
		if best < 0 || (e.Edge == Largest) == (s.Layers*s.Dim*s.Dim > c.Size[best].Layers*c.Size[best].Dim*c.Size[best].Dim) {
			best = i
		}
	}
	return fmt.Sprintf("size[%d]", best)
}

// advice says what is wrong and how to mend it.
func (e *NoMinimumError) advice(sized bool) string {
	const never = ", so nothing can be read off it, and nothing is extrapolated"
	switch {
	case e.Edge == Neither:
		return e.Error() + never + ": the losses are too noisy for the distance between the sizes; spread the sizes, or raise the budget"
	case sized && e.Edge == Smallest:
		return e.Error() + never + ": add smaller sizes"
	case sized:
		return e.Error() + never + ": add larger sizes"
	case e.Edge == Smallest:
		return e.Error() + never + ": write size blocks with smaller sizes, or raise the budget"
	}
	return e.Error() + never + ": write size blocks with larger sizes"
}
