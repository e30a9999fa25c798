package train

import (
	"errors"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/llm"
)

// Numerics is the part of a block that says how a training computes.
type Numerics struct {
	Precision gpu.Precision `json:"precision" default:"\"auto\"" one_of:"auto,float32,bfloat16" hcl:"machine" doc:"How the large matrix products are computed. bfloat16 rounds their factors and adds up in float32; the weights that are trained, gradients and moments stay float32, and a GPU keeps activations in bfloat16 as well. auto: what is fastest on the device that runs the step."`
}

// Apply makes the passes of a model that the step trains or compares with compute so. A Numerics of no block is float32.
func (n Numerics) Apply(m *llm.Model) error {
	if n.Precision == "" {
		return nil
	}
	err := m.SetPrecision(n.Precision)
	switch {
	case errors.Is(err, gpu.ErrOutOfMemory):
		return err // the step knows what helps
	case err != nil:
		return steps.Blame("precision", "%w: write precision = \"auto\", or run the step on a device that has it", err)
	}
	return nil
}
