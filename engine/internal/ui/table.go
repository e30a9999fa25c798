package ui

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"athanor/engine/internal/plan"
)

// Plan prints what a run will do.
func Plan(w io.Writer, p *plan.Plan) error {
	style := StyleOf(w)
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", style.paint(bold, p.Program.Name))
	var rows [][]string
	for _, s := range p.Steps {
		rows = append(rows, []string{"  " + s.Name(), style.action(s.Action), need(s), reason(s)})
	}
	b.WriteString(Columns(rows))
	b.WriteString("\n" + summary(p) + "\n" + equipment(p, style))
	if unset := p.Program.Unset; len(unset) > 0 {
		b.WriteString("\nengine run needs a value of " + strings.Join(unset, ", ") + ": --var " + unset[0] + "=…, or --var-file.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// reason is the last column: why, and what comes first.
func reason(s *plan.Step) string {
	text := s.Reason
	if s.Action == plan.Run && len(s.After) > 0 {
		names := make([]string, len(s.After))
		for i, a := range s.After {
			names[i] = a.String()
		}
		text += "; after " + strings.Join(names, ", ")
	}
	if s.Resumes {
		text += "; goes on from its last checkpoint"
	}
	return text
}

// need is what a step will need, as far as is known.
func need(s *plan.Step) string {
	if s.Action != plan.Run && s.Action != plan.Deferred {
		return ""
	}
	var parts []string
	e := s.Estimate
	for _, p := range []struct {
		v    float64
		unit string
	}{{float64(e.Parameters), " parameters"}, {float64(e.Tokens), " tokens"}} {
		if p.v > 0 {
			parts = append(parts, Count(p.v)+p.unit)
		}
	}
	if e.FLOPs > 0 {
		parts = append(parts, FLOPs(e.FLOPs))
	}
	if e.Memory > 0 && s.Equipment == nil { // of this machine
		parts = append(parts, Bytes(e.Memory))
	}
	if len(s.Children) == 0 && s.Equipment == nil { // else its children say it, or it is not for this machine
		for _, attribute := range slices.Sorted(maps.Keys(s.Machine)) {
			parts = append(parts, s.Machine[attribute])
		}
	}
	if s.Seconds >= 0.05 || s.Seconds > 0 && e.FLOPs > 0 { // of what has no operations 0.0s says nothing
		parts = append(parts, "about "+Duration(s.Seconds))
	}
	return strings.Join(parts, ", ")
}

func summary(p *plan.Plan) string {
	if !p.Busy() {
		return fmt.Sprintf("Nothing to do: %s.", counts(p))
	}
	text := fmt.Sprintf("Plan: %s.", counts(p))
	flops, seconds, complete := p.Total()
	if flops > 0 {
		text += " " + FLOPs(flops)
		switch {
		case seconds > 0 && complete:
			text += ", about " + Duration(seconds)
		case seconds > 0:
			text += ", more than " + Duration(seconds)
		}
		text += "."
	}
	return text
}

func counts(p *plan.Plan) string {
	var parts []string
	for _, c := range []struct {
		action plan.Action
		words  string
	}{{plan.Run, "to run"}, {plan.Deferred, "deferred"}, {plan.Cached, "cached"}, {plan.Skipped, "skipped"}} {
		if n := p.Count(c.action); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c.words))
		}
	}
	if len(parts) == 0 {
		return "no steps"
	}
	return strings.Join(parts, ", ")
}
