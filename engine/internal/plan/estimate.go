package plan

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/steps"
)

// estimate asks every step type what its step will need. Facts flow down from step to step, so cached steps are asked
// as well; a plan in which nothing runs needs no estimates.
func (p *Plan) estimate() (hcl.Diagnostics, error) {
	if !p.Busy() {
		return nil, nil
	}
	rates := map[string]float64{}
	for _, s := range p.Steps {
		if s.Action == Skipped || s.Type.Estimate == nil {
			continue
		}
		in, err := p.estimateInput(s)
		if err != nil {
			return nil, err
		}
		// A step type that cannot tell yet says so with an error: an estimate is a help and not a check.
		e, err := s.Type.Estimate(in)
		if err != nil {
			continue
		}
		s.Estimate = e
		rate, ok := rates[s.Type.Name]
		if !ok {
			rate, _ = p.Predictor.state.Journal.Rate(s.Type.Name)
			rates[s.Type.Name] = rate
		}
		if rate > 0 {
			s.Seconds = e.FLOPs / rate
		}
	}
	return nil, nil
}

func (p *Plan) estimateInput(s *Step) (*steps.EstimateInput, error) {
	spec, err := p.Predictor.spec(s, s.Instance.Config, dsl.MarshalOptions{AllowUnknown: true, Artifact: planned})
	if err != nil {
		return nil, fmt.Errorf("estimating: %w", err)
	}
	in := &steps.EstimateInput{Spec: spec, Upstream: map[string]steps.Estimate{}}
	for path, address := range s.Instance.Sources() {
		if up := p.byName[address.String()]; up != nil {
			in.Upstream[path] = up.Estimate
		}
	}
	return in, nil
}

// Total sums what will run: operations, and seconds where they are known. complete is false if a step that will run
// has no expected time.
func (p *Plan) Total() (flops, seconds float64, complete bool) {
	complete = true
	for _, s := range p.Steps {
		if s.Action != Run && s.Action != Deferred {
			continue
		}
		flops += s.Estimate.FLOPs
		seconds += s.Seconds
		complete = complete && (s.Seconds > 0 || s.Estimate.FLOPs == 0)
	}
	return flops, seconds, complete
}
