package llm

import (
	"cmp"
	"math"

	"athanor/gpu"
)

// A sampler draws tokens from logits on the host, as a gpu.Sampler does on its device. It holds memory from one draw to the
// next.
type sampler struct {
	logits  []float32
	weights []float64 // [V] exp((logit - largest)/temperature), or 0 for what top-k or top-p leave out
	order   []int32   // of the tokens, as far as truncate needs it
}

// draw returns a token and its log-probability, or -1 where gpu.Sampler says so.
func (s *sampler) draw(logits []float32, d gpu.Draw) (id int32, logp float64) {
	best := 0
	for i, l := range logits {
		if l != l {
			return -1, 0
		}
		if l > logits[best] {
			best = i
		}
	}
	largest := float64(logits[best])
	if math.IsInf(largest, 0) {
		return -1, 0
	}
	s.logits = logits
	sum := s.weigh(largest, cmp.Or(d.Temperature, 1))
	if d.Temperature == 0 {
		return int32(best), -math.Log(sum)
	}
	if d.TopK > 0 && d.TopK < len(logits) || d.TopP > 0 && d.TopP < 1 {
		sum = s.truncate(d, sum)
	}
	id = s.pick(d.Uniform * sum)
	return id, math.Log(s.weights[id] / sum)
}

// weigh sets the weights, the largest of which is 1, and returns their sum.
func (s *sampler) weigh(largest, temperature float64) float64 {
	s.weights = s.weights[:0]
	var total float64
	for _, l := range s.logits {
		w := math.Exp((float64(l) - largest) / temperature)
		s.weights = append(s.weights, w)
		total += w
	}
	return total
}

// truncate sets the weights of all tokens to 0 but those that top-k and top-p leave, and returns the sum of these.
//
// It is a quickselect that weighs as it goes: order[:low] belongs to the answer, order[high:] does not, and each round
// splits what is between at a token. Sorting the whole vocabulary for every token drawn would cost more than a small
// model's forward.
func (s *sampler) truncate(d gpu.Draw, total float64) float64 {
	most, enough := len(s.weights), math.Inf(1)
	if d.TopK > 0 {
		most = min(most, d.TopK)
	}
	if d.TopP > 0 && d.TopP < 1 {
		enough = d.TopP * total
	}
	s.order = s.order[:0]
	for i := range s.weights {
		s.order = append(s.order, int32(i))
	}
	var sum float64
	low, high := 0, len(s.order)
	for low < high {
		middle := s.split(low, high)
		var left float64
		for _, id := range s.order[low:middle] {
			left += s.weights[id]
		}
		if middle >= most || middle > 0 && sum+left >= enough {
			high = middle
			continue
		}
		sum += left + s.weights[s.order[middle]]
		low = middle + 1
	}
	for _, id := range s.order[low:] {
		s.weights[id] = 0
	}
	sum = 0
	for _, w := range s.weights {
		sum += w
	}
	return sum
}

// split moves the tokens that are likelier than one of order[low:high] to its left, the others to its right, and returns
// where it stands. Of equals the lower id counts as likelier.
func (s *sampler) split(low, high int) int {
	ids := s.order
	last := high - 1
	ids[(low+high)/2], ids[last] = ids[last], ids[(low+high)/2]
	pivot, logit := ids[last], s.logits[ids[last]]
	at := low
	for i := low; i < last; i++ {
		if l := s.logits[ids[i]]; l > logit || l == logit && ids[i] < pivot {
			ids[i], ids[at] = ids[at], ids[i]
			at++
		}
	}
	ids[at], ids[last] = ids[last], ids[at]
	return at
}

// pick returns the token at which the running sum of weights passes u.
func (s *sampler) pick(u float64) int32 {
	var last int32
	for id, w := range s.weights {
		if w == 0 {
			continue
		}
		last = int32(id)
		if u -= w; u < 0 {
			break
		}
	}
	return last
}
