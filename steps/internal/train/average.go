package train

import (
	"fmt"

	"athanor/gpu"
	"athanor/steps/internal/llm"
)

// Average says which mean of the weights on the way is kept, beside the weights themselves. The mean of a run's last
// stretch is a better model than its last point: the noise of the steps averages out (Polyak and Juditsky 1992;
// arXiv 1803.05407).
type Average struct {
	Kind  AverageKind // "": none is kept
	Decay float64     // ema: the share of the average that stays at each sample
	Every int64       // tokens between two samples, counted back from the run's end; 0: one after every step
	Last  int         // take the last so many samples; 0: all
}

// An AverageKind is a way to weigh samples of the weights.
type AverageKind string

const (
	Mean AverageKind = "mean" // all samples alike
	EMA  AverageKind = "ema"  // a ← Decay·a + (1−Decay)·w; the first sample is the beginning
)

// Validate reports an average that cannot be taken.
func (a Average) Validate() error {
	switch {
	case a.Kind != "" && a.Kind != Mean && a.Kind != EMA:
		return fmt.Errorf("no average of weights is called %q", a.Kind)
	case a.Kind == EMA && !(a.Decay >= 0 && a.Decay < 1):
		return fmt.Errorf("an average that keeps a share of %g: at least 0 and below 1", a.Decay)
	case a.Every < 0 || a.Last < 0:
		return fmt.Errorf("an average over the last %d samples, %d tokens apart", a.Last, a.Every)
	case a.Last > 0 && a.Every == 0:
		return fmt.Errorf("an average over the last %d samples needs a distance in tokens between them", a.Last)
	}
	return nil
}

// due reports whether the step that consumes the tokens [from, to) of total is followed by a sample. The last step is.
func (a Average) due(from, to, total int64) bool {
	if a.Every == 0 {
		return true
	}
	ahead := func(at int64) int64 { return (total - at + a.Every - 1) / a.Every } // samples after token at
	return ahead(to) < ahead(from) && (a.Last == 0 || ahead(to) < int64(a.Last))
}

// An averager holds the average on the host, so that a device needs no room for it.
type averager struct {
	config  Average
	dev     gpu.Device
	params  []*llm.Param
	values  []float32 // of all weights, in the order of params
	samples int64
	buffer  []float32
}

func newAverager(dev gpu.Device, params []*llm.Param, config Average) *averager {
	a := &averager{config: config, dev: dev, params: params, buffer: make([]float32, chunk)}
	n := 0
	for _, p := range params {
		n += p.Weight.Len()
	}
	a.values = make([]float32, n)
	return a
}

// sample enters the weights as they are.
func (a *averager) sample() error {
	a.samples++
	rate := 1 / float64(a.samples)
	if a.config.Kind == EMA && a.samples > 1 {
		rate = 1 - a.config.Decay
	}
	a.chunks(func(p *llm.Param, from int, values []float32) {
		weights := a.buffer[:len(values)]
		p.Read(a.dev, weights, from)
		for i, w := range weights {
			// Written as a sum of rounded products, so that no machine fuses them: equal bits everywhere.
			values[i] += float32(rate * (float64(w) - float64(values[i])))
		}
	})
	return a.dev.Sync()
}

// apply sets the weights to the average.
func (a *averager) apply() error {
	a.chunks(func(p *llm.Param, from int, values []float32) { p.Write(a.dev, from, values) })
	return a.dev.Sync()
}

// chunks visits all weights with their averages, piece by piece.
func (a *averager) chunks(visit func(p *llm.Param, from int, values []float32)) {
	at := 0
	for _, p := range a.params {
		n := p.Weight.Len()
		for from := 0; from < n; from += chunk {
			visit(p, from, a.values[at+from:at+min(from+chunk, n)])
		}
		at += n
	}
}
