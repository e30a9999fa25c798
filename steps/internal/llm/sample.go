package llm

import (
	"container/heap"
	"errors"
	"math"
)

// A sampler draws tokens from logits; it holds memory from one draw to the next.
type sampler struct {
	weights []float64 // [V] exp(logit/temperature - largest)
	ranked  ranking
	kept    []int32
}

// draw returns a token and its log-probability; see Generate.
func (s *sampler) draw(logits []float32, o Sampling, random uniform) (int32, float64, error) {
	best := 0
	for i, l := range logits {
		if l != l {
			return 0, 0, errors.New("the model's logits are not a number: its weights are damaged or its training diverged")
		}
		if l > logits[best] {
			best = i
		}
	}
	temperature := o.Temperature
	if temperature == 0 {
		temperature = 1
	}
	total := s.weigh(logits, float64(logits[best]), temperature)
	if o.Temperature == 0 {
		return int32(best), -math.Log(total), nil
	}
	if !(o.TopK > 0 && o.TopK < len(logits)) && !(o.TopP > 0 && o.TopP < 1) {
		id := s.pick(random.Float64()*total, nil)
		return id, math.Log(s.weights[id] / total), nil
	}
	kept := s.truncate(o, total)
	id := s.pick(random.Float64()*kept, s.kept)
	return id, math.Log(s.weights[id] / kept), nil
}

// weigh sets the weights, the largest of which is 1, and returns their sum.
func (s *sampler) weigh(logits []float32, largest, temperature float64) float64 {
	s.weights = s.weights[:0]
	var total float64
	for _, l := range logits {
		w := math.Exp((float64(l) - largest) / temperature)
		s.weights = append(s.weights, w)
		total += w
	}
	return total
}

// truncate keeps the likeliest tokens that top-k and top-p leave and returns the sum of their weights.
func (s *sampler) truncate(o Sampling, total float64) float64 {
	s.ranked.weights, s.ranked.ids = s.weights, s.ranked.ids[:0]
	for i := range s.weights {
		s.ranked.ids = append(s.ranked.ids, int32(i))
	}
	heap.Init(&s.ranked)
	most, enough := len(s.weights), total
	if o.TopK > 0 {
		most = min(most, o.TopK)
	}
	if o.TopP > 0 && o.TopP < 1 {
		enough = o.TopP * total
	}
	s.kept = s.kept[:0]
	var sum float64
	for len(s.kept) < most && (sum < enough || len(s.kept) == 0) {
		id := s.ranked.pop()
		s.kept = append(s.kept, id)
		sum += s.weights[id]
	}
	return sum
}

// pick returns the token at which the running sum of weights passes u; among all where kept is nil.
func (s *sampler) pick(u float64, kept []int32) int32 {
	n := len(kept)
	if kept == nil {
		n = len(s.weights)
	}
	var last int32
	for i := range n {
		id := int32(i)
		if kept != nil {
			id = kept[i]
		}
		if s.weights[id] == 0 {
			continue
		}
		last = id
		if u -= s.weights[id]; u < 0 {
			break
		}
	}
	return last
}

// A ranking is a heap of token ids, the likeliest first and the lower id first among equals.
type ranking struct {
	weights []float64
	ids     []int32
}

func (r *ranking) Len() int { return len(r.ids) }
func (r *ranking) Less(i, j int) bool {
	a, b := r.ids[i], r.ids[j]
	return r.weights[a] > r.weights[b] || r.weights[a] == r.weights[b] && a < b
}
func (r *ranking) Swap(i, j int) { r.ids[i], r.ids[j] = r.ids[j], r.ids[i] }
func (r *ranking) Push(x any)    { r.ids = append(r.ids, x.(int32)) }
func (r *ranking) Pop() any {
	r.ids = r.ids[:len(r.ids)-1]
	return nil
}

// pop takes the likeliest token off.
func (r *ranking) pop() int32 {
	id := r.ids[0]
	heap.Pop(r)
	return id
}
