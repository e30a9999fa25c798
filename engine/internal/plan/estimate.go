package plan

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

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
	config, err := withArtifacts(s.Instance.Config)
	if err != nil {
		return nil, fmt.Errorf("estimating: %w", err)
	}
	spec, err := p.Predictor.spec(s, config, dsl.MarshalOptions{AllowUnknown: true, Artifact: planned})
	if err != nil {
		return nil, fmt.Errorf("estimating: %w", err)
	}
	if spec.Config, err = withNulls(spec.Config, config); err != nil {
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

// withNulls writes null for every attribute that the recipe leaves out, so that what is absent is what is not known yet.
func withNulls(raw json.RawMessage, config cty.Value) (json.RawMessage, error) {
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	addNulls(object, config)
	return json.Marshal(object)
}

func addNulls(object map[string]any, config cty.Value) {
	for name, v := range config.AsValueMap() {
		if !v.IsKnown() {
			continue
		}
		if v.IsNull() {
			object[name] = nil
			continue
		}
		switch below := object[name].(type) {
		case map[string]any:
			if v.Type().IsObjectType() {
				addNulls(below, v)
			}
		case []any:
			if v.Type().IsTupleType() && len(below) == v.LengthInt() {
				addNullsToAll(below, v)
			}
		}
	}
}

// addNullsToAll goes through the blocks of one name.
func addNullsToAll(list []any, config cty.Value) {
	for i, v := range config.AsValueSlice() {
		if object, ok := list[i].(map[string]any); ok && v.IsKnown() && !v.IsNull() && v.Type().IsObjectType() {
			addNulls(object, v)
		}
	}
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
