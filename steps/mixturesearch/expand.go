package mixturesearch

import (
	"maps"
	"math"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/tokens"
)

// check looks at what the block alone can tell.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if err := weighs("target", c.Target, 0); err != nil {
		return err
	}
	if c.Around != nil {
		if err := weighs("around", c.Around, math.SmallestNonzeroFloat64); err != nil {
			return err
		}
	}
	return c.run().Check()
}

// weighs makes sure that numbers can be weights.
func weighs(path string, weights map[string]float64, least float64) error {
	total := 0.0
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		w := weights[name]
		if !(w >= least) || math.IsInf(w, 0) {
			if least > 0 {
				return steps.Blame(path, "the weight of %q is %g: draws are around weights above 0; leave the part out of the data instead", name, w)
			}
			return steps.Blame(path, "the weight of %q is %g: it must be a number from 0 on", name, w)
		}
		total += w
	}
	if total == 0 {
		return steps.Blame(path, "the weights sum to 0: write at least one above it")
	}
	return nil
}

// expand makes a child of each mixture. Which weights it has, it finds out from the data; what names of parts cannot be is
// said before there is any.
func expand(in *steps.EstimateInput) ([]steps.Child, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return nil, err
	}
	if parts := tokens.PartNames(in.Upstream["data"].Facts); len(parts) > 0 {
		if err := c.question.checkNames(parts); err != nil {
			return nil, err
		}
		if err := c.design.checkNames(parts); err != nil {
			return nil, err
		}
	}
	children := make([]steps.Child, c.Proxies)
	for i := range children {
		children[i] = steps.Child{
			Name: mixtureName(i), Type: &proxyType, Path: "proxies",
			Config: proxyConfig{Model: c.Model, Data: c.Data, Number: i, design: c.forNumber(i), training: c.training, Question: c.question},
		}
	}
	return children, nil
}

// forNumber is the design as far as a mixture depends on it: those that are not drawn do not.
func (d design) forNumber(number int) design {
	if number < 2 {
		return design{Concentration: 1}
	}
	return d
}
