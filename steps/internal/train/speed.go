package train

import (
	"math/rand/v2"
	"slices"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/llm"
)

const (
	// fewTokens are enough for the products of a pass to run at full speed; fewer are not measured.
	fewTokens = 256
	// passes is how many passes at least fit into the time, the first of which only warms up.
	passes = 4
	// usualShare is the share of the peak that a pass is taken to reach when it is decided how much can be measured.
	usualShare = 0.5
	// usualPeak stands for the peak of a device that cannot tell its own, in operations per second.
	usualPeak = 1e12
	// lastWidth and lastVocabulary are what a model is cut down to whose single layer takes too long.
	lastWidth, lastVocabulary = 512, 4096
)

// Speed measures how fast the device trains a model of a shape, in operations per second as FLOPsPerToken counts them:
// passes over random tokens with weights that are zero, and updates of the optimizer, in about limit in all. If the model
// or its batch is too large for that, what is measured is smaller: fewer tokens, then fewer layers, at last narrower ones.
// A longer training also evaluates and saves checkpoints, which is not in it.
func Speed(dev gpu.Device, c llm.Config, t *steps.Training, limit time.Duration) (float64, error) {
	peak := steps.Peak(dev)
	if peak == 0 {
		peak = usualPeak
	}
	batch := t.BatchTokens
	if batch == 0 {
		batch = int64(t.MicroTokens)
	}
	if t.Score {
		c = c.Scoring()
	}
	p := cut(c, min(int64(t.MicroTokens), batch), t.Typical(), usualShare*peak*limit.Seconds()/passes)
	pass, update, err := p.measure(dev, t.Precision, limit)
	if err != nil {
		return 0, err
	}
	times := float64(batch) / float64(p.tokens) // passes of a batch
	seconds := times*pass + update
	return p.config.FLOPsPerToken(p.context) * float64(batch) / seconds, nil
}

// A piece is what of a training is measured.
type piece struct {
	config          llm.Config
	tokens, context int // of a pass
}

// cut makes a pass over the tokens cost at most so many operations, as far as it can.
func cut(c llm.Config, tokens int64, context int, operations float64) piece {
	p := piece{c, int(tokens), context}
	cost := func() float64 {
		p.context = min(context, p.tokens)
		return p.config.FLOPsPerToken(p.context) * float64(p.tokens)
	}
	for cost() > operations && p.tokens > fewTokens {
		p.tokens = max(fewTokens, p.tokens/2)
	}
	for cost() > operations && p.config.NumHiddenLayers > 1 {
		p.config.NumHiddenLayers = max(1, p.config.NumHiddenLayers/2)
	}
	if cost() > operations {
		p.config.VocabSize = min(c.VocabSize, lastVocabulary)
	}
	for cost() > operations && p.config.HiddenSize > lastWidth && p.config.NumAttentionHeads%2 == 0 && p.config.HiddenSize%2 == 0 {
		p.config.HiddenSize /= 2
		p.config.IntermediateSize /= 2
		p.config.NumAttentionHeads /= 2
		p.config.NumKeyValueHeads = max(1, p.config.NumKeyValueHeads/2)
	}
	cost()
	return p
}

// measure returns the seconds of a pass forward and backward and of an update.
func (p *piece) measure(dev gpu.Device, precision gpu.Precision, limit time.Duration) (pass, update float64, err error) {
	m, err := llm.New(dev, p.config)
	if err != nil {
		return 0, 0, err
	}
	defer m.Close()
	if err := (Numerics{precision}).Apply(m); err != nil {
		return 0, 0, err
	}
	var objective Objective = CrossEntropy{}
	if p.config.Score {
		objective = lastScores{}
	}
	t, err := NewTrainer(dev, m, objective, AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Clip: 1}, p.tokens)
	if err != nil {
		return 0, 0, err
	}
	defer t.Close()
	b := p.batch()
	began := time.Now()
	var spent [2][]float64
	for n := 0; n < 2 || time.Since(began) < limit*(passes-1)/passes; n++ {
		start := time.Now()
		if _, err := t.accumulate(b, 1); err != nil {
			return 0, 0, err
		}
		between := time.Now()
		m.ZeroGrad()
		norm, err := t.optimizer.norm()
		if err != nil {
			return 0, 0, err
		}
		t.optimizer.update(0, norm)
		if err := dev.Sync(); err != nil {
			return 0, 0, err
		}
		if n > 0 { // the first touches its memory for the first time
			spent[0] = append(spent[0], between.Sub(start).Seconds())
			spent[1] = append(spent[1], time.Since(between).Seconds())
		}
	}
	return slices.Min(spent[0]), slices.Min(spent[1]), nil // undisturbed: what is measured is kept, and other work goes away
}

// lastScores is an objective of a scalar head, for measuring: what it costs does not depend on the loss.
type lastScores struct{}

func (lastScores) Units(b *Batch) int { return b.Stream.Segments() }

func (lastScores) Loss(b *Batch, h *Head) float64 {
	sum := 0.0
	for _, end := range b.Stream.Starts[1:] {
		sum += h.Logp[end-1]
		h.DLogp[end-1] = 1
	}
	return sum
}

// batch is the tokens of a pass: random ones, in segments of the context.
func (p *piece) batch() *Batch {
	random := rand.New(rand.NewPCG(1, 2))
	ids := make([]int32, p.tokens+1)
	for i := range ids {
		ids[i] = random.Int32N(int32(p.config.VocabSize))
	}
	b := new(Batch)
	for chunk := range slices.Chunk(ids[:p.tokens], p.context) {
		at := b.Stream.Len()
		b.Stream.Append(chunk, ids[at+1:at+1+len(chunk)], 0)
	}
	return b
}
