package llm

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"athanor/gpu"
)

// Sampling says how to continue texts.
type Sampling struct {
	MaxTokens   int     // of each answer, its stop token included
	Temperature float64 // divides the logits; 0 always takes the likeliest token
	TopK        int     // only the K likeliest tokens; 0: all
	TopP        float64 // only the likeliest tokens that together have this probability; 0 or 1: all
	Stop        []int32 // ids that end an answer
	Seed        uint64
	Slots       int // sequences to decode side by side; 0: up to 32. No answer depends on it
}

func (o Sampling) validate() error {
	switch {
	case o.MaxTokens <= 0:
		return fmt.Errorf("llm: answers of at most %d tokens", o.MaxTokens)
	case !(o.Temperature >= 0):
		return fmt.Errorf("llm: a temperature of %g", o.Temperature)
	case o.TopK < 0:
		return fmt.Errorf("llm: top-k of %d", o.TopK)
	case !(o.TopP >= 0 && o.TopP <= 1):
		return fmt.Errorf("llm: top-p of %g is outside of 0 to 1", o.TopP)
	}
	return nil
}

const defaultSlots = 32

// Generate continues each prompt, which must not be empty, and returns the answers, the stop token that ended one
// included. emit, if not nil, gets every token as it is drawn, with the number of its prompt and its log-probability
// under the distribution that it was drawn from: at the temperature, renormalised over what top-k and top-p left. At
// temperature 0 it is the model's own log-probability. An error of emit ends the generation.
//
// Answer i depends on prompt i, the settings, the seed and i, not on what else is generated beside it. Prompts may go
// beyond the context that the model was trained on; the caller knows better whether they should. The last Forward's
// activations are lost.
func (m *Model) Generate(ctx context.Context, prompts [][]int32, o Sampling, emit func(seq int, id int32, logp float64) error) ([][]int32, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if m.Config.Score {
		return nil, ErrScore
	}
	slots := o.Slots
	if slots <= 0 {
		slots = defaultSlots
	}
	slots = min(slots, len(prompts))
	longest := 0
	for i, p := range prompts {
		if len(p) == 0 {
			return nil, fmt.Errorf("llm: prompt %d is empty: a text begins with the beginning-of-text token", i)
		}
		longest = max(longest, len(p))
	}
	if len(prompts) == 0 {
		return nil, nil
	}
	if room := max(longest, slots); room > m.buffers.tokens {
		if err := m.Inference(room); err != nil {
			return nil, err
		}
	}
	if err := m.decoding.reserveCache(m, slots, longest+o.MaxTokens); err != nil {
		return nil, err
	}
	if err := m.dev.SetPrecision(gpu.Float32); err != nil {
		return nil, err
	}
	g := newGeneration(m, prompts, o, slots, emit)
	for g.next < len(prompts) || len(g.active) > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := g.admit(); err != nil {
			return nil, err
		}
		if err := g.decode(); err != nil {
			return nil, err
		}
	}
	return g.answers, nil
}

// A generation is one call of Generate. Prompts wait in order for a slot of the cache; a slot is free again as soon as
// its answer has ended.
type generation struct {
	m       *Model
	o       Sampling
	emit    func(seq int, id int32, logp float64) error
	prompts [][]int32
	answers [][]int32
	next    int        // the first prompt that waits
	free    []int32    // slots
	active  []sequence // answers being written

	stream    gpu.Stream
	slots     []int32 // of each token of the stream
	positions []int32
	targets   []int32
	rows      []int // of the stream whose logits are wanted
	logits    []float32
	samplers  []sampler // one for each goroutine that draws
	drawn     []draw    // the next tokens, one for each of rows
}

// A draw is what a sampler returned.
type draw struct {
	id   int32
	logp float64
	err  error
}

// A sequence is one answer being written.
type sequence struct {
	index  int // of its prompt
	slot   int32
	length int32 // tokens in the cache
	last   int32 // drawn, not yet in the cache
	random uniform
}

// uniform draws from [0, 1).
type uniform interface{ Float64() float64 }

func newGeneration(m *Model, prompts [][]int32, o Sampling, slots int, emit func(int, int32, float64) error) *generation {
	g := &generation{m: m, o: o, emit: emit, prompts: prompts, answers: make([][]int32, len(prompts))}
	for slot := slots - 1; slot >= 0; slot-- {
		g.free = append(g.free, int32(slot))
	}
	g.logits = make([]float32, slots*m.Config.VocabSize)
	threads := m.dev.Info().Threads // idle by now
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	g.samplers, g.drawn = make([]sampler, min(threads, slots)), make([]draw, slots)
	return g
}

// admit reads waiting prompts into free slots, as many at once as fit into a stream, and draws their first tokens.
func (g *generation) admit() error {
	for g.next < len(g.prompts) && len(g.free) > 0 {
		g.reset()
		first := len(g.active)
		for g.next < len(g.prompts) && len(g.free) > 0 {
			prompt := g.prompts[g.next]
			if g.stream.Len()+len(prompt) > g.m.buffers.tokens {
				break
			}
			slot := g.free[len(g.free)-1]
			g.free = g.free[:len(g.free)-1]
			g.append(prompt, slot, 0)
			random := newRandom(fmt.Sprintf("answer %d", g.next), g.o.Seed)
			g.active = append(g.active, sequence{index: g.next, slot: slot, length: int32(len(prompt)), random: random})
			g.next++
		}
		if err := g.m.check(&g.stream); err != nil {
			return err
		}
		dev, caches := g.m.dev, g.m.decoding.caches
		g.m.trunk(&g.stream, func(l int, a saved) {
			dev.Store(caches[l], a.k, a.v, g.slots, g.stream.Positions)
			dev.Attention(a.out, a.lse, a.q, a.k, a.v, g.m.Config.HeadDim, &g.stream)
		})
		if err := g.draw(first); err != nil {
			return err
		}
	}
	return nil
}

// decode adds one token to every answer being written.
func (g *generation) decode() error {
	if len(g.active) == 0 {
		return nil
	}
	g.reset()
	for i := range g.active {
		a := &g.active[i]
		g.append([]int32{a.last}, a.slot, a.length)
		a.length++
		g.positions = append(g.positions, a.length)
	}
	dev, caches, lengths := g.m.dev, g.m.decoding.caches, g.positions
	g.m.trunk(&g.stream, func(l int, a saved) {
		dev.Store(caches[l], a.k, a.v, g.slots, g.stream.Positions)
		dev.DecodeAttention(a.out, a.q, caches[l], g.m.Config.HeadDim, g.slots, lengths)
	})
	return g.draw(0)
}

func (g *generation) reset() {
	g.stream.Reset()
	g.slots, g.rows, g.positions = g.slots[:0], g.rows[:0], g.positions[:0]
}

// append adds a segment to the stream; the logits of its last token are wanted.
func (g *generation) append(ids []int32, slot, position int32) {
	for len(g.targets) < len(ids) {
		g.targets = append(g.targets, gpu.NoTarget)
	}
	g.stream.Append(ids, g.targets[:len(ids)], int(position))
	for range ids {
		g.slots = append(g.slots, slot)
	}
	g.rows = append(g.rows, g.stream.Len()-1)
}

// draw takes the next token of each answer from index first on, and lets go of those that have ended.
func (g *generation) draw(first int) error {
	v := g.m.Config.VocabSize
	if err := g.m.Logits(g.logits[:len(g.rows)*v], g.rows...); err != nil {
		return err
	}
	g.sample(g.active[first:])
	kept := g.active[:first]
	for i, a := range g.active[first:] {
		next := g.drawn[i]
		if next.err != nil {
			return next.err
		}
		id := next.id
		a.last = id
		g.answers[a.index] = append(g.answers[a.index], id)
		if g.emit != nil {
			if err := g.emit(a.index, id, next.logp); err != nil {
				return err
			}
		}
		if len(g.answers[a.index]) == g.o.MaxTokens || slices.Contains(g.o.Stop, id) {
			g.free = append(g.free, a.slot)
			continue
		}
		kept = append(kept, a)
	}
	g.active = kept
	return nil
}

// sample draws the next tokens, several at a time: each draw weighs the whole vocabulary, and on a GPU many answers would
// wait longer for that than for the model. Every answer has a source of randomness of its own.
func (g *generation) sample(answers []sequence) {
	v, workers := g.m.Config.VocabSize, min(len(g.samplers), len(answers))
	var drawing sync.WaitGroup
	for w := range workers {
		drawing.Go(func() {
			for i := w; i < len(answers); i += workers {
				d := &g.drawn[i]
				d.id, d.logp, d.err = g.samplers[w].draw(g.logits[i*v:(i+1)*v], g.o, answers[i].random)
			}
		})
	}
	drawing.Wait()
}
