package train

import (
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/steps/internal/llm"
)

// AdamW says how weights are updated: decoupled weight decay (arXiv 1711.05101, algorithm 2) on the tensors that take
// it, and gradients scaled so that their norm over all tensors is at most Clip.
type AdamW struct {
	Beta1, Beta2, Eps float64
	WeightDecay       float64
	Clip              float64  // 0: no clipping
	Groups            []Group  // weights with settings of their own
	MuP               *llm.MuP // scales learning rates with the width of the model; nil: they are as they are
}

// optimizer holds the moments of AdamW.
type optimizer struct {
	dev     gpu.Device
	config  AdamW
	params  []*llm.Param
	names   []string
	tensors []gpu.AdamWTensor
	grads   []gpu.Tensor
	rates   []float64 // multiply the learning rate of each tensor
	updates int       // taken so far
}

func newOptimizer(dev gpu.Device, params []*llm.Param, config AdamW) (*optimizer, error) {
	o := &optimizer{dev: dev, config: config, params: params}
	for _, p := range params {
		t := gpu.AdamWTensor{Weight: p.Weight, Master: p.Master, Grad: p.Grad}
		for _, moment := range []*gpu.Tensor{&t.M, &t.V} {
			m, err := dev.Alloc(gpu.F32, p.Weight.Rows, p.Weight.Cols)
			if err != nil {
				o.close()
				return nil, fmt.Errorf("the optimizer's moments: %w", err)
			}
			*moment = m
		}
		rate, decay := config.rates(p)
		t.Decay = decay
		o.rates = append(o.rates, rate)
		o.names = append(o.names, p.Name)
		o.tensors = append(o.tensors, t)
		o.grads = append(o.grads, p.Grad)
	}
	return o, nil
}

// norm is the Euclidean norm of the gradients of all tensors together.
func (o *optimizer) norm() (float64, error) {
	sum, err := o.dev.SumSquares(o.grads)
	return math.Sqrt(sum), err
}

// update takes one step, given the norm of the gradients.
func (o *optimizer) update(lr, norm float64) {
	scale := 1.0
	if o.config.Clip > 0 {
		scale = min(1, o.config.Clip/(norm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	}
	for i := range o.tensors {
		o.tensors[i].LR = lr * o.rates[i]
	}
	o.updates++
	o.dev.AdamW(o.tensors, gpu.AdamWStep{
		Beta1: o.config.Beta1, Beta2: o.config.Beta2, Eps: o.config.Eps, Step: o.updates, GradScale: scale,
	})
}

func (o *optimizer) close() {
	for _, t := range o.tensors {
		o.dev.Free(t.M)
		o.dev.Free(t.V)
	}
}
