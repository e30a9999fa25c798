package llm

import (
	"context"
	"errors"
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
	rows      []int     // of the stream after which tokens are drawn
	samplers  []sampler // one for each goroutine that draws, where the device does not

	// Of each of rows:
	draws []gpu.Draw
	ids   []int32
	logp  []float64

	logits []float32 // of some of rows, where the device does not draw
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
	threads := m.dev.Info().Threads // idle by then
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	g.samplers = make([]sampler, min(threads, slots))
	g.draws, g.ids, g.logp = make([]gpu.Draw, slots), make([]int32, slots), make([]float64, slots)
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

// append adds a segment to the stream, after whose last token one is to be drawn.
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
	if err := g.sample(g.active[first:]); err != nil {
		return err
	}
	kept := g.active[:first]
	for i, a := range g.active[first:] {
		id := g.ids[i]
		if id < 0 {
			return errors.New("the model's logits are not a number: its weights are damaged or its training diverged")
		}
		a.last = id
		g.answers[a.index] = append(g.answers[a.index], id)
		if g.emit != nil {
			if err := g.emit(a.index, id, g.logp[i]); err != nil {
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

// sample draws the next tokens, on the device if it can. Every answer has a source of randomness of its own.
func (g *generation) sample(answers []sequence) error {
	for i := range answers {
		g.draws[i] = gpu.Draw{Temperature: g.o.Temperature, TopK: g.o.TopK, TopP: g.o.TopP}
		if g.o.Temperature > 0 {
			g.draws[i].Uniform = answers[i].random.Float64()
		}
	}
	device, ok := g.m.dev.(gpu.Sampler)
	return g.m.eachLogits(g.rows, func(y gpu.Tensor, from int) error {
		to := from + y.Rows
		if ok {
			return device.Sample(g.ids[from:to], g.logp[from:to], y, g.draws[from:to])
		}
		return g.sampleHere(y, from, to)
	})
}

// sampleHere draws the next tokens of rows[from:to] on the host, several at a time: each draw weighs the whole vocabulary.
func (g *generation) sampleHere(logits gpu.Tensor, from, to int) error {
	g.logits = slices.Grow(g.logits[:0], logits.Len())[:logits.Len()]
	g.m.dev.Read(g.logits, logits)
	if err := g.m.dev.Sync(); err != nil {
		return err
	}
	v, workers := logits.Cols, min(len(g.samplers), to-from)
	var drawing sync.WaitGroup
	for w := range workers {
		drawing.Go(func() {
			for i := from + w; i < to; i += workers {
				g.ids[i], g.logp[i] = g.samplers[w].draw(g.logits[(i-from)*v:][:v], g.draws[i])
			}
		})
	}
	drawing.Wait()
	return nil
}
