package train

import (
	"fmt"
	"math"

	"athanor/gpu"
	"athanor/steps/internal/llm"
)

// A Model is what is trained: *llm.Model is one.
type Model interface {
	// Training reserves gradients, zeroed, and memory for streams of up to maxTokens tokens.
	Training(maxTokens int) error
	Params() []*llm.Param
	ZeroGrad()
	Forward(s *gpu.Stream) error
	// LogProbs reads the head after Forward of the same stream.
	LogProbs(logp, lse []float64, s *gpu.Stream, temperature float64) error
	// Backward adds to the gradients after LogProbs of the same stream.
	Backward(s *gpu.Stream, temperature float64, dLogp, dLSE []float64) error
}

// A Trainer takes optimizer steps.
type Trainer struct {
	Temperature float64 // that divides the logits; 1 but for rollouts that were sampled with another

	model     Model
	objective Objective
	optimizer *optimizer
	guard     *guard // nil: every step is taken
	head      Head
	atOnce    *atOnce // nil: the head's forward and backward are apart
}

// Guard makes the trainer leave out steps that are spikes.
func (t *Trainer) Guard(rule Spikes) {
	t.guard = nil
	if rule.Window > 0 {
		t.guard = &guard{rule: rule}
	}
}

// NewTrainer prepares a model for micro-batches of at most micro tokens and allocates the optimizer's moments.
func NewTrainer(dev gpu.Device, m Model, o Objective, config AdamW, micro int) (*Trainer, error) {
	if err := m.Training(micro); err != nil {
		return nil, err
	}
	opt, err := newOptimizer(dev, m.Params(), config)
	if err != nil {
		return nil, err
	}
	return &Trainer{Temperature: 1, model: m, objective: o, optimizer: opt, atOnce: newAtOnce(m, o)}, nil
}

// Close frees the optimizer's moments.
func (t *Trainer) Close() { t.optimizer.close() }

// Save writes the weights and the moments of the optimizer to a file of a checkpoint. A caller that drives the Trainer
// itself keeps Updates beside it.
func (t *Trainer) Save(path string) error { return create(path, t.optimizer.write) }

// Load reads what Save wrote, for a Trainer of the same model; updates is what Updates was.
func (t *Trainer) Load(path string, updates int) error {
	t.optimizer.updates = updates
	return open(path, t.optimizer.read)
}

// Updates is how many steps have changed the weights.
func (t *Trainer) Updates() int { return t.optimizer.updates }

// A Result is what one optimizer step came to.
type Result struct {
	Loss     float64 // mean per unit, before the update; undefined without units
	Units    int     // of the whole batch; 0: there was nothing to learn and the weights are as they were
	GradNorm float64 // before clipping
	Spike    string  // why the step was not taken and the weights are as they were; "" if it was
}

// A DivergedError says that the loss or the gradient is no finite number. The weights are as before the step.
type DivergedError struct {
	Loss, GradNorm float64 // GradNorm is 0 if the loss was to blame

	// Set by a Loop.
	Step     int64   // counted from 1
	LastLoss float64 // of the last step that was well; 0 if there was none
}

func (e *DivergedError) Error() string {
	what := fmt.Sprintf("the loss is %v", e.Loss)
	if finite(e.Loss) {
		what = fmt.Sprintf("the norm of the gradient is %v at a loss of %.4f", e.GradNorm, e.Loss)
	}
	if e.Step == 0 {
		return what
	}
	before := fmt.Sprintf("the last good loss was %.4f", e.LastLoss)
	if e.LastLoss == 0 {
		before = "no step before it was good"
	}
	return fmt.Sprintf("training diverged at step %d: %s; %s", e.Step, what, before)
}

// Step runs the micro-batches of one optimizer step and updates the weights. Each micro-batch counts by its share of
// the units of all. One without units is left out: it would cost time and change nothing.
func (t *Trainer) Step(batches []*Batch, lr float64) (Result, error) {
	var r Result
	for _, b := range batches {
		r.Units += t.objective.Units(b)
	}
	if r.Units == 0 {
		return r, nil
	}
	if o, ok := t.objective.(Preparing); ok {
		if err := o.Prepare(batches, t.read); err != nil {
			return r, err
		}
	}
	t.model.ZeroGrad()
	for _, b := range batches {
		if t.objective.Units(b) == 0 {
			continue
		}
		loss, err := t.accumulate(b, 1/float64(r.Units))
		if err != nil {
			return r, err
		}
		r.Loss += loss
	}
	r.Loss /= float64(r.Units)
	norm, err := t.optimizer.norm()
	if err != nil {
		return r, err
	}
	if r.GradNorm = norm; !finite(norm) {
		return r, &DivergedError{Loss: r.Loss, GradNorm: norm}
	}
	if t.guard != nil {
		r.Spike = t.guard.judge(r.Loss, norm)
	}
	if r.Spike == "" {
		t.optimizer.update(lr, norm)
	}
	return r, nil
}

// read returns the head's log-probabilities of a stream.
func (t *Trainer) read(s *gpu.Stream) ([]float64, error) {
	logp := make([]float64, s.Len())
	if err := t.model.Forward(s); err != nil {
		return nil, err
	}
	return logp, t.model.LogProbs(logp, nil, s, t.Temperature)
}

// accumulate adds the gradient of scale times the loss of one micro-batch and returns that loss, summed over its units.
func (t *Trainer) accumulate(b *Batch, scale float64) (float64, error) {
	h := t.head.resize(b.Stream.Len())
	if err := t.model.Forward(&b.Stream); err != nil {
		return 0, err
	}
	if t.atOnce != nil {
		t.atOnce.scale = scale
		done, err := t.atOnce.model.LossBackward(h.Logp, h.LSE, &b.Stream, t.Temperature, t.atOnce.loss)
		if err != nil {
			return 0, err
		}
		if done {
			loss := t.objective.Loss(b, h)
			if !finite(loss) {
				err = &DivergedError{Loss: loss}
			}
			return loss, err
		}
	}
	if err := t.model.LogProbs(h.Logp, h.LSE, &b.Stream, t.Temperature); err != nil {
		return 0, err
	}
	loss := t.objective.Loss(b, h)
	if !finite(loss) {
		return 0, &DivergedError{Loss: loss}
	}
	for i := range h.DLogp {
		h.DLogp[i] *= scale
		h.DLSE[i] *= scale
	}
	return loss, t.model.Backward(&b.Stream, t.Temperature, h.DLogp, h.DLSE)
}

// atOnce is the loss of a token where the loss is a sum over tokens: its derivatives are then known as soon as the token's
// logits are, and a model may read its head and run the backward in one go. It is made once, so that a step allocates
// nothing.
type atOnce struct {
	model lossBackward
	scale float64 // of the derivatives
	loss  gpu.TokenLoss
}

type lossBackward interface {
	LossBackward(logp, lse []float64, s *gpu.Stream, temperature float64, loss gpu.TokenLoss) (bool, error)
}

// newAtOnce returns nil if the objective or the model leaves no choice.
func newAtOnce(m Model, objective Objective) *atOnce {
	o, ok := objective.(CrossEntropy)
	if !ok {
		return nil
	}
	a := &atOnce{}
	if a.model, ok = m.(lossBackward); !ok {
		return nil
	}
	a.loss = func(_ int, _, lse float64) (dLogp, dLSE float64) {
		dLogp, dLSE = o.derivatives(lse)
		return dLogp * a.scale, dLSE * a.scale
	}
	return a
}

// resize returns a head for n tokens on h's memory, derivatives zero.
func (h *Head) resize(n int) *Head {
	if cap(h.Logp) < n {
		*h = Head{make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)}
	}
	h.Logp, h.LSE, h.DLogp, h.DLSE = h.Logp[:n], h.LSE[:n], h.DLogp[:n], h.DLSE[:n]
	clear(h.DLogp)
	clear(h.DLSE)
	return h
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
