package ui

import (
	"fmt"
	"slices"
	"strings"

	"athanor/engine/internal/hardware"
	"athanor/engine/internal/plan"
)

// manyParts is how many parts of a composite step are one line together.
const manyParts = 8

// equipment is the table of what training takes on the hardware that the pipeline names; "" if nothing will train.
func equipment(p *plan.Plan, style Style) string {
	c := p.Hardware
	if c == nil || !slices.ContainsFunc(p.Steps, func(s *plan.Step) bool { return s.Equipment != nil }) {
		return ""
	}
	rows := [][]string{{"", "parameters", "6·N·tokens", "GiB of a GPU = weights + gradients + optimizer + activations", "GPU-hours", "time", "cost"}}
	fits, idle := true, ""
	for _, s := range p.Steps {
		switch many := s.Parent != nil && len(s.Parent.Children) > manyParts; {
		case s.Equipment == nil && s.Children != nil && len(s.Children) > manyParts:
			rows = append(rows, together(s, c))
		case s.Equipment == nil || many:
		default:
			rows = append(rows, taken(s, c, style))
			fits = fits && (s.Equipment.Memory == nil || s.Equipment.Memory.Fits)
			if e := s.Equipment; e.Busy < 1 {
				idle += fmt.Sprintf("%s: batches of %d sequences keep %.2g%% of its %s data-parallel copies busy.\n",
					s.Name(), s.Estimate.Training.BatchTokens/int64(s.Estimate.Training.Typical()), 100*e.Busy, Thousands(float64(e.Setup.Data)))
			}
		}
	}
	rows = append(rows, append([]string{"  in all", "", exponent(p.Need.SixND), ""}, bill(p.Need, c)...))
	s, _ := c.For("", "") // the plan has checked the block
	head := "\n" + fmt.Sprintf("On %s × %s at %.3g%% of %s/s each: %s.\n", Thousands(float64(s.GPUs)), s.GPU, 100*s.Utilization, FLOPs(s.FLOPs), division(&s))
	foot := Wrap("FLOPs above are 6 per token and weight of a matrix, and causal attention, 12 · layers · width · context/2 per token; "+
		"papers count 6·N·tokens. Memory: bfloat16 weights, float32 gradients, AdamW in float32, and activations; "+
		"what does not train, or on how many tokens is not known, has no hours.", "", 0)
	if !fits {
		foot += Wrap(fmt.Sprintf("Too much is more than the %s GiB of a GPU: raise tensor_parallel, pipeline_parallel or context_parallel, share more (sharding), or recompute more.",
			gib(s.Memory)), "", 0)
	}
	if idle != "" {
		idle += Wrap("The hours of those that wait are counted: take fewer gpus, larger batches, or more tensor_parallel, pipeline_parallel or context_parallel.", "", 0)
	}
	return head + Columns(rows) + "\n" + foot + idle
}

// taken is the line of a step.
func taken(s *plan.Step, c *hardware.Config, style Style) []string {
	e := s.Equipment
	memory := ""
	if m := e.Memory; m != nil {
		memory = fmt.Sprintf("%s = %s + %s + %s + %s", gib(m.Total), gib(m.Weights), gib(m.Gradients), gib(m.Optimizer), gib(m.Activations))
		if !m.Fits {
			memory = style.paint(red, memory+", too much")
		}
	}
	return append([]string{"  " + s.Name(), Thousands(float64(s.Estimate.Parameters)), exponent(e.SixND), memory}, bill(e.Need, c)...)
}

// together is one line for the many parts of a composite step.
func together(s *plan.Step, c *hardware.Config) []string {
	var sum hardware.Need
	n := 0
	for _, child := range s.Children {
		if child.Equipment != nil {
			sum.Add(child.Equipment.Need)
			n++
		}
	}
	return append([]string{"  " + s.Name(), fmt.Sprintf("%d models", n), exponent(sum.SixND), ""}, bill(sum, c)...)
}

// bill is hours, time and cost, where there are any.
func bill(n hardware.Need, c *hardware.Config) []string {
	if n.GPUHours == 0 {
		return nil
	}
	out := []string{short(n.GPUHours), Duration(n.Hours * 3600)}
	if c.Price != nil {
		out = append(out, c.Currency+short(n.Cost))
	}
	return out
}

// short is Count, also for less than one.
func short(v float64) string {
	if v < 1 {
		return fmt.Sprintf("%.2g", v)
	}
	return Count(v)
}

// exponent writes a number of operations as papers do; nothing if there are none.
func exponent(v float64) string {
	if v == 0 {
		return ""
	}
	return strings.Replace(fmt.Sprintf("%.3e", v), "e+", "e", 1)
}

func gib(bytes float64) string { return fmt.Sprintf("%.1f", bytes/(1<<30)) }

// division says how the work is divided.
func division(s *hardware.Setup) string {
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{{s.Data, "data"}, {s.Tensor, "tensor"}, {s.Pipeline, "pipeline"}, {s.Context, "context"}} {
		if p.n > 1 {
			parts = append(parts, fmt.Sprintf("%s-parallel %d", p.name, p.n))
		}
	}
	if len(parts) == 0 {
		return "one GPU"
	}
	text := strings.Join(parts, " × ")
	if s.Sharding != "none" && s.Data*s.Context > 1 {
		text += ", " + s.Sharding + " sharded"
	}
	return text
}
