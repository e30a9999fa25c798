package llm

import (
	"errors"
	"math"
)

// A sampler draws tokens from logits; it holds memory from one draw to the next.
type sampler struct {
	weights []float64 // [V] exp(logit/temperature - largest)
	kept    []int32   // what top-k and top-p leave
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
	if all := (o.TopK == 0 || o.TopK >= len(logits)) && (o.TopP == 0 || o.TopP == 1); all {
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
//
// It is a quickselect that weighs as it goes: kept[:low] belongs to the answer, kept[high:] does not, and each round
// splits what is between at a token. Sorting the whole vocabulary for every token drawn would cost more than a small
// model's forward.
func (s *sampler) truncate(o Sampling, total float64) float64 {
	most, enough := len(s.weights), math.Inf(1)
	if o.TopK > 0 {
		most = min(most, o.TopK)
	}
	if o.TopP > 0 && o.TopP < 1 {
		enough = o.TopP * total
	}
	s.kept = s.kept[:0]
	for i := range s.weights {
		s.kept = append(s.kept, int32(i))
	}
	var sum float64
	low, high := 0, len(s.kept)
	for low < high {
		middle := s.split(low, high)
		var left float64
		for _, id := range s.kept[low:middle] {
			left += s.weights[id]
		}
		if middle >= most || middle > 0 && sum+left >= enough {
			high = middle
			continue
		}
		sum += left + s.weights[s.kept[middle]]
		low = middle + 1
	}
	s.kept = s.kept[:low]
	return sum
}

// split moves the tokens that are likelier than one of kept[low:high] to its left, the others to its right, and returns
// where it stands. Of equals the lower id counts as likelier.
func (s *sampler) split(low, high int) int {
	ids := s.kept
	last := high - 1
	ids[(low+high)/2], ids[last] = ids[last], ids[(low+high)/2]
	pivot, weight := ids[last], s.weights[ids[last]]
	at := low
	for i := low; i < last; i++ {
		if w := s.weights[ids[i]]; w > weight || w == weight && ids[i] < pivot {
			ids[i], ids[at] = ids[at], ids[i]
			at++
		}
	}
	ids[at], ids[last] = ids[last], ids[at]
	return at
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
