package main

import (
	"fmt"
	"io"

	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps"
)

// warnMemory says which steps need more memory than the device of the run has. Estimates are of float32, and a device that
// keeps its tensors in bfloat16 needs half of that at least: what may fit is not warned of.
func warnMemory(w io.Writer, device string, made *plan.Plan) error {
	if made.Hardware != nil { // the pipeline is planned for other machines
		return nil
	}
	var most int64
	for _, s := range made.Steps {
		if needs(s) > most {
			most = needs(s)
		}
	}
	if most == 0 {
		return nil
	}
	info, err := steps.DeviceInfo(device)
	if err != nil || info.Memory == 0 || most <= info.Memory {
		return err
	}
	for _, s := range made.Steps {
		if n := needs(s); n > info.Memory {
			fmt.Fprintf(w, "warning: %s needs at least %s of memory and %s has %s: train a smaller model, shorten its context, or lower micro_tokens in its batch or update block\n",
				s.Name(), ui.Bytes(n), info.Name, ui.Bytes(info.Memory))
		}
	}
	return nil
}

// needs is the least memory that a step will take on this machine; 0 if it is not known or does not run here.
func needs(s *plan.Step) int64 {
	switch {
	case s.Action != plan.Run && s.Action != plan.Deferred || s.Equipment != nil:
		return 0
	case s.Machine["precision"] == "bfloat16":
		return s.Estimate.Memory / 2
	}
	return s.Estimate.Memory
}
