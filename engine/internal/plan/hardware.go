package plan

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/engine/internal/hardware"
)

// Settings is what the pipeline block may hold beside what the language gives it.
type Settings struct {
	Hardware *hardware.Config `json:"hardware" hcl:"block" doc:"GPUs to work out memory, hours and cost for. Only engine plan reads it: it changes no result and no key, and engine run trains on the device of its own machine."`
}

// settings reads the pipeline block.
func settings(program *dsl.Program) (Settings, hcl.Diagnostics) {
	var s Settings
	if len(program.Pipeline) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(program.Pipeline, &s); err != nil {
		return s, hcl.Diagnostics{dsl.Error(program.PipelineRange(""), "Invalid configuration", Sentence(err.Error()))}
	}
	if s.Hardware == nil {
		return s, nil
	}
	if err := s.Hardware.Check(); err != nil {
		path := "hardware"
		if bad := (*hardware.ConfigError)(nil); errors.As(err, &bad) {
			path += "." + bad.Path
		}
		return s, hcl.Diagnostics{dsl.Error(program.PipelineRange(path), "Invalid configuration", Sentence("hardware: "+err.Error()))}
	}
	return s, nil
}

// Equipment is the hardware of a step and what training it takes there.
type Equipment struct {
	Setup hardware.Setup `json:"on"`
	hardware.Need
}

// equip says what the steps that will run take on the hardware that the pipeline names.
func (p *Plan) equip() (hcl.Diagnostics, error) {
	s, diags := settings(p.Program)
	if diags.HasErrors() || s.Hardware == nil {
		return diags, nil
	}
	p.Hardware = s.Hardware
	for i, step := range s.Hardware.Steps {
		if found, err := p.Find(step.Address); (err != nil || len(found) == 0) && len(p.options.Targets) == 0 {
			diags = append(diags, dsl.Error(p.Program.PipelineRange(fmt.Sprintf("hardware.step[%d].address", i)),
				"No such step", p.unknown(step.Address)))
		}
	}
	for _, step := range p.Steps {
		if step.Action != Run && step.Action != Deferred {
			continue
		}
		parent := ""
		if step.Parent != nil {
			parent = step.Parent.Name()
		}
		setup, err := s.Hardware.For(step.Name(), parent)
		if err != nil {
			return diags, err // Check has looked at all of them
		}
		if need, ok := setup.Need(step.Estimate); ok {
			step.Equipment = &Equipment{setup, need}
			p.Need.Add(need)
		}
	}
	return diags, nil
}
