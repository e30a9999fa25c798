package extendcontext

import (
	"fmt"
	"maps"
	"strconv"

	"athanor/steps"
)

// check looks at what the block alone can tell.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if err := c.Gate.Grid.Fits(0); err != nil {
		return steps.Within("gate.grid", err)
	}
	for i, stage := range c.Stages {
		path := fmt.Sprintf("stage[%d]", i)
		if least := c.Gate.Grid.Least(); stage.Context < least {
			return steps.Blame(path+".context", "a context of %d tokens is too short for a needle: a fact, its question and some text take at least %d", stage.Context, least)
		}
		if i > 0 && stage.Context <= c.Stages[i-1].Context {
			return steps.Blame(path+".context", "a context of %d tokens comes after one of %d: stages grow", stage.Context, c.Stages[i-1].Context)
		}
		if stage.RopeTheta != nil && !(*stage.RopeTheta > 1) {
			return steps.Blame(path+".rope_theta", "rope_theta is %g: it must be more than 1", *stage.RopeTheta)
		}
		if f := stage.Scaling; f != nil && f.Type == "llama3" && !(f.LowFreqFactor > 0 && f.HighFreqFactor > f.LowFreqFactor) {
			return steps.Blame(path+".rope_scaling.low_freq_factor", "llama3 needs 0 < low_freq_factor < high_freq_factor, not %g and %g", f.LowFreqFactor, f.HighFreqFactor)
		}
		child := c.stage(i, c.Model)
		if err := child.check(); err != nil {
			return steps.Within(path, err)
		}
	}
	if err := c.Gate.Grid.Fits(c.Stages[len(c.Stages)-1].Context); err != nil {
		return steps.Within("gate.grid", err)
	}
	return nil
}

// stage is the configuration of a stage that begins with a model.
func (c *Config) stage(i int, model steps.Artifact) *stageConfig {
	s := c.Stages[i]
	child := &stageConfig{
		Model: model, Original: c.Model, Data: s.Data, HeldOut: c.Data,
		Context: s.Context, MaxTokens: s.MaxTokens, RopeTheta: s.RopeTheta, Scaling: s.Scaling, Gate: c.Gate, training: c.training,
	}
	if child.Data.IsZero() {
		child.Data = c.Data
	}
	if s.Optimizer != nil {
		child.Optimizer = *s.Optimizer
	}
	if s.Schedule != nil {
		child.Schedule = *s.Schedule
	}
	if s.Batch != nil {
		child.Batch = *s.Batch
	}
	// Only what matters to the stage is in its key: the lengths of others are not.
	child.Gate.Grid.Lengths = c.Gate.lengths(s.Context)
	return child
}

// lengths are those of the grid up to a context, which is one of them; none if the grid names none.
func (g *Gate) lengths(context int) []int {
	if len(g.Grid.Lengths) == 0 {
		return nil
	}
	var lengths []int
	for _, n := range g.Grid.Lengths {
		if n < context {
			lengths = append(lengths, n)
		}
	}
	return append(lengths, context)
}

// expand makes a child of every stage; each begins with the model of the one before.
func expand(in *steps.EstimateInput) ([]steps.Child, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return nil, err
	}
	var children []steps.Child
	model := c.Model
	for i, stage := range c.Stages {
		child := steps.Child{
			Name: strconv.Itoa(stage.Context), Type: &stageType, Path: fmt.Sprintf("stage[%d]", i), Config: *c.stage(i, model),
		}
		children = append(children, child)
		model = child.Output("model")
	}
	return children, nil
}

// estimate passes the shape of the model on, with its context. What training costs is in the stages' own estimates.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	up := in.Upstream["model"]
	facts := maps.Clone(up.Facts)
	if facts != nil && len(c.Stages) > 0 {
		facts["max_context"] = float64(c.Stages[len(c.Stages)-1].Context)
	}
	return steps.Estimate{Parameters: up.Parameters, Facts: facts}, nil
}
