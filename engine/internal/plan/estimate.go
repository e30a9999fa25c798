package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"athanor/dsl"
	"athanor/engine/internal/journal"
	"athanor/steps"
)

// estimate asks every step type what its step will need. Facts flow down from step to step, so cached steps are asked
// as well; a plan in which nothing runs needs no estimates. A step that is found to be impossible is an error.
func (p *Plan) estimate() (hcl.Diagnostics, error) {
	if !p.Busy() {
		return nil, nil
	}
	var diags hcl.Diagnostics
	history := history{p.Predictor.state.Journal, map[string]float64{}}
	for _, s := range p.Steps {
		if s.Action == Skipped {
			continue
		}
		if s.Type.Estimate != nil {
			d, err := p.estimateStep(s)
			diags = append(diags, d...)
			if err != nil {
				return diags, err
			}
		}
		if s.Action != Cached {
			s.Seconds = history.seconds(s)
		}
	}
	return diags, nil
}

// estimateStep asks for one step's estimate; a step that cannot succeed is reported.
func (p *Plan) estimateStep(s *Step) (hcl.Diagnostics, error) {
	e, err := p.Predictor.estimate(s, func(up *Step) (steps.Estimate, error) { return up.Estimate, nil })
	var impossible *steps.ImpossibleError
	var unknown *unknownError
	switch {
	case errors.As(err, &impossible) && s.Action != Cached && s.Instance.When.IsKnown():
		return Blame(s, "This step would fail", impossible.Err), nil
	case errors.As(err, &unknown):
		return nil, nil
	case err != nil:
		return nil, err
	}
	if s.Action == Cached {
		if err := found(&e, s); err != nil {
			return nil, err
		}
	}
	s.Estimate = e
	return nil, nil
}

// history is what the journal tells about steps that will run.
type history struct {
	journal *journal.Journal
	rates   map[string]float64 // of step types
}

// seconds expects the time of a step; 0 if nothing is known. Where operations are counted it is as fast as it was, or as
// others of its type were. Where they are not, what works on a model takes as long as it took.
func (h *history) seconds(s *Step) float64 {
	e := &s.Estimate
	if e.FLOPs == 0 && e.Parameters == 0 {
		return 0
	}
	if e.FLOPs == 0 {
		seconds, _ := h.journal.Took(s.Type.Name, s.Name())
		return seconds
	}
	rate, ok := h.journal.Rate(s.Type.Name, s.Name())
	if !ok {
		if rate, ok = h.rates[s.Type.Name]; !ok {
			rate, _ = h.journal.TypeRate(s.Type.Name)
			h.rates[s.Type.Name] = rate
		}
	}
	if rate == 0 {
		return 0
	}
	return e.FLOPs / rate
}

// found puts what a cached step has found in the place of what was expected: its outputs that are numbers are facts.
func found(e *steps.Estimate, s *Step) error {
	values := map[string]any{}
	if err := json.Unmarshal(s.Made.Values, &values); err != nil {
		return fmt.Errorf("the outputs of %s: %w", s.Name(), err)
	}
	facts := map[string]float64{}
	maps.Copy(facts, e.Facts)
	for _, o := range s.Type.Outputs {
		if number, ok := values[o.Name].(float64); ok && o.Type == "number" {
			facts[o.Name] = number
		}
	}
	e.Facts = facts
	return nil
}

// calibrate expects a time of the trainings that no earlier run tells anything about. Trainings that are planned for other
// hardware have none on this machine.
func (p *Plan) calibrate() (hcl.Diagnostics, error) {
	if p.options.Speeds == nil || p.Hardware != nil {
		return nil, nil
	}
	var ask []*Step
	var estimates []steps.Estimate
	for _, s := range p.Steps {
		if (s.Action == Run || s.Action == Deferred) && s.Seconds == 0 && s.Estimate.FLOPs > 0 && s.Estimate.Training != nil {
			ask, estimates = append(ask, s), append(estimates, s.Estimate)
		}
	}
	if len(ask) == 0 {
		return nil, nil
	}
	for i, speed := range p.options.Speeds(estimates) {
		if speed > 0 {
			ask[i].Seconds = (ask[i].Estimate.FLOPs + ask[i].Estimate.Training.ReadFLOPs) / speed
		}
	}
	return nil, nil
}

// An unknownError says that a step type cannot tell yet what its step will need: an estimate is a help and not a check.
type unknownError struct{ error }

func (e *unknownError) Unwrap() error { return e.error }

// estimate asks a step type what its step will need, given the estimates of the steps above it.
func (p *Predictor) estimate(s *Step, above func(*Step) (steps.Estimate, error)) (steps.Estimate, error) {
	config, err := s.Instance.Placed()
	if err != nil {
		return steps.Estimate{}, fmt.Errorf("estimating: %w", err)
	}
	artifact := planned
	if s.Action != Cached {
		artifact = p.stored
	}
	in, err := p.describe(s, config, artifact, above)
	if err != nil {
		return steps.Estimate{}, err
	}
	e, err := s.Type.Estimate(in)
	if err != nil {
		err = &unknownError{err}
	}
	return e, err
}

// stored is an artifact with its folder, if it is there.
func (p *Predictor) stored(a dsl.Artifact) any {
	out := steps.Artifact{Kind: a.Kind, Digest: a.Digest}
	if a.Digest != "" {
		out.Path, _ = p.state.Store.Path(a.Digest) // without it an estimate is coarser
	}
	return out
}

// estimateInput describes a step when nothing has been estimated yet: it estimates what lies above.
func (p *Predictor) estimateInput(s *Step, config cty.Value, artifact func(dsl.Artifact) any) (*steps.EstimateInput, error) {
	done := map[*Step]steps.Estimate{}
	var above func(*Step) (steps.Estimate, error)
	above = func(up *Step) (steps.Estimate, error) {
		if e, ok := done[up]; ok || up.Type.Estimate == nil || up.Action == Skipped {
			return e, nil
		}
		if up.Instance == nil {
			instance, diags := up.Program.Eval(p.known)
			if diags.HasErrors() {
				return steps.Estimate{}, nil // reported where it belongs
			}
			up.Instance = instance
		}
		e, err := p.estimate(up, above)
		if unknown := (*unknownError)(nil); errors.As(err, &unknown) {
			err = nil
		}
		done[up] = e
		return e, err
	}
	return p.describe(s, config, artifact, above)
}

func (p *Predictor) describe(s *Step, config cty.Value, artifact func(dsl.Artifact) any, above func(*Step) (steps.Estimate, error)) (*steps.EstimateInput, error) {
	spec, err := p.spec(s, config, dsl.MarshalOptions{AllowUnknown: true, Artifact: artifact})
	if err != nil {
		return nil, fmt.Errorf("estimating: %w", err)
	}
	if spec.Config, err = withNulls(spec.Config, config); err != nil {
		return nil, fmt.Errorf("estimating: %w", err)
	}
	in := &steps.EstimateInput{Spec: spec, Upstream: map[string]steps.Estimate{}}
	for path, address := range s.Instance.Sources() {
		if up := p.plan.byName[address.String()]; up != nil {
			if in.Upstream[path], err = above(up); err != nil {
				return nil, err
			}
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

// Total sums what will run: operations, and seconds where they are known. complete is false if a training that will run
// has no expected time.
func (p *Plan) Total() (flops, seconds float64, complete bool) {
	complete = true
	for _, s := range p.Steps {
		if s.Action != Run && s.Action != Deferred {
			continue
		}
		flops += s.Estimate.FLOPs
		seconds += s.Seconds
		complete = complete && (s.Seconds > 0 || s.Estimate.FLOPs == 0 && s.Estimate.Training == nil)
	}
	return flops, seconds, complete
}
