package gputest

import (
	"fmt"

	"athanor/gpu"
)

func adamWTrials() []trial {
	var all []trial
	for _, c := range []struct {
		name  string
		steps int
		h     gpu.AdamWStep
	}{
		{"one step", 1, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradScale: 1}},
		{"twenty steps", 20, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, GradScale: 1}},
		{"beta2 0.999, clipped", 20, gpu.AdamWStep{Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, GradScale: 0.125}},
	} {
		all = append(all, trial{name: c.name, run: func(f *fixture) { f.adamW(c.steps, c.h) }})
	}
	return all
}

// adamW takes steps with a new gradient in each, on tensors that differ in size, rate and decay.
func (f *fixture) adamW(steps int, h gpu.AdamWStep) {
	var tensors []gpu.AdamWTensor
	for _, c := range []struct {
		rows, cols int
		lr, decay  float64
	}{
		{1, 1, 0.1, 0}, {3, 17, 0.03, 0.1}, {65, 129, 0.1, 0.1}, {1, 257, 0, 0.1}, {130, 257, 3e-4, 0},
	} {
		zeros := func() gpu.Tensor {
			return f.tensor(gpu.F32, c.rows, c.cols, false, func() float32 { return 0 })
		}
		t := gpu.AdamWTensor{Weight: f.inout(c.rows, c.cols), M: zeros(), V: zeros(), LR: c.lr, Decay: c.decay}
		if f.variant.dtype != gpu.F32 {
			t.Master = f.grad(c.rows, c.cols)
		}
		tensors = append(tensors, t)
	}
	for step := range steps {
		h.Step = step + 1
		for i := range tensors {
			w := tensors[i].Weight
			tensors[i].Grad = f.tensor(gpu.F32, w.Rows, w.Cols, true, f.normal)
		}
		f.AdamW(tensors, h)
	}
	for i, t := range tensors {
		f.result(fmt.Sprintf("weight %d", i), t.Weight)
		f.result(fmt.Sprintf("m %d", i), t.M).alwaysF32().near(0.1 * h.GradScale) // gradients of both signs cancel
		f.result(fmt.Sprintf("v %d", i), t.V).alwaysF32()
		if !t.Master.IsZero() {
			f.result(fmt.Sprintf("master %d", i), t.Master).alwaysF32()
		}
	}
}

func sumSquaresTrials() []trial {
	var all []trial
	for _, sizes := range [][]int{{}, {1}, {17, 1, 33}, {257 * 129}, {100_000, 3, 65_537}} {
		all = append(all, trial{name: fmt.Sprint(sizes), run: func(f *fixture) {
			var tensors []gpu.Tensor
			for _, n := range sizes {
				tensors = append(tensors, f.tensor(gpu.F32, n, 1, true, f.normal))
			}
			sum, err := f.SumSquares(tensors)
			if err != nil {
				f.t.Fatal(err)
			}
			f.host("sum", []float64{sum}).alwaysF32()
		}})
	}
	return all
}
