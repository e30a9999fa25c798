// Package hardware works out what training would take on many GPUs: the memory of each, the hours and the cost.
//
// The engine trains on the one device that it runs on; this is arithmetic for a plan. Nothing here enters a key or a
// result. What a step trains comes from the estimate of its type ([steps.Estimate]), what it would be trained on from the
// hardware block of the pipeline ([Config]). Start at [Setup.Need]; memory.go has the formulas.
package hardware

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"athanor/steps"
)

// Config is the hardware block.
type Config struct {
	GPU    string   `json:"gpu" doc:"What to train on: a100-40gb, a100-80gb, h100-80gb or h200-141gb; or any name, with flops and memory."`
	GPUs   int      `json:"gpus" default:"1" min:"1" doc:"How many."`
	FLOPs  *float64 `json:"flops" min:"1" doc:"Peak of one GPU at the precision of training, in operations per second, without sparsity. Left out: that of bfloat16 in its data sheet."`
	Memory *float64 `json:"memory" min:"1" doc:"Memory of one GPU in bytes. Left out: that of its data sheet."`
	layout
	Utilization float64  `json:"utilization" default:"0.4" min:"0.001" max:"1" doc:"Share of the peak that training reaches, over all of its time (MFU, arXiv 2204.02311, appendix B). Llama 3 405B reports 0.38 to 0.43."`
	Price       *float64 `json:"price_per_hour" min:"0" doc:"Price of one GPU for an hour. Left out: no cost is shown."`
	Currency    string   `json:"currency" default:"$" doc:"Stands before every cost."`
	Steps       []Step   `json:"step" hcl:"block" doc:"Steps for which some of this is otherwise. The label is an address; that of a composite step, such as extend_context.long, stands for all its parts."`
}

// layout is how the work is divided among the GPUs.
type layout struct {
	Tensor    int    `json:"tensor_parallel" default:"1" min:"1" doc:"GPUs that share each matrix, and each sequence between the matrices (arXiv 2205.05198)."`
	Pipeline  int    `json:"pipeline_parallel" default:"1" min:"1" doc:"Groups of GPUs that share the layers; each micro-batch goes from one to the next."`
	Context   int    `json:"context_parallel" default:"1" min:"1" doc:"GPUs that share each sequence."`
	Sharding  string `json:"sharding" default:"none" one_of:"none,optimizer,gradients,weights" doc:"What the data-parallel GPUs share instead of each keeping a copy: the optimizer's states, the gradients too, or the weights too (stages 1 to 3 of ZeRO, arXiv 1910.02054; weights is FSDP's full sharding)."`
	Recompute string `json:"recompute" default:"selective" one_of:"none,selective,full" doc:"What the backward computes again instead of keeping it: nothing; what is cheap, the norms and SwiGLU's product; or all of a layer but its input."`
	Sequences int    `json:"micro_sequences" default:"1" min:"1" doc:"Sequences of a micro-batch."`
}

// Step is the hardware of some steps.
type Step struct {
	Address     string   `json:"address" hcl:"label"`
	GPUs        *int     `json:"gpus" min:"1" doc:"As in the block around; so for all others."`
	Tensor      *int     `json:"tensor_parallel" min:"1"`
	Pipeline    *int     `json:"pipeline_parallel" min:"1"`
	Context     *int     `json:"context_parallel" min:"1"`
	Sharding    *string  `json:"sharding" one_of:"none,optimizer,gradients,weights"`
	Recompute   *string  `json:"recompute" one_of:"none,selective,full"`
	Sequences   *int     `json:"micro_sequences" min:"1"`
	Utilization *float64 `json:"utilization" min:"0.001" max:"1"`
}

// sheet holds what data sheets say: dense bfloat16 operations per second, and bytes of memory.
var sheet = map[string]struct{ flops, memory float64 }{
	"a100-40gb":  {312e12, 40 << 30},
	"a100-80gb":  {312e12, 80 << 30},
	"h100-80gb":  {989.4e12, 80 << 30}, // SXM
	"h200-141gb": {989.4e12, 141e9},
}

// A Setup is the hardware that one step is trained on.
type Setup struct {
	GPU         string  `json:"gpu"`
	GPUs        int     `json:"gpus"`
	FLOPs       float64 `json:"flops"`  // of one GPU, per second
	Memory      float64 `json:"memory"` // of one GPU, bytes
	Utilization float64 `json:"utilization"`
	Price       float64 `json:"price_per_hour,omitempty"` // of one GPU; 0: not given
	Currency    string  `json:"currency,omitempty"`
	layout
	Data int `json:"data_parallel"` // copies of the model that see other sequences
}

// A ConfigError blames an attribute of the hardware block.
type ConfigError struct{ Path, Message string }

func (e *ConfigError) Error() string { return e.Message }

// Check finds out whether the block makes sense, for every step that it names.
func (c *Config) Check() error {
	if _, err := c.setup(-1); err != nil {
		return err
	}
	for i := range c.Steps {
		if _, err := c.setup(i); err != nil {
			return err
		}
	}
	return nil
}

// For is the hardware of a step. parent is the address of the composite step that it is a part of, or "".
func (c *Config) For(address, parent string) (Setup, error) {
	at := slices.IndexFunc(c.Steps, func(s Step) bool { return s.Address == address })
	if at < 0 && parent != "" {
		at = slices.IndexFunc(c.Steps, func(s Step) bool { return s.Address == parent })
	}
	return c.setup(at)
}

// setup is the block with what the step block of an index changes; -1: nothing.
func (c *Config) setup(index int) (Setup, error) {
	s := Setup{GPU: c.GPU, GPUs: c.GPUs, Utilization: c.Utilization, Currency: c.Currency, layout: c.layout}
	known, ok := sheet[c.GPU]
	s.FLOPs, s.Memory = known.flops, known.memory
	if !ok && (c.FLOPs == nil || c.Memory == nil) {
		return s, &ConfigError{"gpu", fmt.Sprintf("Nothing is known of a GPU %q: set flops and memory too, or take one of %s.",
			c.GPU, strings.Join(slices.Sorted(maps.Keys(sheet)), ", "))}
	}
	override(&s.FLOPs, c.FLOPs)
	override(&s.Memory, c.Memory)
	override(&s.Price, c.Price)
	path := "gpus"
	if index >= 0 {
		o := c.Steps[index]
		path = fmt.Sprintf("step[%d]", index)
		override(&s.GPUs, o.GPUs)
		override(&s.Tensor, o.Tensor)
		override(&s.Pipeline, o.Pipeline)
		override(&s.Context, o.Context)
		override(&s.Sharding, o.Sharding)
		override(&s.Recompute, o.Recompute)
		override(&s.Sequences, o.Sequences)
		override(&s.Utilization, o.Utilization)
	}
	together := s.Tensor * s.Pipeline * s.Context
	if s.Data = s.GPUs / together; s.GPUs%together != 0 {
		return s, &ConfigError{path, fmt.Sprintf("%d GPUs cannot be divided into groups of %d × %d × %d (tensor × pipeline × context): make gpus a multiple of %d.",
			s.GPUs, s.Tensor, s.Pipeline, s.Context, together)}
	}
	return s, nil
}

func override[T any](value *T, by *T) {
	if by != nil {
		*value = *by
	}
}

// A Need is what a step takes on a setup.
type Need struct {
	Memory   *Memory `json:"memory,omitempty"` // nil: the shape of the model is not known
	SixND    float64 `json:"flops_6nd"`        // 6 · parameters · tokens, as papers count training
	Busy     float64 `json:"busy,omitempty"`   // share of the data-parallel copies that a batch has sequences for
	GPUHours float64 `json:"gpu_hours"`
	Hours    float64 `json:"hours"`
	Cost     float64 `json:"cost,omitempty"`
}

// Need is what a step with an estimate takes. It reports false if that is no training.
func (s *Setup) Need(e steps.Estimate) (Need, bool) {
	if e.Training == nil {
		return Need{}, false
	}
	n := Need{SixND: 6 * float64(e.Parameters) * float64(e.Tokens), Busy: 1}
	if batch := e.Training.BatchTokens; batch > 0 {
		n.Busy = min(1, float64(batch)/float64(e.Training.Typical()*s.Data))
	}
	n.GPUHours = e.FLOPs / (s.FLOPs * s.Utilization * n.Busy) / 3600
	if m, ok := s.memory(e); ok {
		n.Memory = &m
	}
	n.Hours = n.GPUHours / float64(s.GPUs)
	n.Cost = n.GPUHours * s.Price
	return n, true
}

// Add adds the need of another step to the sum over steps; memory and what is busy have none.
func (n *Need) Add(other Need) {
	n.SixND += other.SixND
	n.GPUHours += other.GPUHours
	n.Hours += other.Hours
	n.Cost += other.Cost
}
