package scalinglaw

import (
	"fmt"

	"athanor/steps"
)

// check looks at what the block alone can tell.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	seen := map[float64]bool{}
	for i, b := range c.Budgets {
		path := fmt.Sprintf("budgets[%d]", i)
		if b < 1 {
			return steps.Blame(path, "a budget of %g FLOPs trains nothing", b)
		}
		if seen[b] {
			return steps.Blame(path, "the budget %s stands here twice", Budget(b))
		}
		seen[b] = true
	}
	if !(c.Model.RopeTheta > 1) {
		return steps.Blame("model.rope_theta", "rope_theta is %g: it must be more than 1", c.Model.RopeTheta)
	}
	if n := len(c.Size); n == 1 || n == 2 {
		return steps.Blame("size[0]", "a curve needs three sizes, and there are %d: write more size blocks, or none to have them chosen", n)
	}
	sizes := map[Size]bool{}
	for i, size := range c.Size {
		path := fmt.Sprintf("size[%d]", i)
		if n := c.Model.Layers; n != nil && size.Layers != *n {
			return steps.Blame(path+".n_layer", "n_layer is %d here and %d in the model block: write the same, or leave the latter out", size.Layers, *n)
		}
		if sizes[size] {
			return steps.Blame(path, "the size %s stands here twice", size)
		}
		sizes[size] = true
		if _, err := c.Model.shape(size, 1, c.Context); err != nil {
			return steps.Within(path, err)
		}
	}
	return nil
}

func (s Size) String() string { return fmt.Sprintf("%dx%d", s.Layers, s.Dim) }

// fewestSteps is how many optimizer steps a size must have to be chosen automatically: with fewer, the loss says more of
// the warm-up than of the size.
const fewestSteps = 50

// expand makes a child of each size at each budget. With the vocabulary it tells how many tokens each of them will see.
func expand(in *steps.EstimateInput) ([]steps.Child, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return nil, err
	}
	vocab := int(in.Upstream["data"].Facts["vocab_size"])
	var children []steps.Child
	for i, budget := range c.Budgets {
		shapes, err := c.shapes(budget, vocab)
		if err != nil {
			return nil, err
		}
		path := fmt.Sprintf("budgets[%d]", i)
		if len(shapes) < 3 {
			return nil, steps.Blame(path, "the budget is too small for its proxies: %s FLOPs train fewer than three sizes for %d steps of %d tokens. Raise it, lower batch.tokens, or write size blocks",
				Budget(budget), fewestSteps, c.Batch.Tokens)
		}
		for j := range shapes {
			if err := c.affordable(budget, &shapes[j], j, path); err != nil {
				return nil, err
			}
			children = append(children, steps.Child{
				Name: fmt.Sprintf("%s/%s", Budget(budget), shapes[j].Size), Type: &proxyType, Path: path,
				Config: proxyConfig{Data: c.Data, Budget: budget, Size: shapes[j].Size, Model: c.Model, training: c.training},
			})
		}
	}
	return children, nil
}

// shapes are the models to train at a budget. If the vocabulary is not known they are taken to have the smallest, which
// makes them cheaper than they are.
func (c *Config) shapes(budget float64, vocab int) ([]shape, error) {
	if len(c.Size) == 0 {
		if vocab == 0 {
			return nil, fmt.Errorf("the sizes cannot be chosen without the vocabulary of the data, and %w: write size blocks", steps.ErrNotYet)
		}
		return c.Model.automatic(c.Sizes, budget, fewestSteps*c.Batch.Tokens, vocab, c.Context), nil
	}
	list := make([]shape, len(c.Size))
	for i, size := range c.Size {
		var err error
		if list[i], err = c.Model.shape(size, max(1, vocab), c.Context); err != nil {
			return nil, steps.Within(fmt.Sprintf("size[%d]", i), err)
		}
	}
	return list, nil
}

// affordable makes sure that a proxy takes at least one optimizer step, and that the training blocks fit together.
func (c *Config) affordable(budget float64, s *shape, index int, path string) error {
	tokens := tokensOf(budget, s.llm, c.Context)
	if tokens >= c.Batch.Tokens {
		return c.run(tokens).Check()
	}
	problem := fmt.Sprintf("%s FLOPs train the size %s on %d tokens, less than one batch of %d", Budget(budget), s.Size, tokens, c.Batch.Tokens)
	if index > 0 && len(c.Size) > 0 {
		return steps.Blame(fmt.Sprintf("size[%d]", index), "%s: leave the size out, raise the budget, or lower batch.tokens", problem)
	}
	return steps.Blame(path, "the budget is too small for its proxies: %s. Raise it, lower batch.tokens, or write smaller size blocks", problem)
}
