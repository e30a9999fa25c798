package main

import (
	"context"
	"fmt"

	"athanor/gpu"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/train"
)

// A product is one of the three matrix products of a linear layer.
type product struct {
	dev     gpu.Device
	tensors []gpu.Tensor
	call    func()
}

func newProduct(dev gpu.Device, r request) (job, []float64, error) {
	if err := dev.SetPrecision(gpu.Precision(r.Precision)); err != nil {
		return nil, nil, err
	}
	p := &product{dev: dev}
	fill := func(rows, cols, seed int) gpu.Tensor {
		t, err := dev.Alloc(gpu.F32, rows, cols)
		if err != nil {
			panic(err) // some megabytes
		}
		p.tensors = append(p.tensors, t)
		if seed != 0 {
			dev.Write(t, numbers(rows*cols, seed))
		}
		return t
	}
	var out gpu.Tensor
	switch r.Product {
	case "forward":
		x, w := fill(r.N, r.I, 1), fill(r.O, r.I, 2)
		out = fill(r.N, r.O, 0)
		p.call = func() { dev.Linear(out, x, w, gpu.Tensor{}) }
	case "input":
		dy, w := fill(r.N, r.O, 1), fill(r.O, r.I, 2)
		out = fill(r.N, r.I, 0)
		p.call = func() { dev.LinearBackwardInput(out, dy, w, gpu.Tensor{}) }
	case "weight":
		dy, x := fill(r.N, r.O, 1), fill(r.N, r.I, 2)
		out = fill(r.O, r.I, 0)
		p.call = func() { dev.LinearBackwardWeight(out, dy, x) }
	default:
		return nil, nil, fmt.Errorf("no product %q", r.Product)
	}
	if err := p.run(); err != nil {
		return nil, nil, err
	}
	result := make([]float32, out.Len())
	dev.Read(result, out)
	sum := 0.0
	for _, v := range result {
		sum += float64(v) * float64(v)
	}
	return p, []float64{sum / float64(len(result))}, nil
}

// numbers are the same in every player: between −1 and 1, without a pattern that a product would cancel.
func numbers(n, seed int) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(uint64(i+seed*1_000_003)*2654435761%1999)/1000 - 1
	}
	return list
}

func (p *product) run() error {
	p.call()
	return p.dev.Sync()
}

func (p *product) close() {
	for _, t := range p.tensors {
		p.dev.Free(t)
	}
}

// The hyper-parameters of a measured step; peers.py has the same.
const learningRate = 3e-4

var adamW = train.AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1}

// A step is a whole training step: forward, backward, clipping, AdamW.
type step struct {
	model   *llm.Model
	trainer *train.Trainer
	batches []*train.Batch
	last    train.Result
}

func newStep(dev gpu.Device, r request) (job, []float64, error) {
	m, err := llm.Load(dev, r.Model)
	if err != nil {
		return nil, nil, err
	}
	if err := m.SetPrecision(gpu.Precision(r.Precision)); err != nil {
		m.Close()
		return nil, nil, err
	}
	s := &step{model: m}
	if s.trainer, err = train.NewTrainer(dev, m, train.CrossEntropy{}, adamW, len(r.IDs)); err != nil {
		m.Close()
		return nil, nil, err
	}
	batch := &train.Batch{}
	for from := 0; from < len(r.IDs); from += r.Context {
		batch.Stream.Append(r.IDs[from:from+r.Context], r.Targets[from:from+r.Context], 0)
	}
	s.batches = []*train.Batch{batch}
	var check []float64
	for range 2 { // the second loss tells of the first update
		if err := s.run(); err != nil {
			s.close()
			return nil, nil, err
		}
		check = append(check, s.last.Loss, s.last.GradNorm)
	}
	return s, check, nil
}

func (s *step) run() (err error) {
	s.last, err = s.trainer.Step(s.batches, learningRate)
	return err
}

func (s *step) close() {
	s.trainer.Close()
	s.model.Close()
}

// A decoding continues a batch of one-token prompts.
type decoding struct {
	model   *llm.Model
	prompts [][]int32
	options llm.Sampling
}

func newDecoding(dev gpu.Device, r request) (job, []float64, error) {
	m, err := llm.Load(dev, r.Model)
	if err != nil {
		return nil, nil, err
	}
	d := &decoding{model: m, options: llm.Sampling{MaxTokens: r.Tokens, Slots: r.Batch}}
	for i := range r.Batch {
		d.prompts = append(d.prompts, []int32{int32(i + 1)})
	}
	return d, nil, nil
}

func (d *decoding) run() error {
	_, err := d.model.Generate(context.Background(), d.prompts, d.options, nil)
	return err
}

func (d *decoding) close() { d.model.Close() }
