package finetune

import (
	"encoding/json"
	"math/rand/v2"

	"athanor/gpu"
	"athanor/steps/internal/train"
)

// A Segment is one conversation as a stream holds it.
type Segment struct {
	IDs     []int32
	Targets []int32 // the token to predict after each, or gpu.NoTarget
}

// An Example is what counts as one: a conversation, or a pair of them that stay together.
type Example struct{ Segments []Segment }

// Len is the number of tokens.
func (e *Example) Len() int {
	n := 0
	for _, s := range e.Segments {
		n += len(s.IDs)
	}
	return n
}

// Source gives examples out, epoch after epoch, each epoch in an order of its own that depends on the seed alone. They
// are packed whole, one segment per conversation, so that none reads another. A batch's Extra is the numbers of its
// examples, []int.
type Source struct {
	Examples []Example
	Micro    int // most tokens of a micro-batch; no example is longer
	Seed     uint64

	given int64 // examples so far, over all epochs
	epoch int64 // that order belongs to, from 1; 0: none yet
	order []int
}

// Next implements train.Source: it counts in examples.
func (s *Source) Next(n int64) ([]*train.Batch, error) {
	var chosen []int
	for ; n > 0; n-- {
		all := int64(len(s.Examples))
		if epoch := s.given/all + 1; epoch != s.epoch {
			s.epoch, s.order = epoch, rand.New(rand.NewPCG(s.Seed, uint64(epoch))).Perm(len(s.Examples))
		}
		chosen = append(chosen, s.order[s.given%all])
		s.given++
	}
	return Pack(s.Examples, chosen, s.Micro), nil
}

// Pack lays the chosen examples out in streams of at most micro tokens, in order.
func Pack(examples []Example, chosen []int, micro int) []*train.Batch {
	var batches []*train.Batch
	for _, i := range chosen {
		e := &examples[i]
		last := len(batches) - 1
		if last < 0 || batches[last].Stream.Len()+e.Len() > micro {
			b := &train.Batch{Extra: []int(nil)}
			b.Stream.Reset()
			batches = append(batches, b)
			last++
		}
		b := batches[last]
		for _, segment := range e.Segments {
			b.Stream.Append(segment.IDs, segment.Targets, 0)
		}
		b.Extra = append(b.Extra.([]int), i)
	}
	return batches
}

type sourceState struct {
	Given int64 `json:"given"`
}

// State implements train.Source: the orders follow from the seed.
func (s *Source) State() ([]byte, error) { return json.Marshal(sourceState{s.given}) }

// Restore implements train.Source.
func (s *Source) Restore(state []byte) error {
	var v sourceState
	err := json.Unmarshal(state, &v)
	s.given, s.epoch = v.Given, 0
	return err
}

// Evenly chooses at most most of n examples, spread over all.
func Evenly(n, most int) []int {
	most = min(n, most)
	chosen := make([]int, most)
	for i := range chosen {
		chosen[i] = i * n / most
	}
	return chosen
}

// targets shifts marked tokens by one: the token before a marked one has it as target.
func targets(ids []int32, marked []bool) []int32 {
	out := make([]int32, len(ids))
	for i := range out {
		out[i] = gpu.NoTarget
		if i+1 < len(ids) && marked[i+1] {
			out[i] = ids[i+1]
		}
	}
	return out
}
